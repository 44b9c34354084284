"""The arms of a server: which pair answers which entity, and how that follows the registry."""
