"""Requests and responses: addresses, access, limits, logs, metrics, tracing."""
