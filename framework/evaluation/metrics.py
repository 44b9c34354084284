"""Accuracy of forecasts: the one place that judges forecasts against actual values.

:func:`score` judges arrays as a whole. :class:`Tally` does the same group by group (by target,
step, series, arm or window of time) and takes its forecasts in pieces, so that they need not fit in
memory together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from framework.data.arrays import Flags, Float64, Rows
from framework.data.panel import Panel

#: The figures of a point forecast, in the order that tables show.
POINT_METRICS = ("MAE", "RMSE", "WAPE", "MASE", "sMAPE", "bias")


def score(
    actual: Float64,
    forecast: Float64,
    scale: ArrayLike,
    quantiles: Sequence[float] = (),
    *,
    square: ArrayLike | None = None,
    series: ArrayLike | None = None,
) -> dict[str, float]:
    """Judge forecasts against the actual values.

    A step counts where its actual value and its point forecast are known. A step counts for the
    figures of quantiles where every quantile is known, too. A figure of no step is NaN.

    ``MAE``, ``RMSE`` and ``bias`` (forecast minus actual: positive is too high) are in the target's
    unit. ``WAPE`` is the sum of absolute errors over the sum of absolute actuals; 0.1 is ten per
    cent. ``MASE`` is the mean of absolute errors over ``scale`` (Hyndman & Koehler 2006); steps
    whose scale is zero or unknown are left out. ``sMAPE`` is 0 to 2: twice the error over the sum
    of both sizes, 0 where both are 0. ``RMSSE`` is there with ``square``: each series has the root
    of its mean squared error over ``square``, and RMSSE is the mean over series (Makridakis et al.
    2022, the M5 competition). Its denominator is :func:`naive_square`.

    With quantiles: ``pinball`` is the mean loss over steps and quantiles, in the target's unit.
    ``WQL`` is twice the summed loss over the sum of absolute actuals, a mean over quantiles. With
    at least two quantiles: ``coverage`` is the share of actuals between the outermost ones.
    ``interval_score`` is the mean score of that interval, in the target's unit (Gneiting & Raftery
    2007, section 6.2): its width, and for an actual outside its distance over the probability of
    that side.

    Args:
        actual: ``[...]``, NaN where unknown.
        forecast: ``[..., 1 + Q]``: the point forecast, then one value for each quantile, in
            ascending order. NaN where there is none.
        scale: The in-sample mean absolute error of the seasonal naive forecast (see
            :func:`naive_scale`); broadcasts to ``actual``.
        quantiles: The ``Q`` levels, ascending, each between 0 and 1.
        square: The in-sample mean squared error of the naive forecast of one step; broadcasts to
            ``actual``.
        series: The number of each step's series, from 0; broadcasts to ``actual``. Needed with
            ``square``.

    Returns:
        The figures by name.

    Raises:
        ValueError: ``forecast`` does not have ``1 + Q`` values a step, or ``square`` comes without
            ``series``.
    """
    if square is not None and series is None:
        raise ValueError("RMSSE is a mean over series: `square` needs `series`.")
    largest = 0 if series is None else int(np.max(series, initial=0))
    tally = Tally(quantiles, series=largest + 1 if square is not None else 0)
    tally.add(actual, forecast, scale, square=square, series=series)
    return {name: float(values[0]) for name, values in tally.figures().items()}


class Tally:
    """Sums of errors by group, from which :meth:`figures` makes the figures of :func:`score`.

    Forecasts are added in pieces; the order of the pieces does not matter. The memory that a tally
    takes does not grow with them.
    """

    def __init__(self, quantiles: Sequence[float] = (), *, groups: int = 1, series: int = 0):
        """Begin with nothing.

        Args:
            quantiles: The ``Q`` levels, ascending, each between 0 and 1.
            groups: How many groups there are.
            series: How many series there are; 0: RMSSE is left out. Sums for RMSSE take
                ``groups * series`` numbers.
        """
        self._levels = np.array(quantiles, dtype=np.float64)
        self._groups, self._series = groups, series
        self._sums: dict[str, Float64] = {}

    def add(
        self,
        actual: Float64,
        forecast: Float64,
        scale: ArrayLike,
        *,
        square: ArrayLike | None = None,
        series: ArrayLike | None = None,
        groups: ArrayLike = 0,
    ) -> None:
        """Add forecasts.

        Args:
            actual: ``[...]``, NaN where unknown.
            forecast: ``[..., 1 + Q]``, as :func:`score` takes it.
            scale: The denominator of MASE; broadcasts to ``actual``.
            square: The denominator of RMSSE; broadcasts to ``actual``. Used when the tally has
                series.
            series: The number of each step's series; broadcasts to ``actual``.
            groups: The number of each step's group, negative: in none; broadcasts to ``actual``.

        Raises:
            ValueError: ``forecast`` does not have ``1 + Q`` values a step, a group or a series has
                a number that the tally does not have, or the tally has series and ``square`` or
                ``series`` is missing.
        """
        if forecast.shape != (*actual.shape, 1 + len(self._levels)):
            raise ValueError(
                f"forecast has the shape {forecast.shape}; {actual.shape} actual values and "
                f"{len(self._levels)} quantiles need {(*actual.shape, 1 + len(self._levels))}."
            )
        if self._series and (square is None or series is None):
            raise ValueError("RMSSE is a mean over series: it needs `square` and `series`.")
        group_of = np.broadcast_to(groups, actual.shape)
        known = np.isfinite(actual) & np.isfinite(forecast[..., 0]) & (group_of >= 0)

        def where_known(values: ArrayLike) -> Float64:
            return np.broadcast_to(np.asarray(values, dtype=np.float64), actual.shape)[known]

        at = group_of[known]
        if at.size and at.max() >= self._groups:
            raise ValueError(f"groups are numbered from 0 to {self._groups - 1}.")
        truth, error = actual[known], forecast[known, 0] - actual[known]
        self._add_points(at, truth, error, where_known(scale))
        if self._series:
            assert square is not None
            assert series is not None
            numbers = np.broadcast_to(series, actual.shape)[known]
            if numbers.size and not 0 <= numbers.min() <= numbers.max() < self._series:
                raise ValueError(f"series are numbered from 0 to {self._series - 1}.")
            place = at * self._series + numbers
            squares = where_known(square)
            usable = squares > 0
            self._add("squared by series", place, _ratio(error**2, squares), usable, self._series)
            self._add("steps by series", place, np.ones(len(place)), usable, self._series)
        if len(self._levels):
            self._add_quantiles(at, truth, forecast[known, 1:])

    def weighted(self, weights: Float64) -> Tally:
        """Sum blocks of groups, each with a weight, such as those of a resampling.

        Args:
            weights: ``[R, B]``. The groups are ``B`` blocks of equally many, one after the other.

        Returns:
            A tally of ``R`` blocks.

        Raises:
            ValueError: The tally has series, or other groups.
        """
        rows, blocks = weights.shape
        if self._series or not blocks or self._groups % blocks:
            raise ValueError(f"{self._groups} groups are no {blocks} blocks without series.")
        size = self._groups // blocks
        total = Tally(self._levels.tolist(), groups=rows * size)
        total._sums = {
            name: (weights @ sums.reshape(blocks, size)).reshape(-1)
            for name, sums in self._sums.items()
        }
        return total

    def steps(self) -> Rows:
        """Count the steps of each group whose actual value and point forecast are known."""
        return self._sum("steps").astype(np.int64)

    def figures(self) -> dict[str, Float64]:
        """Make the figures of each group.

        Returns:
            The figures that :func:`score` describes by name, each ``[groups]``, NaN for a group
            without a step.
        """
        steps, size = self._sum("steps"), self._sum("size")
        figures = {
            "MAE": _ratio(self._sum("absolute"), steps),
            "RMSE": np.sqrt(_ratio(self._sum("squared"), steps)),
            "WAPE": _ratio(self._sum("absolute"), size),
            "MASE": _ratio(self._sum("scaled"), self._sum("scaled steps")),
            "sMAPE": _ratio(self._sum("symmetric"), steps),
            "bias": _ratio(self._sum("error"), steps),
        }
        if self._series:
            squared, count = (
                self._sum(name, self._series).reshape(self._groups, self._series)
                for name in ("squared by series", "steps by series")
            )
            roots = np.sqrt(_ratio(squared, count))
            figures["RMSSE"] = _ratio(np.nansum(roots, axis=1), np.isfinite(roots).sum(axis=1))
        if len(self._levels):
            quantile_steps = self._sum("quantile steps")
            loss = self._sum("loss") / len(self._levels)
            figures["pinball"] = _ratio(loss, quantile_steps)
            figures["WQL"] = _ratio(2 * loss, self._sum("quantile size"))
        if len(self._levels) > 1:
            figures["coverage"] = _ratio(self._sum("inside"), quantile_steps)
            figures["interval_score"] = _ratio(self._sum("interval"), quantile_steps)
        return figures

    def _add_points(self, at: Rows, actual: Float64, error: Float64, scale: Float64) -> None:
        absolute, size = np.abs(error), np.abs(actual)
        denominator = size + np.abs(actual + error)
        symmetric = np.divide(
            2 * absolute, denominator, out=np.zeros_like(denominator), where=denominator > 0
        )
        self._add("steps", at, np.ones(len(at)))
        self._add("size", at, size)
        self._add("absolute", at, absolute)
        self._add("squared", at, error**2)
        self._add("symmetric", at, symmetric)
        self._add("error", at, error)
        self._add("scaled", at, _ratio(absolute, scale), scale > 0)
        self._add("scaled steps", at, np.ones(len(at)), scale > 0)

    def _add_quantiles(self, at: Rows, actual: Float64, forecast: Float64) -> None:
        known = np.isfinite(forecast).all(axis=1)
        at, actual, forecast = at[known], actual[known], forecast[known]
        error = actual[:, None] - forecast
        losses = np.maximum(self._levels * error, (self._levels - 1) * error)
        self._add("quantile steps", at, np.ones(len(at)))
        self._add("quantile size", at, np.abs(actual))
        self._add("loss", at, losses.sum(axis=1))
        if len(self._levels) > 1:
            low, high = forecast[:, 0], forecast[:, -1]
            below, above = np.maximum(low - actual, 0), np.maximum(actual - high, 0)
            outside = below / self._levels[0] + above / (1 - self._levels[-1])
            self._add("inside", at, ((low <= actual) & (actual <= high)).astype(np.float64))
            self._add("interval", at, high - low + outside)

    def _add(
        self, name: str, at: Rows, values: Float64, usable: Flags | None = None, parts: int = 1
    ) -> None:
        if usable is not None:
            at, values = at[usable], values[usable]
        count = self._groups * parts
        # One sum over all is exact to the last digits (pairwise); bincount adds one by one.
        total = np.array([values.sum()]) if count == 1 else np.bincount(at, values, count)
        self._sums[name] = np.add(self._sums.get(name, 0.0), total, dtype=np.float64)

    def _sum(self, name: str, parts: int = 1) -> Float64:
        return self._sums.get(name, np.zeros(self._groups * parts))


def _ratio(total: Float64, count: ArrayLike) -> Float64:
    """Divide; NaN where the divisor is not above 0."""
    divisor = np.asarray(count, dtype=np.float64)
    out = np.full(np.shape(total), np.nan)
    with np.errstate(over="ignore"):  # a share of next to nothing may be too large for a number
        return np.asarray(np.divide(total, divisor, out=out, where=divisor > 0))


def naive_scale(panel: Panel, targets: int, season_length: int) -> Float64:
    """Measure the seasonal naive forecast on the rows of ``panel``, the denominator of MASE.

    Give it the rows that a fold may learn from, never those that it is judged by.

    Args:
        panel: The rows. Its first ``targets`` past columns are the targets.
        targets: How many targets there are.
        season_length: The steps of a season.

    Returns:
        ``[series, targets]``, NaN where a series is shorter than a season.
    """
    y = panel.past[:, :targets]
    return _mean_by_series(panel, np.abs(_changes(panel, y, season_length)))


def naive_square(panel: Panel, targets: int) -> Float64:
    """Measure the naive forecast of one step on the rows of ``panel``, the denominator of RMSSE.

    As in the M5 competition a series counts from its first value that is not 0.

    Args:
        panel: The rows that a fold may learn from. Its first ``targets`` past columns are the
            targets.
        targets: How many targets there are.

    Returns:
        ``[series, targets]``, the mean squared change from one step to the next; NaN where there
        is none.
    """
    y = panel.past[:, :targets]
    sold = np.cumsum((y != 0) & np.isfinite(y), axis=0, dtype=np.int64)
    starts = panel.offsets[:-1]
    before = np.where((starts > 0)[:, None], sold[starts - 1], 0)
    began = sold - np.repeat(before, np.diff(panel.offsets), axis=0) > 0
    return _mean_by_series(panel, _changes(panel, np.where(began, y, np.nan), 1) ** 2)


def _changes(panel: Panel, y: Float64, steps: int) -> Float64:
    """Each row's value less that of so many steps before, NaN at the beginning of a series."""
    change = np.full_like(y, np.nan)
    change[steps:] = y[steps:] - y[:-steps]
    place = np.arange(len(y)) - np.repeat(panel.offsets[:-1], np.diff(panel.offsets))
    change[place < steps] = np.nan
    return change


def _mean_by_series(panel: Panel, change: Float64) -> Float64:
    known = np.isfinite(change)
    total = np.add.reduceat(np.where(known, change, 0.0), panel.offsets[:-1], axis=0)
    count = np.add.reduceat(known, panel.offsets[:-1], axis=0, dtype=np.int64)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
