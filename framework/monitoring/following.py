"""The excess of misses of what a pair has served, which its levels follow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from framework.data.arrays import Float64
from framework.data.frequency import Frequency
from framework.data.time import format_times
from framework.monitoring.promised import Promise
from framework.monitoring.served import Served
from framework.pairs.adaptive_levels import FOLLOWED


def excess_by_time(arms: Sequence[Served], promise: Promise) -> dict[str, Float64]:
    """Count the misses of a pair's intervals as they were served.

    The steps of an origin weigh alike, each by the share of its series that were missed, less the
    nominal share. A level that the pair has too few errors for is not followed.

    Args:
        arms: What the pair has served under each of its aliases, with actuals.
        promise: Of the pair, with the levels that it was served with.

    Returns:
        By the time of the actuals (ISO 8601, UTC) ``[T, L]``: the sum over the origins, each step
        1 / H of one.
    """
    schema, calibration = promise.schema, promise.calibration
    if calibration is None:
        return {}
    cells, misses = [], []
    able = calibration.highest_level() >= FOLLOWED
    for served in arms:
        usable = np.flatnonzero(np.isfinite(served.actual) & np.isfinite(served.values[:, 0]))
        for start in range(0, len(usable), 500_000):
            rows = served.where(usable[start : start + 500_000])
            missed = np.zeros((len(rows), len(FOLLOWED)))
            known = np.ones(len(rows), dtype=bool)
            for place in np.flatnonzero(able):
                low, high = promise.ends_at(rows, float(FOLLOWED[place]))
                known &= np.isfinite(low)
                missed[:, place] = (rows.actual < low) | (rows.actual > high)
            cell = np.stack([rows.time.astype(np.int64), rows.target, rows.step], axis=1)
            cells.append(cell[known])
            misses.append(missed[known])
    if not cells:
        return {}
    groups, group = np.unique(np.concatenate(cells), axis=0, return_inverse=True)
    group = group.reshape(-1)
    missed = np.concatenate(misses)
    counts = np.bincount(group, minlength=len(groups))
    shares = np.stack(
        [np.bincount(group, column, minlength=len(groups)) / counts for column in missed.T], axis=1
    )
    excess = np.where(able, shares - (1 - FOLLOWED / 100), 0.0) / schema.horizon
    times, time = np.unique(groups[:, 0], return_inverse=True)
    sums = np.zeros((len(times), len(schema.targets), len(FOLLOWED)))
    np.add.at(sums, (time.reshape(-1), groups[:, 1]), excess)
    return dict(zip(map(str, format_times(times.astype("M8[us]"))), sums, strict=True))


def reach(arms: Sequence[Served], promise: Promise) -> tuple[str, str]:
    """Say how far back the forecasts of a pair go.

    Args:
        arms: What the pair has served under each of its aliases.
        promise: Of the pair.

    Returns:
        The oldest origin, and the oldest time that every origin since then can have forecast
        (ISO 8601, UTC); empty without a forecast.
    """
    origins = [served.origin.min() for served in arms if len(served)]
    if not origins:
        return "", ""
    frequency = Frequency.parse(promise.schema.frequency)
    first = np.array([min(origins)])
    ends = np.concatenate([first, frequency.shift(first, promise.schema.horizon)])
    oldest, whole = map(str, format_times(ends.astype("M8[us]")))
    return oldest, whole
