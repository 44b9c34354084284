"""The contracts between the core and its plugins, one file each.

:mod:`framework.interfaces.surface` lists what a plugin may import.
"""
