"""Rolling and expanding statistics of many series at once.

A number depends on its own series alone, bit for bit: sums run over a row's window, oldest first,
or from the series' first step, never over neighbouring series. Loops run over the steps of a window
or of a series, never over series or rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from framework.data.arrays import Float64, Rows
from framework.features.operations import Statistic

_Fold = Callable[[Float64, Float64], Float64]


def rolling(
    values: Float64, position: Rows, window: int, statistics: Sequence[Statistic]
) -> list[Float64]:
    """``[rows]`` for each statistic, over the ``window`` steps that end with the row's own; nulls
    are left out.

    ``position``: each row's step inside its series. Null until the window lies inside the series
    and where it holds no value. ``std`` is the sample standard deviation, null below two values.
    """
    null = np.isnan(values)
    plain, weight = np.where(null, 0.0, values), (~null).astype(np.float64)
    counts = _fold(weight, window, np.add, 0.0)
    usable = (position >= window - 1) & (counts > 0)
    sums = _fold(plain, window, np.add, 0.0) if {"mean", "std", "sum"} & {*statistics} else counts
    mean = sums / np.maximum(counts, 1.0)

    def of(statistic: Statistic) -> Float64:
        if statistic == "std":
            return _spread(_squares(plain, weight, mean, window), counts)
        if statistic in {"min", "max"}:
            return _fold(values, window, np.fmin if statistic == "min" else np.fmax, np.nan)
        return mean if statistic == "mean" else sums

    return [np.where(usable, of(statistic), np.nan) for statistic in statistics]


def _fold(values: Float64, window: int, combine: _Fold, start: float) -> Float64:
    """Combine each row with the ``window - 1`` before it, oldest first; rows that reach into
    another series are masked by the caller.
    """
    out = np.full(len(values), start)
    for k in range(min(window, len(values)) - 1, -1, -1):
        out[k:] = combine(out[k:], values[: len(values) - k])
    return out


def _squares(plain: Float64, weight: Float64, mean: Float64, window: int) -> Float64:
    """The sum over each row's window of the squared distances from the window's mean."""
    out = np.zeros(len(plain))
    for k in range(min(window, len(plain)) - 1, -1, -1):
        before = len(plain) - k
        out[k:] += ((plain[:before] - mean[k:]) * weight[:before]) ** 2
    return out


def _spread(squares: Float64, counts: Float64) -> Float64:
    return np.where(counts > 1, np.sqrt(squares / np.maximum(counts - 1.0, 1.0)), np.nan)


@dataclass(frozen=True, slots=True)
class _Block:
    """Series of similar length side by side: ``rows[series, steps]`` of the table, those beyond a
    series' end marked in ``beyond``.
    """

    rows: Rows
    beyond: npt.NDArray[np.bool_]


def expanding(values: Float64, position: Rows, statistics: Sequence[Statistic]) -> list[Float64]:
    """``[rows]`` for each statistic, from the series' first step to the row's own; nulls are left
    out, null until there is a value.
    """
    out = [np.full(len(values), np.nan) for _ in statistics]
    for block in _blocks(position):
        inside = ~block.beyond
        results = _expanding(np.where(block.beyond, np.nan, values[block.rows]), statistics)
        for column, result in zip(out, results, strict=True):
            column[block.rows[inside]] = result[inside]
    return out


def _blocks(position: Rows) -> Iterator[_Block]:
    """Series whose lengths lie between the same powers of two share a block: at most half of it is
    empty.
    """
    starts = np.flatnonzero(position == 0)
    lengths = np.diff(np.append(starts, len(position)))
    sizes = np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64)
    for size in np.unique(sizes):
        of_size = sizes == size
        steps = np.arange(lengths[of_size].max())
        beyond = steps[None, :] >= lengths[of_size][:, None]
        yield _Block(np.where(beyond, 0, starts[of_size][:, None] + steps[None, :]), beyond)


def _expanding(values: Float64, statistics: Sequence[Statistic]) -> list[Float64]:
    """``values[series, steps]``; a cumulative sum runs along each series by itself."""
    null = np.isnan(values)
    counts = np.cumsum(~null, axis=1).astype(np.float64)

    def of(statistic: Statistic) -> Float64:
        if statistic == "std":
            return _spread(_welford(values, null), counts)
        if statistic in {"min", "max"}:
            return np.asarray(
                (np.fmin if statistic == "min" else np.fmax).accumulate(values, axis=1)
            )
        sums = np.cumsum(np.where(null, 0.0, values), axis=1)
        return sums / np.maximum(counts, 1.0) if statistic == "mean" else sums

    return [np.where(counts > 0, of(statistic), np.nan) for statistic in statistics]


def _welford(values: Float64, null: npt.NDArray[np.bool_]) -> Float64:
    """Running sums of squared distances from the running mean (Welford 1962), one step of all
    series at a time.
    """
    count, mean, squares = (np.zeros(len(values)) for _ in range(3))
    out = np.empty_like(values)
    for step in range(values.shape[1]):
        is_valid = ~null[:, step]
        count += is_valid
        distance = np.where(is_valid, values[:, step] - mean, 0.0)
        mean += distance / np.maximum(count, 1.0)
        squares += distance * np.where(is_valid, values[:, step] - mean, 0.0)
        out[:, step] = squares
    return out
