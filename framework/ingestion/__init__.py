"""From a source to finished rows in the store."""
