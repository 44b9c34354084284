"""Hooks, and how plugins are found and their components made."""
