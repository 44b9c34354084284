"""For authors of plugins: contract suites to subclass and small deterministic components to test
against.
"""
