"""The factor by which a series is harder than its difficulty says, learned from its own backtest
errors.

Credibility (Bühlmann 1967; Bühlmann & Straub 1970): a series' mean error is drawn to that of all
series, the more the fewer origins it has and the more its origins differ beside the series. How far
is estimated, so series that are alike stay alike.
"""

from __future__ import annotations

import numpy as np

from framework.data.arrays import Float64, Rows

#: A factor is at least this, so that a series without an error keeps an interval.
LEAST = 0.05


def own_factors(
    size: Float64, step: Rows, series: Rows, origin: Rows, count: int
) -> tuple[Float64, Float64]:
    """Estimate the factor that each series' difficulty is multiplied by.

    Errors of one origin are alike, so an origin of a series counts as one observation.

    Args:
        size: ``[n]``, absolute errors in units of the difficulty.
        step: ``[n]``, the step of each, from 1.
        series: ``[n]``, the number of its series.
        origin: ``[n]``, the number of its origin.
        count: How many series there are.

    Returns:
        ``[count]``: the factor of each series, 1 where nothing is known. ``[n]``: that of each
        error's series without the errors of its own origin, as a new origin will find it.
    """
    typical = _means(size, step)[step]
    relative = np.divide(size, typical, out=np.ones_like(size), where=typical > 0)
    windows, window = np.unique(series * (origin.max() + 1) + origin, return_inverse=True)
    value = _means(relative, window)
    owner = windows // (origin.max() + 1)
    number = np.bincount(owner, minlength=count).astype(np.int64)
    total = np.bincount(owner, value, minlength=count).astype(np.float64)
    mean, constant = _credibility(value, owner, number, total)
    if not np.isfinite(constant):
        return np.ones(count), np.ones(len(size))
    others = total[owner] - value, number[owner] - 1
    factor, left_out = (
        np.maximum((sums / mean + constant) / (counts + constant), LEAST)
        for sums, counts in ((total, number), others)
    )
    return factor, left_out[window]


def _credibility(value: Float64, owner: Rows, number: Rows, total: Float64) -> tuple[float, float]:
    """The mean of all origins, and how many origins that mean is worth beside a series' own;
    infinite where series do not differ by more than their origins do.
    """
    known = number > 0
    mean, n, freedom = float(value.mean()), len(value), len(value) - int(known.sum())
    own = np.divide(total, number, out=np.zeros_like(total), where=known)
    weight = n - float((number.astype(np.float64) ** 2).sum()) / n
    if freedom < 1 or weight <= 0 or mean <= 0:
        return mean, np.inf
    within = float(((value - own[owner]) ** 2).sum()) / freedom
    spread = float((number * (own - mean) ** 2)[known].sum()) - (int(known.sum()) - 1) * within
    between = spread / weight
    return mean, within / between if between > 0 else np.inf


def _means(values: Float64, group: Rows) -> Float64:
    """The mean of each group, by its number."""
    total, count = np.bincount(group, values), np.bincount(group)
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0)
