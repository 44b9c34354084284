"""``run=materialize``: the newest features become readable for serving."""

from framework.prepare import materialize

__all__ = ["materialize"]
