"""The report of ``run=monitor``: the figures, verdicts and estimates of every arm and pair."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from framework.data.arrays import Float64
from framework.data.panel import Panel
from framework.monitoring import diagnosis, judging, watching
from framework.monitoring.actuals import scales_of
from framework.monitoring.alerts import length_of
from framework.monitoring.promised import Promise
from framework.monitoring.served import Answering, Served
from framework.monitoring.watching import Watched


def report_path(state: Path, name: str) -> Path:
    """Name the file that the newest ``run=monitor`` kept: its result, and the reports of all pairs
    as ``pairs``.
    """
    return state / "monitoring" / f"{name}.json"


def pair_report(
    answering: Answering,
    served: Served,
    promise: Promise,
    panel: Panel | None,
    how: Watched,
    *,
    seed: int,
    series_count: int,
    windows: Sequence[timedelta] = (),
) -> dict[str, Any]:
    """Report of one arm and pair.

    Args:
        answering: The arm, and the version and digest of its pair.
        served: Its forecasts with their actuals.
        promise: What the pair promised.
        panel: The rows of the offline store, None when it has none.
        how: How verdicts are made.
        seed: Of the resampling.
        series_count: The worst series that are listed of each target.
        windows: The newest actuals of each are judged by themselves, too.
    """
    arm, version, digest = answering
    targets = promise.schema.targets
    scale = scales_of(
        panel,
        served.entities,
        served.series,
        served.origin,
        served.target,
        targets=len(targets),
        season_length=how.season,
    )
    backtest = promise.backtest
    bands = judging.bands(promise, seed)
    live_steps = judging.by_step(served, scale, promise)
    past_steps = judging.by_step(backtest, promise.scale, promise)
    head = {"arm": arm, "version": version}
    return {
        "arm": arm,
        "version": version,
        "digest": digest,
        "live": judging.by_target(served, scale, promise),
        "backtest": judging.by_target(backtest, promise.scale, promise),
        "windows": {
            length_of(window): judging.by_target(*_newest(served, scale, window), promise)
            for window in windows
        },
        "by_step": {
            target: _beside(live_steps[target], past_steps[target], bands[target])
            for target in targets
        },
        "by_day": judging.by_day(served, scale, promise),
        "worst_series": judging.worst_series(served, scale, promise, series_count),
        "expected": judging.expected(served, promise, targets),
        "drift": [
            {"target": name, **head, **finding}
            for t, name in enumerate(targets)
            for finding in watching.watch(served, promise, t, how)
        ],
        "drifted_series": [
            {"target": name, **head, **finding}
            for t, name in enumerate(targets)
            for finding in watching.drifted_series(served, promise, t, how)
        ],
        "diagnosis": diagnosis.forecasts(served, promise, how.frequency, how.season),
        "anomalies": {
            name: watching.anomalies(served, promise, t, how, windows)
            for t, name in enumerate(targets)
        },
    }


def _newest(served: Served, scale: Float64, window: timedelta) -> tuple[Served, Float64]:
    """The forecasts whose actual lies within the window that ends with the newest one."""
    known = np.isfinite(served.actual)
    if not known.any():
        return served, scale
    recent = served.time > served.time[known].max() - np.timedelta64(window)
    return served.where(recent), scale[recent]


def _beside(
    live: list[dict[str, Any]], past: list[dict[str, Any]], bands: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Each live step with the backtest's figures and bands, and which figures are outside."""
    by_step = {one["step"]: one for one in past}
    band_of = {one["step"]: one for one in bands}
    rows = []
    for one in live:
        promised, ends = (
            {name: value for name, value in side.get(one["step"], {}).items() if name != "step"}
            for side in (by_step, band_of)
        )
        outside = [
            name
            for name, (low, high) in ends.items()
            if name in one and not low <= one[name] <= high
        ]
        rows.append({**one, "backtest": promised, "band": ends, "outside_band": outside})
    return rows
