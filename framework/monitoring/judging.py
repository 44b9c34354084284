"""The accuracy of served forecasts, beside what the backtest of the same pair promised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from framework.data.arrays import Float64, Rows
from framework.data.grouping import time_numbers
from framework.evaluation.metrics import Tally
from framework.monitoring.promised import Promise
from framework.monitoring.served import Served

#: Resamples of the backtest's origins, and the ends of their band.
RESAMPLES, BAND = 1000, (2.5, 97.5)
#: A mean absolute error beside half the width of an 80 % interval, for normal errors.
_ERROR_BY_HALF_WIDTH = 0.7979 / 1.2816


def judge(
    served: Served, scale: Float64, promise: Promise, groups: Rows, count: int
) -> list[dict[str, Any]]:
    """Judge forecasts by group: the figures of :func:`framework.evaluation.metrics.score`,
    ``coverage_80``, and the number of ``steps`` whose actual is known. A figure of no step is left
    out.
    """
    tally, inside = _sums(served, scale, promise, groups, count)
    figures, steps = _figures(tally, inside), tally.steps()
    return [
        {
            **{m: float(v[g]) for m, v in figures.items() if np.isfinite(v[g])},
            "steps": int(steps[g]),
        }
        for g in range(count)
    ]


def _sums(
    served: Served, scale: Float64, promise: Promise, groups: Rows, count: int
) -> tuple[Tally, Float64]:
    """A tally, and ``[2, count]``: the steps inside the 80 % interval, and those that have one."""
    tally, inside = Tally(promise.schema.quantiles, groups=count), np.zeros((2, count))
    for piece in served.pieces():
        part, group = served.where(piece), groups[piece]
        tally.add(part.actual, part.values, scale[piece], groups=group)
        low, high = promise.ends(part)
        known = np.isfinite(part.actual) & np.isfinite(low) & (group >= 0)
        covered = ((low <= part.actual) & (part.actual <= high))[known]
        inside[0] += np.bincount(group[known], covered, minlength=count)
        inside[1] += np.bincount(group[known], minlength=count)
    return tally, inside


def _figures(tally: Tally, inside: Float64) -> dict[str, Float64]:
    """The figures of each group; ``coverage`` is that of the 80 % interval where the pair has no
    two quantiles.
    """
    figures = dict(tally.figures())
    with np.errstate(invalid="ignore"):
        figures["coverage_80"] = inside[0] / inside[1]
    figures.setdefault("coverage", figures["coverage_80"])
    return figures


def by_target(served: Served, scale: Float64, promise: Promise) -> dict[str, dict[str, Any]]:
    """The figures of each target over all steps."""
    targets = promise.schema.targets
    figures = judge(served, scale, promise, served.target, len(targets))
    return dict(zip(targets, figures, strict=True))


def by_step(served: Served, scale: Float64, promise: Promise) -> dict[str, list[dict[str, Any]]]:
    """The figures of each target and step; steps without any are left out."""
    schema = promise.schema
    groups = served.target * schema.horizon + served.step - 1
    figures = judge(served, scale, promise, groups, len(schema.targets) * schema.horizon)
    return {
        target: [
            {"step": h + 1, **figures[t * schema.horizon + h]}
            for h in range(schema.horizon)
            if figures[t * schema.horizon + h]["steps"]
        ]
        for t, target in enumerate(schema.targets)
    }


def by_day(served: Served, scale: Float64, promise: Promise) -> dict[str, list[dict[str, Any]]]:
    """The figures of each target and day of the actual, UTC."""
    days, day = time_numbers(served.time.astype("M8[D]"))
    targets = promise.schema.targets
    figures = judge(
        served, scale, promise, served.target * len(days) + day, len(targets) * len(days)
    )
    return {
        target: [
            {"day": str(days[d]), **figures[t * len(days) + d]}
            for d in range(len(days))
            if figures[t * len(days) + d]["steps"]
        ]
        for t, target in enumerate(targets)
    }


def worst_series(
    served: Served, scale: Float64, promise: Promise, count: int
) -> dict[str, list[dict[str, Any]]]:
    """The series with the largest MASE (MAE where there is none) of each target."""
    schema, series = promise.schema, len(served.entities)
    groups = served.target * series + served.series
    figures = judge(served, scale, promise, groups, len(schema.targets) * series)
    return {
        target: sorted(
            (
                {"entity": dict(zip(schema.entity_keys, served.entities[s], strict=True)), **one}
                for s, one in enumerate(figures[t * series : (t + 1) * series])
                if one["steps"]
            ),
            key=lambda one: -one.get("MASE", one["MAE"]),
        )[:count]
        for t, target in enumerate(schema.targets)
    }


def bands(promise: Promise, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Resample the origins of the backtest, for each target and step: the low and high end of each
    figure. What the backtest does not know is left out.
    """
    past, schema = promise.backtest, promise.schema
    cells = len(schema.targets) * schema.horizon
    if not len(past):
        return {
            target: [{"step": h + 1} for h in range(schema.horizon)] for target in schema.targets
        }
    origins, group = time_numbers(past.origin)
    group = group * cells + past.target * schema.horizon + past.step - 1
    tally, inside = _sums(past, promise.scale, promise, group, len(origins) * cells)
    draws = (
        np.random.default_rng(seed)
        .multinomial(len(origins), np.full(len(origins), 1 / len(origins)), RESAMPLES)
        .astype(np.float64)
    )
    inside = (draws @ inside.reshape(2, len(origins), cells)).reshape(2, -1)
    ends: dict[str, Float64] = {}
    for name, values in _figures(tally.weighted(draws), inside).items():
        resampled = values.reshape(RESAMPLES, cells)
        known = np.isfinite(resampled).any(axis=0)
        ends[name] = np.full((len(BAND), cells), np.nan)
        ends[name][:, known] = np.nanpercentile(resampled[:, known], BAND, axis=0)
    return {
        target: [
            {
                "step": h + 1,
                **{
                    name: [float(end) for end in of_cells[:, t * schema.horizon + h]]
                    for name, of_cells in ends.items()
                    if np.isfinite(of_cells[0, t * schema.horizon + h])
                },
            }
            for h in range(schema.horizon)
        ]
        for t, target in enumerate(schema.targets)
    }


def expected(served: Served, promise: Promise, targets: Sequence[str]) -> dict[str, dict[str, Any]]:
    """An estimate of the error of the forecasts whose actual has not come, from the width of their
    80 % interval as if errors were normal: ``waiting``, how many, and ``MAE_estimate``.
    """
    waiting = np.isnan(served.actual)
    served = served.where(waiting)
    low, high = promise.ends(served)
    estimates: dict[str, dict[str, Any]] = {}
    for t, target in enumerate(targets):
        of_target = served.target == t
        width = (high - low)[of_target]
        estimates[target] = {"waiting": int(of_target.sum())}
        if np.isfinite(width).any():
            estimates[target]["MAE_estimate"] = float(np.nanmean(width) / 2 * _ERROR_BY_HALF_WIDTH)
    return estimates
