"""``run=ingest``: source -> checks -> engineered features -> the store that training reads."""

from framework.prepare import ingest

__all__ = ["ingest"]
