"""Several models on the same windows: ranked, and whether a difference is more than chance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from framework.backtest import BacktestResult
from framework.errors import DataError
from framework.interfaces.values import Float64

#: With fewer series than this the normal approximation of the test says nothing.
FEWEST = 10


@dataclass(frozen=True, slots=True)
class Ranked:
    """One model: its mean absolute error, that of each series in units of its own scale averaged over series (``loss``), its mean rank.

    ``p``: the two-sided Wilcoxon signed-rank probability, over series, of a difference from the best model this large when there is none,
    times the number of comparisons (Bonferroni); None for the best itself and when there are too few series.
    """

    model: str
    rank: int
    loss: float
    mean_rank: float
    mae: float
    p: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(results: Mapping[str, BacktestResult], target: int) -> list[Ranked]:
    """Rank by ``loss``, the best first, on the elements that every model has forecast and whose actual is known.

    Raises :class:`DataError` when the results are not about the same windows.
    """
    first_name, first = next(iter(results.items()))
    for name, result in results.items():
        if result.origins.tolist() != first.origins.tolist() or result.entities.tolist() != first.entities.tolist():
            raise DataError(f"comparison: the backtests of {first_name} and {name} are not about the same windows.")
    actual = first.actual[:, :, target]
    errors = {name: np.abs(result.forecast[:, :, target, 0] - actual) for name, result in results.items()}
    known = np.isfinite(np.stack(list(errors.values()))).all(axis=0)
    if not known.any():
        raise DataError("comparison: no element was forecast by every model with a known actual.")
    scale = np.where(first.scale[:, target] > 0, first.scale[:, target], np.nan)[:, None]
    keys = np.unique(first.entities.astype(str), axis=0, return_inverse=True)[1].reshape(-1)
    losses = {name: _by_series(error / scale, known, keys) for name, error in errors.items()}
    usable = np.isfinite(np.stack(list(losses.values()))).all(axis=0)
    table = np.stack([loss[usable] for loss in losses.values()])  # [models, series]
    ranks = np.stack([average_ranks(column) for column in table.T], axis=1) if table.size else np.full(table.shape, np.nan)
    names = list(results)
    means = table.mean(axis=1) if table.size else np.array([error[known].mean() for error in errors.values()])
    order = np.argsort(means, kind="stable")
    best = table[order[0]]
    ranked = []
    for place, i in enumerate(order):
        p = None if place == 0 else wilcoxon(table[i] - best)
        adjusted = None if p is None else min(1.0, p * (len(names) - 1))
        mae = float(errors[names[i]][known].mean())
        ranked.append(Ranked(names[i], place + 1, float(means[i]), float(ranks[i].mean()) if table.size else float("nan"), mae, adjusted))
    return ranked


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
    """Two-sided p of the signed-rank test by the normal approximation, with ties and continuity; zeros are left out. None below ten."""
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
