"""Turn forecasts and actuals into the observations that drift is told from.

Each observation is the mean, over the series and the steps of one horizon bucket, of a figure
between 0 and 1:

- ``level``: whether the actual is above the median;
- ``outside``: whether it is outside the 80 % interval;
- ``error``: the absolute error over the reference spread of the same season position, clipped;
- ``repeat``: whether the actual equals the one a step before, as those of a dead sensor do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from framework.data.arrays import Flags, Float64, Rows

#: What is watched of each observation, and the one-sided tests that are made of it: the name, the
#: figure's place, and whether the figure or its complement must not rise.
FIGURES = ("level", "outside", "error", "repeat")
TESTS: tuple[tuple[str, int, bool], ...] = (
    ("level_up", 0, True),
    ("level_down", 0, False),
    ("outside_up", 1, True),
    ("error_up", 2, True),
    ("repeat_up", 3, True),
)
TEST_NAMES = tuple(name for name, _, _ in TESTS)

#: An error of this many reference spreads, or more, counts as 1.
CLIP = 4.0
#: Errors of the series' typical size that each season position is given.
SHRINKAGE = 10.0


def buckets(horizon: int) -> tuple[tuple[int, int], ...]:
    """Group the steps ``1..horizon``: first and last step of each, 1, 2-4, 5-16 and so on."""
    last = 1
    edges = [(1, 1)]
    while last < horizon:
        edges.append((last + 1, min(4 * last, horizon)))
        last *= 4
    return tuple(edges)


def spaced(positions: Rows, distance: int) -> Flags:
    """Pick origins whose observations do not overlap: the first, then each at least ``distance``
    steps after the one picked before.

    Args:
        positions: The origins in steps, rising.
        distance: The last step of the bucket.
    """
    selection = np.zeros(len(positions), dtype=bool)
    free_from = np.iinfo(np.int64).min
    for i, position in enumerate(positions):
        if position >= free_from:
            selection[i] = True
            free_from = int(position) + distance
    return selection


def reference_spread(
    error: Float64, series: Rows, position: Rows, shape: tuple[int, int]
) -> Float64:
    """Estimate the typical absolute error of each series and season position.

    Args:
        error: ``[n]``, the backtest's absolute errors, NaN where unknown.
        series: ``[n]``, the number of each one's series.
        position: ``[n]``, each one's place in the season.
        shape: How many series there are, and how many places a season has.

    Returns:
        ``[series, places]``; NaN for a series without any error. A place with few errors is pulled
        to the series' mean.
    """
    totals, counts = _sums(error, series, position, shape)
    return _shrunk(totals, counts, totals.sum(1, keepdims=True), counts.sum(1, keepdims=True))


def reference_spread_without_own(
    error: Float64, series: Rows, position: Rows, shape: tuple[int, int]
) -> Float64:
    """:func:`reference_spread` for each backtested error, as the others give it.

    An error that was part of its own spread would look too small beside a live one.

    Returns:
        ``[n]``.
    """
    totals, counts = _sums(error, series, position, shape)
    own, known = np.nan_to_num(error), np.isfinite(error)
    return _shrunk(
        totals[series, position] - own,
        counts[series, position] - known,
        totals.sum(1)[series] - own,
        counts.sum(1)[series] - known,
    )


def _sums(
    error: Float64, series: Rows, position: Rows, shape: tuple[int, int]
) -> tuple[Float64, Float64]:
    known = np.isfinite(error)
    place = (series * shape[1] + position)[known]
    size = shape[0] * shape[1]
    totals: Float64 = np.bincount(place, error[known], minlength=size).astype(np.float64)
    counts: Float64 = np.bincount(place, minlength=size).astype(np.float64)
    return totals.reshape(shape), counts.reshape(shape)


def _shrunk(totals: Float64, counts: Float64, all_total: Float64, all_count: Float64) -> Float64:
    typical = ratio(all_total, all_count)
    return np.asarray((totals + SHRINKAGE * typical) / (counts + SHRINKAGE))


def figures(
    actual: Float64,
    before: Float64,
    median: Float64,
    lower: Float64,
    upper: Float64,
    spread: Float64,
) -> Float64:
    """Judge each forecast by :data:`FIGURES`.

    Args:
        actual: Any shape; so are the others. NaN where unknown.
        before: The actual a step before; NaN leaves ``repeat`` unknown.
        median: The forecast's median.
        lower: Lower end of its 80 % interval.
        upper: Upper end.
        spread: The reference spread; one of 0 or NaN leaves ``error`` unknown.

    Returns:
        The shape of ``actual`` and one axis more, ``[..., 4]``, each in [0, 1] or NaN. An actual
        that equals the median counts half, so that data with many equal values stay centred.
    """
    error = np.abs(actual - median)
    level = np.where(actual == median, 0.5, (actual > median).astype(np.float64))
    outside = ((actual < lower) | (actual > upper)).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.minimum(error / (CLIP * spread), 1.0)
    size = np.where(spread > 0, size, np.nan)
    known = np.isfinite(actual) & np.isfinite(median)
    bounded = known & np.isfinite(lower) & np.isfinite(upper)
    columns = [
        np.where(known, level, np.nan),
        np.where(bounded, outside, np.nan),
        np.where(known, size, np.nan),
        np.where(np.isfinite(actual) & np.isfinite(before), actual == before, np.nan),
    ]
    return np.stack(columns, axis=-1)


def one_sided(observations: Float64) -> Float64:
    """Turn observations ``[..., 4]`` into those of the one-sided tests, ``[..., 5]``: each must not
    rise.
    """
    return np.stack(
        [
            observations[..., place] if rises else 1.0 - observations[..., place]
            for _, place, rises in TESTS
        ],
        axis=-1,
    )


def mean_over_series(tested: Float64) -> Float64:
    """Average ``[times, series, ...]`` over the series that are known, NaN where none is."""
    known = np.isfinite(tested)
    return ratio(np.where(known, tested, 0.0).sum(1), known.sum(1))


def ratio(total: npt.ArrayLike, count: npt.ArrayLike) -> Float64:
    """Divide, NaN where there is nothing to divide by."""
    divisor = np.asarray(count, dtype=np.float64)
    return np.asarray(
        np.divide(total, divisor, out=np.full(np.shape(total), np.nan), where=divisor > 0)
    )
