"""A project from data alone: what is guessed of a table, and the files that are written."""
