"""Accuracy of point forecasts. Every function takes arrays, leaves out steps whose actual value is unknown, and says NaN for nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from framework.interfaces.values import Float64
from framework.panel import Panel


def _mean(values: Float64) -> float:
    return float(values.mean()) if values.size else float("nan")


def mae(actual: Float64, forecast: Float64, scale: Float64) -> float:
    """Mean absolute error, in the target's unit."""
    return _mean(np.abs(forecast - actual))


def rmse(actual: Float64, forecast: Float64, scale: Float64) -> float:
    """Root of the mean squared error, in the target's unit."""
    return float(np.sqrt(_mean((forecast - actual) ** 2)))


def wape(actual: Float64, forecast: Float64, scale: Float64) -> float:
    """Weighted absolute percentage error: sum of absolute errors over sum of absolute actuals; 0.1 is ten per cent."""
    total = float(np.abs(actual).sum())
    return float(np.abs(forecast - actual).sum()) / total if total else float("nan")


def mase(actual: Float64, forecast: Float64, scale: Float64) -> float:
    """Mean absolute scaled error (Hyndman & Koehler 2006): errors over the in-sample error of the seasonal naive forecast.

    Steps of a series whose ``scale`` is zero or unknown (constant, or shorter than a season) are left out.
    """
    usable = scale > 0
    return _mean(np.abs(forecast - actual)[usable] / scale[usable])


def bias(actual: Float64, forecast: Float64, scale: Float64) -> float:
    """Mean of forecast minus actual, in the target's unit: positive is too high."""
    return _mean(forecast - actual)


POINT_METRICS: dict[str, Callable[[Float64, Float64, Float64], float]] = {
    "MAE": mae,
    "RMSE": rmse,
    "WAPE": wape,
    "MASE": mase,
    "bias": bias,
}


def point_metrics(actual: Float64, forecast: Float64, scale: Float64) -> dict[str, float]:
    """All of :data:`POINT_METRICS` over the elements where actual and forecast are known; ``scale`` broadcasts to ``actual``."""
    known = np.isfinite(actual) & np.isfinite(forecast)
    a, f, s = actual[known], forecast[known], np.broadcast_to(scale, actual.shape)[known]
    return {name: metric(a, f, s) for name, metric in POINT_METRICS.items()}


def naive_scale(panel: Panel, targets: int, season_length: int) -> Float64:
    """``[series, T]``: mean absolute seasonal difference of each series' targets, NaN where the panel is shorter than a season.

    The denominator of MASE; computed on the rows a fold may learn from, never on those it is judged by.
    """
    y = panel.past[:, :targets]
    change = np.full_like(y, np.nan)
    change[season_length:] = np.abs(y[season_length:] - y[:-season_length])
    place = np.arange(len(y)) - np.repeat(panel.offsets[:-1], np.diff(panel.offsets))
    change[place < season_length] = np.nan
    known = np.isfinite(change)
    total = np.add.reduceat(np.where(known, change, 0.0), panel.offsets[:-1], axis=0)
    count = np.add.reduceat(known, panel.offsets[:-1], axis=0, dtype=np.int64)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
