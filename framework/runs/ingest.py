"""``run=ingest``: source -> checks -> engineered features -> the store that training reads."""

from framework.runs.steps.prepare_data import ingest

__all__ = ["ingest"]
