"""Weighs the set-ups that were judged for each series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from framework.data.arrays import Flags
from framework.data.grouping import entity_numbers
from framework.evaluation.result import BacktestResult
from framework.plugins.member_weights import learn_weights, most_different, shrunk_errors

#: Members of an ensemble that weighs them by series.
_MEMBERS = 5


def weighted_by_series(
    results: Mapping[str, BacktestResult], windows: Flags | None
) -> tuple[list[str], BacktestResult] | None:
    """Weigh set-ups for each series, and forecast each origin with the weights that the other
    origins give.

    Args:
        results: By set-up, of the same windows.
        windows: Those that count.

    Returns:
        The names of the set-ups that are unlike and good, in the order of ``results``, and the
        forecasts of their ensemble. None where there are too few origins or set-ups to weigh, or
        only one series of one target.
    """
    if len(results) < 2:
        return None
    first = next(iter(results.values()))
    in_window = np.ones(len(first.fold), dtype=bool) if windows is None else windows
    origins = np.unique(first.fold[in_window])
    series = entity_numbers(first.entities)
    count = int(series.max()) + 1
    if len(origins) < 2 or count * len(first.schema.targets) < 2:
        return None
    forecasts = np.stack([result.forecast for result in results.values()], axis=-1)
    sizes = np.abs(forecasts[..., 0, :] - first.actual[..., None])
    known = np.isfinite(sizes)
    number = known.sum(axis=1)
    losses = np.divide(
        np.where(known, sizes, 0.0).sum(axis=1),
        number,
        out=np.full(number.shape, np.nan),
        where=number > 0,
    )
    errors = shrunk_errors(losses[in_window], series[in_window], count)[1][
        np.unique(series[in_window])
    ]
    picks = most_different(errors.reshape(-1, len(results)), _MEMBERS)
    losses, forecasts = losses[..., picks], forecasts[..., picks]
    weighted = np.full(first.forecast.shape, np.nan)
    for origin in origins:
        at_origin, others = in_window & (first.fold == origin), in_window & (first.fold != origin)
        weights = learn_weights(losses[others], series[others], count)[1][series[at_origin]]
        weighted[at_origin] = (forecasts[at_origin] * weights[:, None, :, None, :]).sum(axis=-1)
    return [list(results)[place] for place in picks], replace(first, forecast=weighted)
