"""Packed records: the newest rows of an entity as one value of the online store."""
