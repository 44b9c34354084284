"""The backtest's numbers inside the page, for the plot in which a person chooses a series."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from markupsafe import Markup

from framework.data.arrays import Float64
from framework.evaluation.result import BacktestResult
from framework_report.figures import SeriesErrors

#: Forecast steps that a page holds, of all targets together: about a megabyte and a half.
STEPS = 40_000


def explorable(result: BacktestResult, errors: list[SeriesErrors], baseline: str) -> dict[str, Any]:
    """Give the numbers of as many series as fit, the worst first.

    Args:
        result: The backtest.
        errors: The errors of each target.
        baseline: The baseline's name.

    Returns:
        ``data``: what the script reads, as JSON that is safe inside a page; ``shown`` and
        ``count``: how many series of the first target it has, and how many there are.
    """
    room = STEPS // len(errors)
    quantiles = result.schema.quantiles
    targets, series_count = [], 0
    for target, one in enumerate(errors):
        series, step_count = [], 0
        for number in one.worst_first():
            windows = np.flatnonzero(one.rows == number)
            step_count += len(windows) * result.schema.horizon
            if step_count > room and series:
                break
            series.append(_series(result, target, windows, one.names[number]))
        targets.append({"name": result.schema.targets[target], "series": series})
        series_count = series_count or len(series)
    body = {
        "baseline": baseline,
        "horizon": result.schema.horizon,
        "band": [f"{100 * q:g} %" for q in (quantiles[0], quantiles[-1])]
        if len(quantiles) > 1
        else None,
        "targets": targets,
    }
    text = json.dumps(body, separators=(",", ":")).replace("<", "\\u003c")
    return {"data": Markup(text), "shown": series_count, "count": len(errors[0].worst_first())}  # noqa: S704  every < of a name is escaped


def _series(result: BacktestResult, target: int, windows: Any, name: str) -> dict[str, Any]:
    """The windows of one series, by origin; times are minutes since 1970."""
    windows = windows[np.argsort(result.origins[windows], kind="stable")]
    values = {
        "actual": result.actual[windows, :, target],
        "forecast": result.forecast[windows, :, target, 0],
        "baseline": result.baseline[windows, :, target],
    }
    if len(result.schema.quantiles) > 1:
        values |= {
            "low": result.forecast[windows, :, target, 1],
            "high": result.forecast[windows, :, target, -1],
        }
    return {
        "name": name,
        "origins": result.origins[windows].astype("M8[m]").astype(np.int64).tolist(),
        "times": result.times[windows].astype("M8[m]").astype(np.int64).ravel().tolist(),
        **{key: _numbers(part) for key, part in values.items()},
    }


def _numbers(values: Float64) -> list[float | None]:
    """Five digits; null for what is unknown."""
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in values.ravel().tolist()]
