"""Accuracy of forecasts. Every function takes arrays, leaves out steps whose actual value is
unknown, and says NaN for nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from framework.data.arrays import Float64
from framework.data.panel import Panel


def _mean(values: Float64) -> float:
    return float(values.mean()) if values.size else float("nan")


def mae(actual: Float64, forecast: Float64, scale: Float64) -> float:
    """Mean absolute error, in the target's unit."""
    return _mean(np.abs(forecast - actual))


def rmse(actual: Float64, forecast: Float64, scale: Float64) -> float:
    """Root of the mean squared error, in the target's unit."""
    return float(np.sqrt(_mean((forecast - actual) ** 2)))


def wape(actual: Float64, forecast: Float64, scale: Float64) -> float:
    """Weighted absolute percentage error: sum of absolute errors over sum of absolute actuals; 0.1
    is ten per cent.
    """
    total = float(np.abs(actual).sum())
    return float(np.abs(forecast - actual).sum()) / total if total else float("nan")


def mase(actual: Float64, forecast: Float64, scale: Float64) -> float:
    """Mean absolute scaled error (Hyndman & Koehler 2006): errors over the in-sample error of the
    seasonal naive forecast.

    Steps of a series whose ``scale`` is zero or unknown (constant, or shorter than a season) are
    left out.
    """
    usable = scale > 0
    return _mean(np.abs(forecast - actual)[usable] / scale[usable])


def smape(actual: Float64, forecast: Float64, scale: Float64) -> float:
    """Symmetric absolute percentage error, 0 to 2: twice the error over the sum of both sizes; 0
    where both are 0.
    """
    size = np.abs(actual) + np.abs(forecast)
    return _mean(
        np.divide(2 * np.abs(forecast - actual), size, out=np.zeros_like(size), where=size > 0)
    )


def bias(actual: Float64, forecast: Float64, scale: Float64) -> float:
    """Mean of forecast minus actual, in the target's unit: positive is too high."""
    return _mean(forecast - actual)


POINT_METRICS: dict[str, Callable[[Float64, Float64, Float64], float]] = {
    "MAE": mae,
    "RMSE": rmse,
    "WAPE": wape,
    "MASE": mase,
    "sMAPE": smape,
    "bias": bias,
}


def point_metrics(actual: Float64, forecast: Float64, scale: Float64) -> dict[str, float]:
    """All of :data:`POINT_METRICS` over the elements where actual and forecast are known; ``scale``
    broadcasts to ``actual``.
    """
    known = np.isfinite(actual) & np.isfinite(forecast)
    a, f, s = actual[known], forecast[known], np.broadcast_to(scale, actual.shape)[known]
    return {name: metric(a, f, s) for name, metric in POINT_METRICS.items()}


def rmsse(actual: Float64, forecast: Float64, square: Float64) -> float:
    """Root of the mean squared scaled error (Makridakis et al. 2022, the M5 competition): squared
    errors over ``square``, the in-sample mean squared error of the seasonal naive forecast, which
    broadcasts to ``actual``. Series without one are left out.
    """
    usable = (
        np.isfinite(actual) & np.isfinite(forecast) & (np.broadcast_to(square, actual.shape) > 0)
    )
    return float(
        np.sqrt(
            _mean((forecast - actual)[usable] ** 2 / np.broadcast_to(square, actual.shape)[usable])
        )
    )


def quantile_metrics(
    actual: Float64, forecast: Float64, quantiles: tuple[float, ...]
) -> dict[str, float]:
    """Of quantile forecasts ``[..., Q]`` over the elements that are known.

    ``pinball``: the mean loss over elements and quantiles, in the target's unit. ``WQL``: twice the
    summed loss over the sum of absolute actuals, a mean over quantiles. ``coverage``: the share of
    actuals between the outermost quantiles.
    """
    known = np.isfinite(actual) & np.isfinite(forecast).all(axis=-1)
    a, f = actual[known], forecast[known]
    error = a[:, None] - f
    losses = np.maximum(np.array(quantiles) * error, (np.array(quantiles) - 1) * error)
    total = float(np.abs(a).sum())
    inside = (f[:, 0] <= a) & (a <= f[:, -1])
    return {
        "pinball": _mean(losses),
        "WQL": 2 * float(losses.sum(axis=0).mean()) / total if total else float("nan"),
        "coverage": _mean(inside.astype(np.float64)),
    }


def naive_scale(panel: Panel, targets: int, season_length: int, power: int = 1) -> Float64:
    """``[series, T]``: mean absolute seasonal difference of each series' targets, NaN where the
    panel is shorter than a season.

    The denominator of MASE, with ``power`` 2 that of RMSSE; computed on the rows a fold may learn
    from, never on those it is judged by.
    """
    y = panel.past[:, :targets]
    change = np.full_like(y, np.nan)
    change[season_length:] = np.abs(y[season_length:] - y[:-season_length]) ** power
    place = np.arange(len(y)) - np.repeat(panel.offsets[:-1], np.diff(panel.offsets))
    change[place < season_length] = np.nan
    known = np.isfinite(change)
    total = np.add.reduceat(np.where(known, change, 0.0), panel.offsets[:-1], axis=0)
    count = np.add.reduceat(known, panel.offsets[:-1], axis=0, dtype=np.int64)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
