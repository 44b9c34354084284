"""Say which feature, forecast or error changed, and which way. A diagnosis is never an alarm: tests
of data alarm on season and trend, which is why values are compared at the same season positions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from framework.data.arrays import Flags, Float64, Objects, Rows, Times
from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.monitoring.promised import Promise
from framework.monitoring.served import Served

#: Fewer values on a side are not compared.
FEWEST = 30
#: Values of a side that are looked at, evenly spread.
_MOST = 200_000
#: Bins of the PSI, and the least share of one.
_BINS, _LEAST_SHARE = 10, 1e-4


def compared(
    reference: Float64, live: Float64, reference_place: Rows, live_place: Rows, places: int
) -> dict[str, Any] | None:
    """Compare two samples at the same season positions.

    Reference values are weighted so that each position has the share that it has among the live
    ones.

    Args:
        reference: ``[n]``, NaN where unknown.
        live: ``[m]``.
        reference_place: ``[n]``, the season position of each.
        live_place: ``[m]``.
        places: How many positions there are.

    Returns:
        ``PSI`` (of ten bins), ``KS``, ``Wasserstein`` and ``shift`` (of the mean) in standard
        deviations of the reference, and ``live``, how many values; None where there are too few.
    """
    reference, reference_place = _thinned(reference, reference_place)
    live, live_place = _thinned(live, live_place)
    counts = np.bincount(reference_place, minlength=places)
    known = counts[live_place] > 0
    live, live_place = live[known], live_place[known]
    if len(reference) < FEWEST or len(live) < FEWEST:
        return None
    shares = np.bincount(live_place, minlength=places) / len(live)
    weights = (shares / np.maximum(counts, 1))[reference_place]
    mean = float(weights @ reference)
    spread = float(np.sqrt(weights @ (reference - mean) ** 2)) or 1.0
    values = np.concatenate([reference, live])
    order = np.argsort(values, kind="stable")
    values = values[order]
    below = np.cumsum(np.concatenate([weights, np.zeros(len(live))])[order])
    live_share = np.concatenate([np.zeros(len(reference)), np.full(len(live), 1 / len(live))])
    live_below = np.cumsum(live_share[order])
    last_of_equals = np.append(values[1:] != values[:-1], True)
    distance = np.abs(below - live_below)
    return {
        "PSI": _psi(values[last_of_equals], below[last_of_equals], live_below[last_of_equals]),
        "KS": float(distance[last_of_equals].max()),
        "Wasserstein": float((distance[:-1] * np.diff(values)).sum()) / spread,
        "shift": (float(live.mean()) - mean) / spread,
        "live": len(live),
    }


def features(
    panel: Panel, since: np.datetime64, frequency: Frequency, season: int
) -> list[dict[str, Any]]:
    """Compare the numeric features since a time with those before, each series by its own scale.

    Args:
        panel: The rows of the offline store.
        since: The first origin that was served (UTC).
        frequency: Of the steps.
        season: Steps of a season.

    Returns:
        Of each feature its name and what :func:`compared` says, the largest ``KS`` first.
    """
    series = np.repeat(np.arange(len(panel.entities)), np.diff(panel.offsets))
    place = season_place(
        panel.times, panel.times[:1].min() if len(panel) else since, frequency, season
    )
    live = panel.times > since
    findings = []
    for c, name in enumerate(panel.past_names):
        values = _by_own_scale(panel.past[:, c], series, ~live, len(panel.entities))
        one = compared(values[~live], values[live], place[~live], place[live], season)
        if one is not None:
            findings.append({"signal": "feature", "name": name, **one})
    return sorted(findings, key=lambda one: -one["KS"])


def forecasts(
    served: Served, promise: Promise, frequency: Frequency, season: int
) -> list[dict[str, Any]]:
    """Compare what a pair forecast, and its errors, with those of its backtest.

    Args:
        served: Its forecasts with their actuals.
        promise: What it promised.
        frequency: Of the steps.
        season: Steps of a season.

    Returns:
        Of each target a ``forecast`` and a ``residual``, as :func:`compared` says.
    """
    past = promise.backtest
    start = past.time.min() if len(past) else np.datetime64(0, "us")
    findings = []
    for t, name in enumerate(promise.schema.targets):
        for signal in ("forecast", "residual"):
            sides = []
            for one in (past, served):
                values = one.values[:, 0] - (one.actual if signal == "residual" else 0.0)
                rows = _sampled((one.target == t) & np.isfinite(values))
                places = season_place(one.time[rows], start, frequency, season)
                sides.append((values[rows], places))
            (reference, place), (live, live_place) = sides
            figures = compared(reference, live, place, live_place, season)
            if figures is not None:
                findings.append({"signal": signal, "name": name, **figures})
    return findings


def season_place(times: Times, start: np.datetime64, frequency: Frequency, season: int) -> Rows:
    """Give the place in the season of each time, counted from ``start``."""
    steps = frequency.steps_between(np.broadcast_to(start, times.shape), times)
    return np.asarray(steps % season, dtype=np.int64)


def _thinned(values: Float64, place: Rows) -> tuple[Float64, Rows]:
    rows = _sampled(np.isfinite(values))
    return values[rows], place[rows]


def _sampled(known: Flags) -> Rows:
    """The rows of those that are known, at most :data:`_MOST` of them, evenly spread."""
    rows = np.flatnonzero(known)
    return rows[:: -(-len(rows) // _MOST) or 1]


def _psi(values: Float64, below: Float64, live_below: Float64) -> float:
    """Population stability index over deciles of the reference."""
    edges = np.searchsorted(below, np.arange(1, _BINS) / _BINS)
    edges = np.unique(np.minimum(edges, len(values) - 1))
    shares = [
        np.maximum(np.diff(np.concatenate([[0.0], side[edges], [1.0]])), _LEAST_SHARE)
        for side in (below, live_below)
    ]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def _by_own_scale(values: Float64, series: Rows, before: Any, count: int) -> Float64:
    """Each value in standard deviations from the mean that its series had before; one of a series
    without a history is unknown.
    """
    usable = before & np.isfinite(values)
    number = np.bincount(series[usable], minlength=count).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(series[usable], values[usable], minlength=count) / number
        distance = (values - mean[series]) ** 2
        spread = np.sqrt(np.bincount(series[usable], distance[usable], minlength=count) / number)
    spread = np.where(spread > 0, spread, 1.0)
    return np.asarray((values - mean[series]) / spread[series])


def new_categories(panel: Panel, promise: Promise, keys: int) -> list[dict[str, Any]]:
    """Find values of categories that the training of a pair did not see.

    Args:
        panel: The rows of the offline store.
        promise: What the pair promised.
        keys: How many of the panel's static columns are entity keys.

    Returns:
        Of each ``finding``, ``feature``, ``value``, how many ``series`` have it and ``since`` when.
    """
    series = np.repeat(np.arange(len(panel.entities)), np.diff(panel.offsets))
    findings = []
    for s, name in list(enumerate(panel.static_names))[keys:]:
        categories = promise.schema.categories.get(name)
        if categories is None:
            continue
        words, place = _words(panel.static[:, s])
        for w, word in enumerate(words):
            if word is not None and word not in categories:
                rows = np.flatnonzero(place == w)
                findings.append(
                    {
                        "finding": "new_category",
                        "feature": name,
                        "value": word,
                        "series": len(np.unique(series[rows])),
                        "since": str(panel.times[rows].min()),
                    }
                )
    return findings


def _words(column: Objects) -> tuple[list[str | None], Rows]:
    numbers: dict[str | None, int] = {}
    place = np.array([numbers.setdefault(word, len(numbers)) for word in column], dtype=np.int64)
    return list(numbers), place


#: Steps that a value must repeat, and how many times longer than ever before.
_REPEATS, _LONGER = 5, 2
#: Steps of a history before the repeats.
_HISTORY = 30


def dead_sensors(panel: Panel) -> list[dict[str, Any]]:
    """Find features whose newest steps repeat one value, or null, for longer than they ever did.

    Args:
        panel: The rows of the offline store.

    Returns:
        Of each ``finding``, ``feature``, ``entity``, ``value`` (None for null), the ``repeats``
        and ``since`` when.
    """
    findings = []
    sizes, last = np.diff(panel.offsets), panel.offsets[1:] - 1
    for c, name in enumerate(panel.past_names):
        values = panel.past[:, c]
        begins = np.ones(len(values), dtype=bool)
        before, after = values[:-1], values[1:]
        begins[1:] = ~((before == after) | (np.isnan(before) & np.isnan(after)))
        begins[panel.offsets[:-1]] = True
        run = np.cumsum(begins) - 1
        lengths = np.bincount(run)
        newest = run[last]
        others = lengths.copy()
        others[newest] = 0
        longest = np.maximum.reduceat(others, run[panel.offsets[:-1]]) if len(run) else others
        repeats = lengths[newest]
        dead = (repeats >= np.maximum(_REPEATS, _LONGER * longest + 1)) & (
            sizes - repeats >= _HISTORY
        )
        findings += [
            {
                "finding": "dead_sensor",
                "feature": name,
                "entity": dict(zip(panel.entity_keys, map(str, panel.entities[i]), strict=True)),
                "value": None if np.isnan(values[last[i]]) else float(values[last[i]]),
                "repeats": int(repeats[i]),
                "since": str(panel.times[last[i] - repeats[i] + 1]),
            }
            for i in np.flatnonzero(dead)
        ]
    return findings
