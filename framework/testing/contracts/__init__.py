"""Contract suites: subclass one in the tests of a plugin."""
