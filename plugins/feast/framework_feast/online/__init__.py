"""Rows for serving: written by ``run=materialize``, read for a request."""
