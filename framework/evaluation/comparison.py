"""Several models on the same windows: ranked, and whether a difference is more than chance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from framework.data.arrays import Float64, Rows
from framework.data.grouping import entity_numbers
from framework.errors import DataError
from framework.evaluation.result import BacktestResult

#: With fewer series than this the normal approximation of the test says nothing; with fewer
#: origins no variance is known.
FEWEST, FEWEST_ORIGINS = 10, 5


@dataclass(frozen=True, slots=True)
class Ranked:
    """One model: its mean absolute error, that of each series in units of its own scale averaged
    over series (``loss``), its mean rank.

    ``p`` and ``p_time``: the two-sided probabilities of a difference from the best model this large
    when there is none, times the number of comparisons (Bonferroni); None for the best itself and
    where there is too little to tell. ``p`` is of the signed-rank test over series (Wilcoxon 1945),
    ``p_time`` of the test over origins (Diebold & Mariano 1995). Series that rise and fall together
    make the former too sure, few origins the latter too cautious: a difference that holds in both
    is one. ``judged``: elements that every model has forecast.
    """

    model: str
    rank: int
    loss: float
    mean_rank: float
    mae: float
    p: float | None
    p_time: float | None
    judged: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def rank_models(results: Mapping[str, BacktestResult], target: int) -> list[Ranked]:
    """Rank by ``loss``, the best first, on the elements that every model has forecast and whose
    actual is known.

    Raises :class:`DataError` when the results are not about the same windows.
    """
    first_name, first = next(iter(results.items()))
    for name, result in results.items():
        if (
            result.origins.tolist() != first.origins.tolist()
            or result.entities.tolist() != first.entities.tolist()
        ):
            raise DataError(
                f"comparison: the backtests of {first_name} and {name} are not about the "
                "same windows."
            )
    actual = first.actual[:, :, target]
    errors = {
        name: np.abs(result.forecast[:, :, target, 0] - actual) for name, result in results.items()
    }
    known = np.isfinite(np.stack(list(errors.values()))).all(axis=0)
    if not known.any():
        raise DataError("comparison: no element was forecast by every model with a known actual.")
    scale = np.where(first.scale[:, target] > 0, first.scale[:, target], np.nan)[:, None]
    keys = entity_numbers(first.entities)
    losses = {name: _by_series(error / scale, known, keys) for name, error in errors.items()}
    usable = np.isfinite(np.stack(list(losses.values()))).all(axis=0)
    table = np.stack([loss[usable] for loss in losses.values()])  # [models, series]
    ranks = (
        np.stack([average_ranks(column) for column in table.T], axis=1)
        if table.size
        else np.full(table.shape, np.nan)
    )
    names = list(results)
    means = (
        table.mean(axis=1)
        if table.size
        else np.array([error[known].mean() for error in errors.values()])
    )
    order = np.argsort(means, kind="stable")
    best = table[order[0]]
    over_time = [_by_fold(errors[name] / scale, known, first.fold) for name in names]
    ranked = []
    for place, i in enumerate(order):
        chances = (
            [None, None]
            if place == 0
            else [
                wilcoxon(table[i] - best),
                _p_over_time(over_time[i] - over_time[order[0]], first),
            ]
        )
        p, p_time = (
            None if value is None else min(1.0, value * (len(names) - 1)) for value in chances
        )
        mean_rank = float(ranks[i].mean()) if table.size else float("nan")
        mae = float(errors[names[i]][known].mean())
        ranked.append(
            Ranked(
                names[i], place + 1, float(means[i]), mean_rank, mae, p, p_time, int(known.sum())
            )
        )
    return ranked


def _by_fold(error: Float64, known: np.ndarray, folds: Rows) -> Float64:
    """Mean error of each fold over its known elements, oldest first. Series of one fold may have
    origins of their own.
    """
    return _by_series(error, known, np.unique(folds, return_inverse=True)[1].reshape(-1))


def _p_over_time(differences: Float64, result: BacktestResult) -> float | None:
    windows = [result.fold == fold for fold in np.unique(result.fold)]
    origins = np.array([result.origins[rows].max() for rows in windows])
    ends = np.array([result.times[rows, -1].max() for rows in windows])
    overlap = max(
        int(np.sum((origins > origin) & (origins < end)))
        for origin, end in zip(origins, ends, strict=True)
    )
    return diebold_mariano(differences[np.isfinite(differences)], overlap)


def _by_series(error: Float64, known: np.ndarray, keys: np.ndarray) -> Float64:
    """Mean error of each series over its known elements, NaN where there are none."""
    counted = known & np.isfinite(error)
    total = np.bincount(keys, np.where(counted, error, 0.0).sum(axis=1))
    count = np.bincount(keys, counted.sum(axis=1))
    return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))


def average_ranks(values: Float64) -> Float64:
    """1 for the smallest; equal values share the mean of their ranks."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[which])


def wilcoxon(differences: Float64) -> float | None:
    """Two-sided p of the signed-rank test by the normal approximation, with ties and continuity;
    zeros are left out. None below ten.
    """
    d = differences[differences != 0]
    n = len(d)
    if n < FEWEST:
        return None
    ranks = average_ranks(np.abs(d))
    statistic = min(float(ranks[d > 0].sum()), float(ranks[d < 0].sum()))
    _, counts = np.unique(np.abs(d), return_counts=True)
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((counts**3 - counts).sum()) / 48
    z = (statistic - n * (n + 1) / 4 + 0.5) / math.sqrt(variance)
    return min(1.0, math.erfc(-z / math.sqrt(2)))


def diebold_mariano(differences: Float64, overlap: int) -> float | None:
    """Two-sided p of differences of loss ``[origins]``, oldest first, of which each shares time
    with the ``overlap`` next ones.

    Diebold & Mariano (1995) with the correction for few observations of Harvey, Leybourne & Newbold
    (1997) and Student's t. None below :data:`FEWEST_ORIGINS`, for differences that are all equal,
    and where windows overlap in all of the time there is.
    """
    n, horizon = len(differences), overlap + 1
    if n < FEWEST_ORIGINS or n <= 2 * horizon:
        return None
    centred = differences - differences.mean()
    covariances = [float(centred[lag:] @ centred[: n - lag]) / n for lag in range(horizon)]
    variance = covariances[0] + 2 * sum(covariances[1:])
    variance = variance if variance > 0 else covariances[0]
    if variance <= 1e-24 * max(1.0, float(np.abs(differences).max()) ** 2):
        return None
    correction = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    return student(float(differences.mean()) * math.sqrt(correction / (variance / n)), n - 1)


def student(t: float, freedom: int) -> float:
    """Two-sided p of Student's t. Its density in the angle arctan(t / sqrt(freedom)) is a power of
    the cosine, integrated numerically.
    """
    nodes, weights = np.polynomial.legendre.leggauss(64)
    half = math.atan(abs(t) / math.sqrt(freedom)) / 2
    constant = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(
        math.pi
    )
    inside = 2 * constant * half * float(weights @ np.cos(half * (nodes + 1)) ** (freedom - 1))
    return min(1.0, max(0.0, 1 - inside))
