"""The contracts between the core and its plugins, one file each, and the values that cross them.

``docs/how-to/write-a-plugin.md`` lists what a plugin may import; import-linter holds it.
"""
