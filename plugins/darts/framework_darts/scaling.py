"""Scales of target and features: what a network sees is of size one, what it answers is in the
target's unit again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch

from framework.data.arrays import Flags, Float32, Float64

#: A window's own deviation counts for at least this share of the training rows': a nearly constant
#: window is not blown up.
FLOOR = 0.01


@dataclass(frozen=True, slots=True)
class TargetScaler:
    """``mean[T]`` and ``std[T]`` of the training rows; ``kind`` as the option ``scaling``.
    ``last``: subtract a window's last value too.
    """

    kind: Literal["instance", "global", "none"]
    last: bool
    mean: Float64
    std: Float64

    @classmethod
    def fit(cls, target: Float64, kind: Literal["instance", "global", "none"], last: bool) -> Self:
        """``target[rows, T]``: the training rows, NaN where unknown."""
        mean, std = _moments(target)
        if kind == "none":
            mean, std = np.zeros_like(mean), np.ones_like(std)
        return cls(kind, last, mean, std)

    def apply(self, past: Float64) -> tuple[Float64, Float64, Float64]:
        """``past[n, L, T]`` scaled, without NaN, and the ``centre[n, 1, T]`` and ``size[n, 1, T]``
        that bring an answer back.

        A step that is unknown takes the one before it, or the centre when there is none. Sums run
        along time in a fixed order, so that a window's bits do not depend on its neighbours.
        """
        known = np.isfinite(past)
        whole = past.shape[1] > 1 and bool(
            known.all()
        )  # the common case: the same numbers with less to do
        centre, size = self._own(past, None if whole else known)
        filled = past
        if not whole:
            place = np.maximum.accumulate(
                np.where(known, np.arange(past.shape[1])[None, :, None], -1), axis=1
            )
            filled = np.where(
                place >= 0, np.take_along_axis(past, np.maximum(place, 0), axis=1), centre
            )
        if self.last:
            centre = filled[:, -1:]
        return (filled - centre) / size, centre, size

    def _own(self, past: Float64, known: Flags | None) -> tuple[Float64, Float64]:
        """Centre and size of each window. ``known``: which values are, None for all of two or
        more.
        """
        if self.kind != "instance":
            shape = (len(past), 1, past.shape[2])
            return np.full(shape, self.mean), np.full(shape, self.std)
        if known is None:
            mean = past.cumsum(axis=1)[:, -1:] / past.shape[1]
            variance = ((past - mean) ** 2).cumsum(axis=1)[:, -1:] / past.shape[1]
            return mean, np.maximum(np.sqrt(variance), FLOOR * self.std)
        count = known.sum(axis=1, keepdims=True)
        some = np.maximum(count, 1)
        mean = np.cumsum(np.where(known, past, 0.0), axis=1)[:, -1:] / some
        variance = np.cumsum(np.where(known, (past - mean) ** 2, 0.0), axis=1)[:, -1:] / some
        size = np.where(
            count > 1, np.sqrt(variance), np.minimum(np.abs(mean), self.std)
        )  # one value says no more than its own size
        size = np.where(count > 0, np.maximum(size, FLOOR * self.std), self.std)
        return np.where(count > 0, mean, self.mean), size

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "last": self.last,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        return cls(body["kind"], body["last"], np.array(body["mean"]), np.array(body["std"]))


#: The mean and what a distance from it is multiplied by, on a device.
Scale = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class FeatureScaler:
    """``mean[F]`` and ``std[F]`` of the training rows: a network's feature is their distance from
    the mean in deviations, 0 where null.
    """

    mean: Float64
    std: Float64

    @classmethod
    def fit(cls, rows: Float32) -> Self:
        """``rows[rows, F]``, NaN where unknown."""
        return cls(*_moments(rows))

    def on(self, device: torch.device) -> Scale:
        """Bring it to a device."""
        mean, factor = torch.from_numpy(self.mean), torch.from_numpy(1 / self.std)
        return mean.to(device), factor.to(device)

    def to_json(self) -> dict[str, Any]:
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        return cls(np.array(body["mean"]), np.array(body["std"]))


def scale_features(values: torch.Tensor, scale: Scale | None, dtype: torch.dtype) -> torch.Tensor:
    """Scale ``values[..., F]`` and put 0, the centre, where they are null. ``scale``: None leaves
    them as they are.

    Of each number a difference and a product in float64: the same bits on every device.
    """
    if scale is None:
        return torch.nan_to_num(values.to(dtype))
    mean, factor = scale
    return torch.sub(values, mean).mul_(factor).to(dtype).nan_to_num_()


def _moments(rows: Float64 | Float32) -> tuple[Float64, Float64]:
    """Mean and deviation of the known values of each column, 0 and 1 where there are none; one
    column at a time, to save memory.

    A constant has a deviation of 1: what rounding leaves of it must not blow up another value
    later.
    """
    mean, std = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
    for i, column in enumerate(rows.T):
        known = column[np.isfinite(column)].astype(np.float64)
        if len(known):
            mean[i], deviation = known.mean(), known.std()
            std[i] = deviation if deviation > 1e-12 * abs(mean[i]) else 1.0
    return mean, std
