"""From raw data to stored features: what ``ingest`` and ``materialize`` do, and what ``train`` does first on an empty store."""

from __future__ import annotations

import fcntl
from typing import Any

from framework.engineering import engineer
from framework.features import Features, parse_time
from framework.frequency import Frequency
from framework.interfaces.retrieval import RetrievalStrategy
from framework.interfaces.source import Source
from framework.interfaces.views import View
from framework.panel import panel_from_rows
from framework.run import Run


def ingest(run: Run) -> dict[str, Any]:
    """Every view is read and checked before the first one is stored."""
    source: Source = run.make("source")
    features = Features(run.config, run.make("retrieval"))
    finished = {name: _rows(run, source, name, view) for name, view in run.config.features.views.items()}
    stored = {}
    for name, rows in finished.items():
        stored[name] = features.strategy.ingest(run.config.features, name, rows)
        run.say(f"ingest: {name}: {stored[name]:,} rows, {len(rows.columns)} columns")
    run.record.facts["source"] = source.fingerprint()
    run.record.facts["ingested_rows"] = stored
    return {"rows": stored}


def _rows(run: Run, source: Source, name: str, view: View) -> Any:
    frequency = Frequency.parse(run.config.panel.frequency)
    panel = panel_from_rows(
        source.read(view.table or name),
        entity_keys=view.entity,
        past=[c for c in view.columns if c not in view.categories],
        known=(),
        categories=view.categories,
        frequency=frequency,
        gaps=run.config.panel.gaps,
    )
    return engineer(view, panel.to_rows(), frequency)


def materialize(run: Run) -> dict[str, Any]:
    """From ``start`` (default: all) to ``at`` (default: now)."""
    strategy: RetrievalStrategy = run.make("retrieval")
    start = parse_time(run.config.start, "start") if run.config.start else None
    end = parse_time(run.config.at, "at") if run.config.at else None
    rows = strategy.materialize(run.config.features, start, end, run.say)
    for name, count in rows.items():
        run.say(f"materialize: {name}: {count:,} rows")
    return {"rows": rows}


def fill_store(run: Run, features: Features) -> None:
    """Ingest and materialize when the store has no rows of these views. Runs that begin together take turns: one does it."""
    state = run.config.paths.state
    state.mkdir(parents=True, exist_ok=True)
    with (state / "ingest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not features.strategy.has_rows(run.config.features):
            run.say("the store has no rows of these views yet: ingest and materialize first")
            ingest(run)
            materialize(run)
