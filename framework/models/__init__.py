"""The toolkit of models: windows as a table, boosters, target transforms."""
