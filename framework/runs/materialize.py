"""``run=materialize``: the newest features become readable for serving."""

from __future__ import annotations

from typing import Any

from framework.features import parse_time
from framework.interfaces.retrieval import RetrievalStrategy
from framework.run import Run


def materialize(run: Run) -> dict[str, Any]:
    """From ``start`` (default: all) to ``at`` (default: now)."""
    strategy: RetrievalStrategy = run.make("retrieval")
    start = parse_time(run.config.start, "start") if run.config.start else None
    end = parse_time(run.config.at, "at") if run.config.at else None
    rows = strategy.materialize(run.config.features, start, end, run.say)
    for name, count in rows.items():
        run.say(f"materialize: {name}: {count:,} rows")
    return {"rows": rows}
