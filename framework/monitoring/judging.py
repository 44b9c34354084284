"""The accuracy of served forecasts, beside what the backtest of the same pair promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from framework.data.arrays import Float64, Rows
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
    tally = Tally(promise.schema.quantiles, groups=count)
    covered, counts = np.zeros((2, count))
    for piece in served.pieces():
        part, group = served.where(piece), groups[piece]
        tally.add(part.actual, part.values, scale[piece], groups=group)
        low, high = promise.ends(part)
        known = np.isfinite(part.actual) & np.isfinite(low) & (group >= 0)
        inside = ((low <= part.actual) & (part.actual <= high))[known]
        covered += np.bincount(group[known], inside, minlength=count)
        counts += np.bincount(group[known], minlength=count)
    figures = dict(tally.figures())
    with np.errstate(invalid="ignore"):
        figures["coverage_80"] = covered / counts
    if "coverage" not in figures:
        figures["coverage"] = figures["coverage_80"]
    steps = tally.steps()
    return [
        {
            **{m: float(v[g]) for m, v in figures.items() if np.isfinite(v[g])},
            "steps": int(steps[g]),
        }
        for g in range(count)
    ]


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
    days, day = np.unique(served.time.astype("M8[D]"), return_inverse=True)
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
    """Resample the origins of the backtest, for each target and step: the low and high
    end of MAE, bias and coverage of the 80 % interval. What the backtest does not know is left out.
    """
    served, schema = promise.backtest, promise.schema
    origins, origin = np.unique(served.origin, return_inverse=True)
    cells = len(schema.targets) * schema.horizon
    cell = served.target * schema.horizon + served.step - 1
    low, high = promise.ends(served)
    error = served.values[:, 0] - served.actual
    inside = np.where(
        np.isfinite(low), ((low <= served.actual) & (served.actual <= high)).astype(float), np.nan
    )
    known = np.isfinite(error)
    draws = np.random.default_rng(seed).multinomial(
        len(origins), np.full(len(origins), 1 / len(origins)), RESAMPLES
    )
    figures: Mapping[str, Float64] = {"MAE": np.abs(error), "bias": error, "coverage_80": inside}
    ends: dict[str, Float64] = {}
    for name, values in figures.items():
        usable = known & np.isfinite(values)
        place = origin[usable] * cells + cell[usable]
        total, count = (
            np.bincount(place, weights, minlength=len(origins) * cells).reshape(-1, cells)
            for weights in (values[usable], np.ones(int(usable.sum())))
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            resampled = (draws @ total) / (draws @ count)
        known_cells = np.isfinite(resampled).any(axis=0)
        ends[name] = np.full((len(BAND), cells), np.nan)
        ends[name][:, known_cells] = np.nanpercentile(resampled[:, known_cells], BAND, axis=0)
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
