"""A series' own backtest errors say how much harder it is than its difficulty, and to which side
its forecasts err.

Credibility (Bühlmann 1967; Bühlmann & Straub 1970): a series' mean error is drawn to that of all
series, the more the fewer origins it has and the more its origins differ beside the series. How far
is estimated, so series that are alike stay alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from framework.data.arrays import Float64, Rows

#: A factor is at least this, so that a series without an error keeps an interval.
LEAST = 0.05


@dataclass(frozen=True, slots=True)
class Windowed:
    """Errors by windows: those of one origin are alike, so an origin of a series counts as one
    observation.
    """

    window: Rows  # [n], the number of each error's window
    owner: Rows  # [windows], the series of each
    number: Rows  # [series], how many windows each has

    @classmethod
    def of(cls, series: Rows, origin: Rows, count: int) -> Self:
        """Find the windows of errors.

        Args:
            series: ``[n]``, the number of each error's series.
            origin: ``[n]``, the number of its origin.
            count: How many series there are.

        Returns:
            The windows.
        """
        windows, window = np.unique(series * (origin.max() + 1) + origin, return_inverse=True)
        owner = windows // (origin.max() + 1)
        return cls(window, owner, np.bincount(owner, minlength=count).astype(np.int64))

    def fit(self, score: Float64, step: Rows) -> tuple[Float64, Float64, Float64]:
        """Estimate both. The side to which a series errs is judged in units of its own errors, or
        the loudest series would say it for all; what is left is its difficulty.

        Args:
            score: ``[n]``, actual less forecast in units of the difficulty.
            step: ``[n]``, the step of each, from 1.

        Returns:
            ``[series]``: the factor of the difficulty. ``[series]``: the shift, in units of the
            difficulty. ``[n]``: the scores less shift, by factor, each without the errors of its
            own origin.
        """
        size, own_size = self.factors(np.abs(score), step)
        score = score / own_size
        shift, own_shift = self.shifts(score)
        score = score - own_shift
        rest, own_rest = self.factors(np.abs(score), step)
        return size * rest, size * shift, score / own_rest

    def factors(self, size: Float64, step: Rows) -> tuple[Float64, Float64]:
        """Estimate the factor that each series' difficulty is multiplied by.

        Args:
            size: ``[n]``, absolute errors in units of the difficulty.
            step: ``[n]``, the step of each, from 1.

        Returns:
            ``[series]``: the factor of each series, 1 where nothing is known. ``[n]``: that of each
            error's series without the errors of its own origin, as a new origin will find it.
        """
        typical = _means(size, step)[step]
        relative = np.divide(size, typical, out=np.ones_like(size), where=typical > 0)
        mean, drawn = self._drawn(relative)
        if mean <= 0:
            return np.ones(len(self.number)), np.ones(len(size))
        factor, left_out = (np.maximum(values / mean, LEAST) for values in drawn)
        return factor, left_out[self.window]

    def shifts(self, error: Float64) -> tuple[Float64, Float64]:
        """Estimate how far the actuals of each series lie from its forecasts, beside those of all
        series.

        Args:
            error: ``[n]``, actual less forecast in units of the difficulty.

        Returns:
            ``[series]``: the shift of each series, 0 where nothing is known. ``[n]``: that of each
            error's series without the errors of its own origin.
        """
        mean, (shift, left_out) = self._drawn(error)
        return shift - mean, (left_out - mean)[self.window]

    def _drawn(self, values: Float64) -> tuple[float, tuple[Float64, Float64]]:
        """The mean of all windows; the means ``[series]`` drawn to it, and ``[windows]`` those
        without the window itself.
        """
        value = _means(values, self.window)
        total = np.bincount(self.owner, value, minlength=len(self.number)).astype(np.float64)
        mean, constant = self._credibility(value, total)
        if not np.isfinite(constant):
            return mean, (np.full(len(self.number), mean), np.full(len(value), mean))

        def drawn(sums: Float64, counts: Rows) -> Float64:
            means: Float64 = (sums + mean * constant) / (counts + constant)
            return means

        others = total[self.owner] - value, self.number[self.owner] - 1
        return mean, (drawn(total, self.number), drawn(*others))

    def _credibility(self, value: Float64, total: Float64) -> tuple[float, float]:
        """The mean of all origins, and how many origins that mean is worth beside a series' own;
        infinite where series do not differ by more than their origins do.
        """
        number, known = self.number, self.number > 0
        mean, n, freedom = float(value.mean()), len(value), len(value) - int(known.sum())
        own = np.divide(total, number, out=np.zeros_like(total), where=known)
        weight = n - float((number.astype(np.float64) ** 2).sum()) / n
        if freedom < 1 or weight <= 0:
            return mean, np.inf
        within = float(((value - own[self.owner]) ** 2).sum()) / freedom
        spread = float((number * (own - mean) ** 2)[known].sum()) - (int(known.sum()) - 1) * within
        between = spread / weight
        return mean, within / between if between > 0 else np.inf


def _means(values: Float64, group: Rows) -> Float64:
    """The mean of each group, by its number."""
    total, count = np.bincount(group, values), np.bincount(group)
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0)
