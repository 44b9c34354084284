"""The contracts between the core and its plugins, one file each, and the values that cross them.

A plugin imports from here, from :mod:`framework.hookspecs`, :mod:`framework.panel` and :mod:`framework.errors`; nothing else.
"""
