"""The replicas that take requests over HTTP, and what they know of each other."""
