"""Season lengths that a panel's own values show, by autocorrelation."""

from __future__ import annotations

import numpy as np

from framework.data.arrays import Float64
from framework.data.panel import Panel

#: Series that are looked at, evenly spaced, and the last steps of each.
SERIES, STEPS = 60, 6_000
#: The longest season, in steps.
LONGEST = 2_016
#: Seasons that a series must hold before it says anything of one.
_HELD = 6
#: The smallest autocorrelation of a season, in itself and in units of what chance gives, and how
#: much higher than at the multiples of a shorter season it is.
_LEAST, _CHANCE, _ABOVE = 0.15, 5.0, 0.1
#: The share of a peak's height from which a part of its length is the season, or another one.
_NEARLY, _PART = 0.85, 0.4
#: Changes beyond so many of their usual size are cut: one outlier decides nothing.
_CUT = 5.0


def found_seasons(
    panel: Panel, column: int, known: tuple[int, ...], most: int = 2
) -> tuple[int, ...]:
    """Find the season lengths of a column beside those that are known.

    The changes from step to step are correlated with themselves, so that a trend is no season.
    Missing rows are left out of both sides.

    Args:
        panel: The rows.
        column: The place of the column among the past ones.
        known: Season lengths that are expected; a multiple of one is found only where it says more.
        most: How many are found at most.

    Returns:
        The season lengths, in steps, that with the highest autocorrelation first.
    """
    heights, least = _autocorrelation(panel, panel.past[:, column])
    inner = heights[1:-1]
    peaks = 1 + np.flatnonzero(
        (inner > heights[:-2]) & (inner >= heights[2:]) & (inner >= least[1:-1])
    )
    peaks = peaks[peaks > 1]
    seasons: list[int] = []
    for peak in sorted(peaks.tolist(), key=lambda lag: (-heights[lag], lag)):
        if len(seasons) == most:
            break
        season = _shortest_part(peak, peaks.tolist(), heights, least)
        others = (*seasons, *(n for n in known if 1 < n < len(heights)))
        if not any(_says_nothing_beside(season, other, heights) for other in others):
            seasons.append(season)
    return tuple(seasons)


def _says_nothing_beside(season: int, other: int, heights: Float64) -> bool:
    """Say whether a season is a multiple of another one and not clearly higher, or a part of it
    and much lower.
    """
    if season >= other:
        highest = heights[other : max(season, other + 1) : other].max()
        return _is_multiple(season, other) and bool(heights[season] < highest + _ABOVE)
    return _is_multiple(other, season) and bool(heights[season] < _PART * heights[other])


def _is_multiple(lag: int, season: int) -> bool:
    """Say whether ``lag`` is near a multiple of ``season``, or the season of one."""
    times = max(1, round(lag / season))
    return abs(lag - times * season) <= 0.02 * lag


def _shortest_part(peak: int, peaks: list[int], heights: Float64, least: Float64) -> int:
    """The shortest peak that ``peak`` is a multiple of and that is nearly as high, as far as chance
    lets it be told.
    """
    enough = min(_NEARLY * heights[peak], heights[peak] - least[peak] / 2)
    parts = [
        lag for lag in peaks if lag < peak and _is_multiple(peak, lag) and heights[lag] >= enough
    ]
    return min(parts, default=peak)


def _autocorrelation(panel: Panel, values: Float64) -> tuple[Float64, Float64]:
    """``[lags]``: the mean over series of the autocorrelation of their changes, from lag 0 on, and
    what it must reach. Lags that fewer than half of the series are long enough for are left out.
    """
    lengths = np.diff(panel.offsets)
    long_enough = np.flatnonzero(lengths >= 2 * _HELD + 2)
    nothing = np.zeros(3), np.ones(3)
    if not len(long_enough):
        return nothing
    places = np.linspace(0, len(long_enough) - 1, min(SERIES, len(long_enough))).astype(int)
    total, count, pairs = (np.zeros(LONGEST + 1) for _ in range(3))
    for series in long_enough[np.unique(places)]:
        stop = panel.offsets[series + 1]
        rows = values[max(panel.offsets[series], stop - STEPS) : stop]
        heights = _of_series(np.diff(rows))[: min(LONGEST, len(rows) // _HELD) + 1]
        known = np.isfinite(heights)
        total[: len(heights)] += np.where(known, heights, 0.0)
        count[: len(heights)] += known
        pairs[: len(heights)] += np.where(known, len(rows) - np.arange(len(heights)), 0)
    usable = np.flatnonzero(count >= max(1, count[1] / 2))
    if len(usable) < len(nothing[0]):
        return nothing
    end = int(usable[-1]) + 1
    mean = np.divide(total[:end], count[:end], out=np.zeros(end), where=count[:end] > 0)
    return mean, np.maximum(_LEAST, _CHANCE / np.sqrt(np.maximum(pairs[:end], 1)))


def _of_series(changes: Float64) -> Float64:
    """``[lags]``, NaN where no pair of changes is known, or all are alike."""
    known = np.isfinite(changes)
    if known.sum() < 2 * _HELD:
        return np.full(len(changes), np.nan)
    middle = np.median(changes[known])
    size = np.mean(np.abs(changes[known] - middle))
    if size == 0:
        return np.full(len(changes), np.nan)
    cut = np.clip((changes - middle) / size, -_CUT, _CUT)
    cut = np.where(known, cut - cut[known].mean(), 0.0)
    width = 2 * len(changes)
    product = np.fft.irfft(np.abs(np.fft.rfft(cut, width)) ** 2, width)[: len(changes)]
    pairs = np.round(np.fft.irfft(np.abs(np.fft.rfft(known, width)) ** 2, width)[: len(changes)])
    mean = np.divide(product, pairs, out=np.full(len(changes), np.nan), where=pairs >= 2)
    return np.asarray(mean / mean[0])
