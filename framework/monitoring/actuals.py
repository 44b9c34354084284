"""The offline store beside forecasts: their actual values and the scale of their errors."""

from __future__ import annotations

import numpy as np

from framework.data.arrays import Float64, Objects, Rows, Times
from framework.data.panel import Panel
from framework.evaluation.metrics import naive_scale


def actuals_of(
    panel: Panel, series: Rows, times: Times, target: Rows, targets: int
) -> tuple[Float64, Float64]:
    """Look up what the store says today, so that late and corrected rows count.

    Args:
        panel: The store's rows; its first past columns are the targets.
        series: ``[n]``, the number of each forecast's series in ``panel``; -1 where it has none.
        times: ``[n]``, the time of each forecast (UTC), NaT where it has none.
        target: ``[n]``, the number of its target; -1 where ``panel`` lacks it.
        targets: How many targets there are.

    Returns:
        Two arrays ``[n]``: the actual values, and those a step before; NaN where the store has
        none.
    """
    values = panel.past[:, :targets]
    unknown = (target < 0) | np.isnat(times)
    rows = panel.rows_at(series, np.where(unknown, np.datetime64(0, "us"), times))
    rows = np.where(unknown, -1, rows)
    actual = np.where(rows >= 0, values[np.maximum(rows, 0), target], np.nan)
    has_earlier = (rows > 0) & (rows != panel.offsets[np.maximum(series, 0)])
    before = np.where(has_earlier, values[np.maximum(rows - 1, 0), target], np.nan)
    return actual, before


def scales_of(
    panel: Panel | None,
    entities: Objects,
    series: Rows,
    origin: Times,
    target: Rows,
    *,
    targets: int,
    season_length: int,
) -> Float64:
    """Take the denominator of MASE of each forecast.

    There is one for each series and target, from the rows up to the first origin of all forecasts,
    so that everything that is compared is judged by the same.

    Args:
        panel: The store's rows, None when it has none; its first past columns are the targets.
        entities: ``[S, E]``, the keys of the forecast series.
        series: ``[n]``, the number of each forecast's series in ``entities``.
        origin: ``[n]``, UTC; NaT where there is none.
        target: ``[n]``, the number of its target; -1 where ``panel`` lacks it.
        targets: How many targets there are.
        season_length: Steps of a season.

    Returns:
        ``[n]``, NaN where these rows are shorter than a season.
    """
    first = np.fmin.reduce(origin) if len(origin) else np.datetime64("NaT")
    if panel is None or np.isnat(first):  # a request that failed may have none
        return np.full(len(series), np.nan)
    history = panel.until(first)
    scales = np.full((len(entities), targets + 1), np.nan)  # the last one is of no target
    if len(history):
        place = history.series_of(entities)
        known = place >= 0
        scales[known, :-1] = naive_scale(history, targets, season_length)[place[known]]
    return scales[series, target]
