"""The command line: from overrides to one run and one JSON line."""
