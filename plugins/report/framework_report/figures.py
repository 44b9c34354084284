"""The numbers of the report: per series, per fold, per quantile. Arrays in, arrays out; NaN where
nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from framework.data.arrays import Float64, Rows, Times
from framework.evaluation.coverage import forward_coverage
from framework.evaluation.result import BacktestResult

#: Series drawn for each target: the worst, and as many spread evenly over the ranks of the others.
WORST, SPREAD = 12, 6
#: Levels of the intervals that are shown, in per cent, and the rows of a backtest above which they
#: would take too long.
LEVELS, LARGEST = (80.0, 95.0), 2_000_000


@dataclass(frozen=True, slots=True)
class SeriesErrors:
    """Errors of one target by series, over the steps that both the model and the baseline
    forecast.
    """

    names: list[str]  # [S], entity keys joined by " · "
    rows: Rows  # [N], the series of each window
    mean: Float64  # [S], mean actual
    mae: Float64
    wape: Float64
    mase: Float64
    baseline_mae: Float64
    baseline_mase: Float64

    def worst_first(self) -> Rows:
        """Series that can be judged, by MASE, falling; those without a scale after them, by WAPE;
        those without any error are left out.
        """
        known = np.flatnonzero(np.isfinite(self.mae))
        mase, wape = (
            np.nan_to_num(self.mase[known], nan=-1.0),
            np.nan_to_num(self.wape[known], nan=-1.0),
        )
        return known[np.lexsort((known, -wape, -mase))]


def series_errors(result: BacktestResult, target: int) -> SeriesErrors:
    """Errors of every series; ``target`` is its index in the schema."""
    order: dict[tuple[str, ...], int] = {}
    rows = np.array(
        [order.setdefault(tuple(entity), len(order)) for entity in result.entities], dtype=np.int64
    )
    actual, model, base = (
        result.actual[:, :, target],
        result.forecast[:, :, target, 0],
        result.baseline[:, :, target],
    )
    is_known = np.isfinite(actual) & np.isfinite(model) & np.isfinite(base)
    scale = np.broadcast_to(result.scale[:, None, target], actual.shape)

    def total(values: Float64, where: npt.NDArray[np.bool_]) -> Float64:
        return np.asarray(
            np.bincount(rows, np.where(where, values, 0.0).sum(axis=1), minlength=len(order)),
            np.float64,
        )

    def ratio(above: Float64, below: Float64) -> Float64:
        return np.asarray(np.divide(above, below, out=np.full(len(order), np.nan), where=below > 0))

    ones = np.ones(actual.shape)
    count, scaled = total(ones, is_known), is_known & (scale > 0)
    safe = np.where(scaled, scale, 1.0)
    errors, base_errors = np.abs(model - actual), np.abs(base - actual)
    return SeriesErrors(
        names=[" · ".join(entity) for entity in order],
        rows=rows,
        mean=ratio(total(actual, is_known), count),
        mae=ratio(total(errors, is_known), count),
        wape=ratio(total(errors, is_known), total(np.abs(actual), is_known)),
        mase=ratio(total(errors / safe, scaled), total(ones, scaled)),
        baseline_mae=ratio(total(base_errors, is_known), count),
        baseline_mase=ratio(total(base_errors / safe, scaled), total(ones, scaled)),
    )


def choose_series(worst_first: Rows) -> tuple[Rows, Rows]:
    """The worst, then a spread over the ranks of the rest, the best of all included."""
    worst, rest = worst_first[:WORST], worst_first[WORST:]
    if len(rest) <= SPREAD:
        return worst, rest
    return worst, rest[np.unique(np.linspace(0, len(rest) - 1, SPREAD).round().astype(np.int64))]


def calibration(result: BacktestResult, target: int) -> list[tuple[float, float]]:
    """``(level, share of actuals at or below the forecast quantile)`` of each quantile."""
    out = []
    for q, level in enumerate(result.schema.quantiles, start=1):
        actual, forecast = result.actual[:, :, target], result.forecast[:, :, target, q]
        known = np.isfinite(actual) & np.isfinite(forecast)
        out.append(
            (level, float((actual <= forecast)[known].mean()) if known.any() else float("nan"))
        )
    return out


def step_errors(result: BacktestResult, metric: str = "MAE") -> dict[str, dict[str, list[float]]]:
    """``{target: {"model": [H], "baseline": [H]}}``: the metric of each step ahead."""
    steps = [result.metrics(step=h) for h in range(result.schema.horizon)]
    return {
        t: {who: [step[t][who][metric] for step in steps] for who in ("model", "baseline")}
        for t in result.schema.targets
    }


@dataclass(frozen=True, slots=True)
class Intervals:
    """Prediction intervals of one level forward in time, over the origins that have others before
    them to be calibrated on.
    """

    level: float
    known: int  # actuals
    coverage: float
    width: float
    score: float
    origins: Times  # [K]
    by_origin: Float64  # [K], coverage


def intervals(result: BacktestResult) -> dict[str, list[Intervals]]:
    """By target, for :data:`LEVELS`: what a pair trained at each origin would have answered; none
    where too few errors are known.
    """
    table = result.table()
    origins = table["origin"].nunique()
    if origins < 2 or len(table) > LARGEST:
        return {target: [] for target in result.schema.targets}
    coverage = forward_coverage(table, result.schema, LEVELS, calibrated_on=origins, first=1)
    out: dict[str, list[Intervals]] = {target: [] for target in result.schema.targets}
    for (target, level), rows in coverage.groupby(["target", "level"]):
        by_origin = rows.groupby("origin")["inside"].mean()
        times = by_origin.index.tz_localize(None).to_numpy().astype("M8[us]")
        means = (float(rows[column].mean()) for column in ("inside", "width", "score"))
        out[str(target)].append(
            Intervals(float(level), len(rows), *means, times, by_origin.to_numpy())
        )
    return out


#: How the metrics of a backtest are put together; what is in none of them is shown last.
_GROUPS = (
    ("in the target's unit", ("MAE", "RMSE", "bias")),
    ("relative", ("WAPE", "sMAPE")),
    ("scaled by the seasonal change", ("MASE", "RMSSE")),
    ("quantiles", ("pinball", "WQL", "coverage", "interval_score")),
)


def metric_groups(names: Iterable[str]) -> list[tuple[str, list[str]]]:
    """The names in groups of a kind, each once."""
    remaining = list(names)
    groups = [
        (title, [name for name in members if name in remaining]) for title, members in _GROUPS
    ]
    rest = [name for name in remaining if not any(name in members for _, members in groups)]
    return [(title, members) for title, members in (*groups, ("other", rest)) if members]
