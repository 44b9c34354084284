"""Describe how values differ between two times: which feature, which way. Never an alarm, because
season and trend change data that a forecast expects to change.

Compare values of the same season positions, such as the same weekdays.
"""

from __future__ import annotations

import numpy as np

from framework.data.arrays import Float64

#: Bins of the population stability index, of equal shares of the reference.
BINS = 10
#: The share that an empty bin counts as.
LEAST_SHARE = 1e-4
#: Fewer values on a side say nothing.
FEWEST = 20


def difference(reference: Float64, live: Float64) -> dict[str, float | str] | None:
    """Compare two samples, None when one has fewer than :data:`FEWEST` known values.

    Returns:
        ``psi``: the population stability index. ``ks``: the largest distance of the two
        distribution functions. ``wasserstein``: the earth mover's distance in standard deviations
        of the reference. ``way``: ``up`` or ``down``, which way the mean moved.
    """
    before, after = (np.sort(side[np.isfinite(side)]) for side in (reference, live))
    if min(len(before), len(after)) < FEWEST:
        return None
    deviation = float(before.std())
    return {
        "psi": psi(before, after),
        "ks": ks(before, after),
        "wasserstein": wasserstein(before, after) / deviation if deviation > 0 else float("nan"),
        "way": "up" if after.mean() >= before.mean() else "down",
    }


def psi(before: Float64, after: Float64) -> float:
    """Compute the population stability index over bins that hold equal shares of ``before``."""
    edges = np.unique(np.quantile(before, np.arange(1, BINS) / BINS))
    shares = [
        np.maximum(
            np.bincount(np.searchsorted(edges, side, "right"), minlength=len(edges) + 1)
            / len(side),
            LEAST_SHARE,
        )
        for side in (before, after)
    ]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def ks(before: Float64, after: Float64) -> float:
    """Compute the Kolmogorov-Smirnov statistic of two sorted samples."""
    below, above = _distributions(before, after, np.concatenate([before, after]))
    return float(np.abs(below - above).max())


def wasserstein(before: Float64, after: Float64) -> float:
    """Compute the area between the distribution functions of two sorted samples, in their unit."""
    points = np.sort(np.concatenate([before, after]))
    below, above = _distributions(before, after, points[:-1])
    return float((np.abs(below - above) * np.diff(points)).sum())


def _distributions(before: Float64, after: Float64, points: Float64) -> tuple[Float64, Float64]:
    return (
        np.searchsorted(before, points, "right") / len(before),
        np.searchsorted(after, points, "right") / len(after),
    )
