"""Rows for training: the stores that keep them, and Feast's own join."""
