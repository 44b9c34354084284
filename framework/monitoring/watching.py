"""Verdicts on the forecasts that were served: drift of an arm, series that drifted, anomalies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import NormalDist
from typing import Any

import numpy as np

from framework.data.arrays import Flags, Float64, Rows
from framework.data.frequency import Frequency
from framework.data.grouping import time_numbers
from framework.monitoring import drift, observations
from framework.monitoring.alerts import length_of
from framework.monitoring.promised import Promise
from framework.monitoring.served import Served


@dataclass(frozen=True, slots=True)
class Watched:
    """The settings of verdicts.

    ``alpha``: the probability of any false alarm of one arm, pair and target in a review period of
    ``review`` observations. ``false_share``: of the series that are named, how many may be false.
    ``season``: steps. ``anomaly``: the probability that a normal actual is called one.
    """

    frequency: Frequency
    season: int
    alpha: float
    false_share: float
    review: int
    anomaly: float


def watch(served: Served, promise: Promise, target: int, how: Watched) -> list[dict[str, Any]]:
    """Judge one target of one pair: a finding for each horizon bucket and test.

    Args:
        served: The pair's forecasts with their actuals.
        promise: What it promised.
        target: The number of the target.
        how: How verdicts are made.

    Returns:
        Of each: ``signal``, ``steps`` (first and last), ``verdict``, ``evidence`` (the highest
        wealth of the review period that is going on), ``threshold``, ``backtest`` (the mean of the
        backtest), ``delta``, ``live`` (the mean since serving), ``observations``, ``path`` (origin
        and wealth after it, of the review period), and for an alarm ``since``, the origin that it
        came with.
    """
    past = promise.backtest.where(promise.backtest.target == target)
    live = served.where((served.target == target) & np.isfinite(served.actual))
    buckets = observations.buckets(promise.schema.horizon)
    tests = len(buckets) * len(observations.TESTS)
    before = _observed(past, past, promise, how)
    reference = drift.make_reference(_of_days(past, before))
    signals = []
    for first, last in buckets:
        tested, origins = _of_origins(live, past, promise, how, (first, last))
        path = drift.wealth(tested, reference, how.review)
        start = (len(path) - 1) // how.review * how.review if len(path) else 0
        limit = drift.threshold(tests, how.alpha)
        verdicts = drift.verdicts(path[start:], tested, reference, tests, how.alpha)
        for place, name in enumerate(observations.TEST_NAMES):
            alarm = drift.first_alarm(path[start:, place], limit)
            known = tested[:, place][np.isfinite(tested[:, place])]
            signals.append(
                {
                    "signal": name,
                    "steps": [first, last],
                    "verdict": verdicts[place],
                    "evidence": float(path[start:, place].max(initial=1.0)),
                    "threshold": limit,
                    "backtest": _number(reference.mean[place]),
                    "delta": _number(reference.delta[place]),
                    "live": _number(known.mean()) if len(known) else None,
                    "observations": len(known),
                    "path": [
                        [str(origin), float(f"{wealth:.4g}")]
                        for origin, wealth in zip(
                            origins[start:], path[start:, place].tolist(), strict=True
                        )
                    ],
                    **({} if alarm is None else {"since": str(origins[start + alarm])}),
                }
            )
    return signals


def drifted_series(
    served: Served, promise: Promise, target: int, how: Watched
) -> list[dict[str, Any]]:
    """Name the series whose forecasts of one step drifted, by e-BH: ``entity`` and ``evidence``."""
    past = promise.backtest.where(promise.backtest.target == target)
    live = served.where((served.target == target) & np.isfinite(served.actual) & (served.step == 1))
    series = _numbered(past, live)
    if not len(live) or not len(past):
        return []
    count = len(live.entities)
    usable = series >= 0
    past, series = past.where(usable), series[usable]
    figures = _observed(past, past, promise, how)
    reference = drift.make_reference_of_series(
        _grid(figures, _days(past), series, count, gap=promise.schema.horizon)
    )
    of_live = _observed(live, past, promise, how)
    _, origin = np.unique(live.origin, return_inverse=True)
    path = drift.wealth(_grid(of_live, origin, live.series, count), reference, how.review)
    values = drift.e_value_of_series(path[-1])
    keys = promise.schema.entity_keys
    return [
        {
            "entity": dict(zip(keys, live.entities[s], strict=True)),
            "evidence": float(values[s]),
        }
        for s in np.flatnonzero(drift.e_bh(values, how.false_share))
    ]


def anomalies(
    served: Served,
    promise: Promise,
    target: int,
    how: Watched,
    windows: Sequence[timedelta] = (),
) -> dict[str, Any]:
    """Flag the actuals that the newest forecast of them made improbable.

    The p-value takes the distance from the median in units of that side of the 80 % interval, as if
    errors were normal.

    Args:
        served: The pair's forecasts with their actuals.
        promise: What it promised.
        target: The number of the target.
        how: How verdicts are made.
        windows: Lengths of time, each of which ends with the newest actual.

    Returns:
        ``checked``; ``flagged``, those whose p-value is small; ``sure``, those that e-BH chooses
        from all actuals of their series; ``worst``, the most improbable of both; ``windows``, how
        many sure ones are in each, by its length.
    """
    newest = served.where((served.target == target) & np.isfinite(served.actual))
    times, cell = time_numbers(newest.time)
    cell += np.multiply(newest.series, len(times), dtype=np.int64)
    nearest = np.full(len(newest.entities) * len(times), -1, dtype=np.int64)
    for step in range(promise.schema.horizon, 0, -1):  # the last one stays: of the smallest step
        rows = np.flatnonzero(newest.step == step)
        nearest[cell[rows]] = rows
    newest = newest.where(nearest[nearest >= 0])
    low, high = promise.own_ends(newest)
    median = promise.median(newest)
    error = newest.actual - median
    half = np.where(error > 0, high - median, median - low)
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = np.abs(error) / (half / NormalDist().inv_cdf(0.9))
    known = np.isfinite(half) & (half > 0)
    newest, distance, median = newest.where(known), distance[known], median[known]
    p_values = np.array([math.erfc(one / math.sqrt(2)) for one in distance.tolist()])
    sure = drift.e_bh_of_groups(drift.e_values_of(p_values), newest.series, how.false_share)
    limit = NormalDist().inv_cdf(1 - how.anomaly / 2)
    flagged = np.flatnonzero(sure | (distance >= limit))
    worst = flagged[np.argsort(-distance[flagged], kind="stable")][:20]
    keys = promise.schema.entity_keys
    end = times.max() if len(times) else np.datetime64("NaT")
    return {
        "checked": len(newest),
        "flagged": len(flagged),
        "sure": int(sure.sum()),
        "windows": {
            length_of(window): int((sure & (newest.time > end - np.timedelta64(window))).sum())
            for window in windows
        },
        "worst": [
            {
                "entity": dict(zip(keys, newest.entities[newest.series[i]], strict=True)),
                "time": str(newest.time[i]),
                "actual": float(newest.actual[i]),
                "forecast": float(median[i]),
                "p": float(p_values[i]),
                "sure": bool(sure[i]),
            }
            for i in worst
        ],
    }


def _observed(rows: Served, past: Served, promise: Promise, how: Watched) -> Float64:
    """The one-sided observations of each row, ``[n, tests]``. ``past``: the backtest; when it is
    ``rows``, each error is left out of the spread that it is judged by.
    """
    series = _numbered(rows, past)
    position = _position(rows, past, how)
    spread = _spread(rows, past, promise, series, position, how)
    low, high = promise.own_ends(rows)
    return observations.one_sided(
        observations.figures(rows.actual, rows.before, promise.median(rows), low, high, spread)
    )


def _spread(
    rows: Served, past: Served, promise: Promise, series: Rows, position: Rows, how: Watched
) -> Float64:
    """The reference spread of each row: of its series and season position, times how much larger
    errors are at its step.
    """
    error = np.abs(past.actual - promise.median(past))
    known = np.isfinite(error)
    steps = promise.schema.horizon
    total = np.bincount(past.step[known] - 1, error[known], minlength=steps)
    count = np.bincount(past.step[known] - 1, minlength=steps)
    typical = float(error[known].mean()) if known.any() else np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = np.where(count > 0, total / count / typical, 1.0)
    factor = np.where(factor > 0, factor, 1.0)
    scaled = error / factor[past.step - 1]
    shape, places = (len(past.entities), how.season), _position(past, past, how)
    if rows is past:
        spread = observations.reference_spread_without_own(scaled, past.series, places, shape)
    else:
        table = observations.reference_spread(scaled, past.series, places, shape)
        spread = np.where(series >= 0, table[np.maximum(series, 0), position], np.nan)
    return np.asarray(spread * factor[rows.step - 1])


def _position(rows: Served, past: Served, how: Watched) -> Rows:
    start = past.time.min() if len(past) else np.datetime64(0, "us")
    steps = how.frequency.steps_between(np.broadcast_to(start, rows.time.shape), rows.time)
    return steps % how.season


def _numbered(rows: Served, by: Served) -> Rows:
    """The number that each row's entity has in ``by``, -1 where it has none."""
    numbers = {tuple(entity): i for i, entity in enumerate(by.entities)}
    of_series = np.array(
        [numbers.get(tuple(entity), -1) for entity in rows.entities], dtype=np.int64
    )
    return of_series[rows.series] if len(rows) else np.zeros(0, dtype=np.int64)


def _days(past: Served) -> Rows:
    """Number the origin and step of each row of a backtest: steps of one origin follow each
    other.
    """
    _, origin = np.unique(past.origin, return_inverse=True)
    steps = int(past.step.max(initial=1))
    return np.asarray(origin * steps + past.step - 1)


def _of_days(past: Served, figures: Float64) -> Float64:
    """Observations of a backtest in order: the mean over series of each origin and step, and an
    unknown one between two origins.
    """
    horizon = int(past.step.max(initial=1))
    none = np.zeros(len(past), dtype=np.int64)
    return _grid(figures, _days(past), none, 1, gap=horizon)[:, 0]


def _grid(figures: Float64, day: Rows, series: Rows, count: int, gap: int | None = None) -> Float64:
    """``[days, series, tests]``: means of the known figures. With ``gap`` an unknown day follows
    each ``gap`` days.
    """
    days = int(day.max(initial=-1)) + 1
    tests = figures.shape[1]
    out = np.full((days, count, tests), np.nan)
    place = day * count + series
    for k in range(tests):
        known = np.isfinite(figures[:, k])
        total = np.bincount(place[known], figures[known, k], minlength=days * count)
        number = np.bincount(place[known], minlength=days * count)
        out[..., k] = observations.ratio(total, number).reshape(days, count)
    if gap is None:
        return out
    parts = out.reshape(-1, gap, count, tests) if days % gap == 0 else out[None]
    unknown = np.full((len(parts), 1, count, tests), np.nan)
    return np.concatenate([parts, unknown], axis=1).reshape(-1, count, tests)


def _of_origins(
    live: Served, past: Served, promise: Promise, how: Watched, bucket: tuple[int, int]
) -> tuple[Float64, Any]:
    """Observations of the live forecasts of a bucket, and their origins: those that are whole and
    do not overlap.
    """
    inside = np.flatnonzero((live.step >= bucket[0]) & (live.step <= bucket[1]))
    origins, origin = time_numbers(live.origin[inside])
    if not len(origins):
        return np.empty((0, len(observations.TESTS))), origins
    newest = live.time[inside].max()
    ends = how.frequency.shift(origins, bucket[1])
    position = how.frequency.steps_between(np.broadcast_to(origins[0], origins.shape), origins)
    whole: Flags = ends <= newest
    selection = np.zeros(len(origins), dtype=bool)
    selection[np.flatnonzero(whole)] = observations.spaced(position[whole], bucket[1])
    choice = selection[origin]
    live = live.where(inside[choice])
    origin = (np.cumsum(selection) - 1)[origin[choice]]
    figures = _observed(live, past, promise, how)
    none = np.zeros(len(live), dtype=np.int64)
    return _grid(figures, origin, none, 1)[:, 0], origins[selection]


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
