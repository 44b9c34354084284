"""The weight of each member of an ensemble for each series.

A member's weight falls with its error, as a power of it. The errors of a series are drawn to those
of the panel, as if :data:`SHRINKAGE` more origins had shown them. So a choice that rests on
few origins is near the panel's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from framework.data.arrays import Flags, Float64, Objects, Rows

#: Origins that the errors of all series count for, beside those of a series.
SHRINKAGE = 1.0
#: A member with twice the error of another has a weight of two to this power less.
POWER = 8.0


@dataclass(frozen=True, slots=True)
class MemberWeights:
    """``panel[T, M]``: of a series without errors of its own; ``series``: ``[T, M]`` of each."""

    panel: Float64
    series: dict[tuple[str, ...], Float64]

    def of(self, entities: Objects) -> Float64:
        """``[n, T, M]``."""
        weights = [self.series.get(tuple(map(str, entity)), self.panel) for entity in entities]
        return np.array(weights).reshape(-1, *self.panel.shape)

    def save(self, path: Path) -> None:
        keys = np.array(list(self.series), dtype=np.str_)
        np.savez(path, panel=self.panel, keys=keys, weights=np.array(list(self.series.values())))

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as file:
            rows = zip(file["keys"], file["weights"], strict=True)
            return cls(file["panel"], {tuple(str(k) for k in key): row for key, row in rows})


def learn_weights(losses: Float64, series: Rows, count: int) -> tuple[Float64, Float64]:
    """Learn weights from the errors of members on the same windows.

    Args:
        losses: As :func:`shrunk_errors` takes them.
        series: ``[n]``, the number of each window's series.
        count: How many series there are.

    Returns:
        ``[T, M]`` of the panel, ``[count, T, M]`` of each series; each sums to 1 over members.
    """
    panel, own = shrunk_errors(losses, series, count)
    return _powers(panel), _powers(own)


def most_different(errors: Float64, most: int) -> Rows:
    """Choose the members that together have a small error for every series.

    The first is the best for the panel; each further one lowers the mean of the smallest errors of
    all series most. A near copy of a chosen one lowers nothing.

    Args:
        errors: ``[S, M]``.
        most: How many are chosen at most.

    Returns:
        Their numbers, rising.
    """
    picks = [int(errors.mean(axis=0).argmin())]
    while len(picks) < min(most, errors.shape[1]):
        smallest = errors[:, picks].min(axis=1, keepdims=True)
        smallest_error = np.minimum(errors, smallest).mean(axis=0)
        smallest_error[picks] = np.inf
        picks.append(int(smallest_error.argmin()))
    return np.sort(np.array(picks, dtype=np.int64))


def shrunk_errors(losses: Float64, series: Rows, count: int) -> tuple[Float64, Float64]:
    """Measure the errors of members on the same windows, in units of the mean of all members.

    Args:
        losses: ``[n, T, M]``, the mean absolute error of each member in each window, NaN where it
            is not known.
        series: ``[n]``, the number of each window's series.
        count: How many series there are.

    Returns:
        ``[T, M]`` of the panel; ``[count, T, M]`` of each series, drawn to the panel's.
    """
    known: Flags = np.asarray(np.isfinite(losses).all(axis=2))
    size = np.where(known[..., None], losses, 0.0)
    total = np.zeros((count, *losses.shape[1:]))
    number = np.zeros((count, losses.shape[1]))
    np.add.at(total, series, size)
    np.add.at(number, series, known)
    typical = total.mean(axis=2, keepdims=True)
    has_error: Flags = np.asarray(typical[..., 0] > 0)
    ratio = np.divide(total, typical, out=np.ones_like(total), where=typical > 0)
    share = has_error[..., None] / np.maximum(has_error.sum(axis=0), 1)[:, None]
    some = np.asarray(has_error.any(axis=0))[:, None]
    panel = np.where(some, (ratio * share).sum(axis=0), 1.0)
    own = np.where(has_error, number, 0.0)[..., None]
    return panel, (own * ratio + SHRINKAGE * panel) / (own + SHRINKAGE)


def _powers(errors: Float64) -> Float64:
    logs = -POWER * np.log(np.maximum(errors, 1e-6))
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
