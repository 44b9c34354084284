"""``run=ingest``: source -> checks -> engineered features -> the store that training reads."""

from __future__ import annotations

from typing import Any

from framework.engineering import engineer
from framework.features import Features
from framework.frequency import Frequency
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
