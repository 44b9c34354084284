"""The protocols of other servers, translated to our own routes."""
