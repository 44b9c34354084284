"""The form in which a target is learned: divided by a scale of its series, as a logarithm, as a
difference. Forecasts come back in natural units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from framework.data.arrays import Float32, Float64, Rows
from framework.data.schema import Schema
from framework.data.windows import PanelArrays, Windows
from framework.errors import ConfigError, DataError

#: A window's scale is at least this share of the typical one: a series at rest is not divided by
#: nothing, and one that is a thousand times smaller than the others keeps its own scale.
FLOOR = 1e-4
#: The share in pairs that are older than that.
_FLOOR_BEFORE = 0.01
#: Where a logarithm begins: a context may hold what the training rows did not.
_LOWEST = -0.999


@dataclass(frozen=True, slots=True)
class TargetTransform:
    """A value ``y`` is learned as ``g(y / s) - g(a / s)``.

    ``s``: the past feature at place ``scale`` at the origin; 1 without one. Where it is null, the
    mean size of the target's own values in the window, else ``typical``. ``g``: log1p when ``log``,
    else nothing. ``a``: the past feature at the step's place ``anchor[H]``; nothing is taken away
    without one. Where it is null, the newest own value in the window, else the first other anchor
    that is known. ``target``: the target's place; None in pairs that are older than these rules,
    which go without them.

    ``smear``: what turns the exponential of a mean into the mean of the exponentials, the average
    of the exponentials of the errors (Duan 1983, "Smearing estimate: a nonparametric
    retransformation method"). Quantiles need none: they map through any rising function.
    """

    anchor: Rows | None = None
    log: bool = False
    scale: int | None = None
    typical: float = 1.0
    smear: float = 1.0
    target: int | None = None
    floor: float = FLOOR

    def scales(self, windows: Windows) -> Float64 | None:
        """Find what each window's target is divided by.

        Args:
            windows: ``n`` windows.

        Returns:
            ``[n]``, above 0; None without a scale.
        """
        if self.scale is None:
            return None
        scales = windows.past[:, -1, self.scale].astype(np.float64)
        unknown = ~np.isfinite(scales)
        if unknown.any():
            scales[unknown] = self._own_sizes(windows.target_past[unknown])
        return np.maximum(scales, self.floor * self.typical)

    def _own_sizes(self, history: Float64) -> Float64:
        """``[n, L, T] -> [n]``: the mean size of each window's own values of the target,
        ``typical`` where there are none.
        """
        if self.target is None:
            return np.full(len(history), self.typical)
        sizes = np.abs(history[:, :, self.target])
        known = np.isfinite(sizes)
        counts = known.sum(axis=1)
        sums = np.cumsum(np.where(known, sizes, 0.0), axis=1)[:, -1]
        return np.where(counts > 0, sums / np.maximum(counts, 1), self.typical)

    def forward(self, values: Float64, windows: Windows) -> Float64:
        """Turn values into what is learned.

        Args:
            values: ``[n, H]``, in natural units.
            windows: The windows of the values.

        Returns:
            ``[n, H]``, as learned.
        """
        scales = self.scales(windows)
        level = self._level(windows, scales)
        out = self._rise(values if scales is None else values / scales[:, None])
        return out if level is None else out - level

    def back(self, values: Float64, windows: Windows) -> Float64:
        """Turn what was learned into natural units.

        Args:
            values: ``[n, H, 1 + Q]``, as learned; the first of the last axis is the mean.
            windows: The windows of the forecasts.

        Returns:
            ``[n, H, 1 + Q]``, in natural units.
        """
        scales = self.scales(windows)
        level = self._level(windows, scales)
        out = values if level is None else values + level[..., None]
        if self.log:
            out = np.exp(out)
            out[..., 0] *= self.smear
            out -= 1.0
        return out if scales is None else out * scales[:, None, None]

    def _level(self, windows: Windows, scales: Float64 | None) -> Float64 | None:
        if self.anchor is None:
            return None
        anchor = self._filled(
            windows.past[:, -1][:, self.anchor].astype(np.float64), windows.target_past
        )
        return np.nan_to_num(
            self._rise(anchor if scales is None else anchor / scales[:, None]), nan=0.0
        )

    def _filled(self, anchor: Float64, history: Float64) -> Float64:
        """``anchor[n, H]`` with an own value of the series where a step has none."""
        unknown = ~np.isfinite(anchor)
        if self.target is None or not unknown.any():
            return anchor
        values = np.concatenate([history[:, ::-1, self.target], anchor], axis=1)  # the newest first
        known = np.isfinite(values)
        first = np.take_along_axis(values, known.argmax(axis=1)[:, None], axis=1)
        return np.where(unknown, first, anchor)

    def _rise(self, values: Float64) -> Float64:
        return np.log1p(np.maximum(values, _LOWEST)) if self.log else values

    def with_errors(self, errors: Float64) -> Self:
        """Add the smearing estimate.

        Args:
            errors: Actual less forecast, as learned.

        Returns:
            This transform with the estimate; as it is without ``log`` or errors.
        """
        return (
            replace(self, smear=float(np.exp(errors).mean())) if self.log and len(errors) else self
        )

    def to_json(self) -> dict[str, Any]:
        """Describe the transform in plain values.

        Returns:
            What :meth:`from_json` reads.
        """
        anchor = None if self.anchor is None else self.anchor.tolist()
        body = {
            "anchor": anchor,
            "log": self.log,
            "scale": self.scale,
            "typical": self.typical,
            "smear": self.smear,
        }
        return {**body, "target": self.target, "floor": self.floor}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        """Read a transform.

        Args:
            body: What :meth:`to_json` wrote.

        Returns:
            The transform.
        """
        anchor = None if body["anchor"] is None else np.array(body["anchor"], dtype=np.int64)
        return cls(**{"floor": _FLOOR_BEFORE, **body, "anchor": anchor})


def plan_transform(
    arrays: PanelArrays,
    schema: Schema,
    target: int,
    anchor: Rows | None,
    log: tuple[str, ...],
    scale: dict[str, str],
) -> TargetTransform:
    """Plan the transform of one target.

    Args:
        arrays: The training rows.
        schema: Names the targets.
        target: The number of the target.
        anchor: The place of the feature that each step's value is taken from, if any.
        log: The targets that are learned as logarithms.
        scale: By target the feature that it is divided by.

    Returns:
        The transform.

    Raises:
        ConfigError: The feature of the scale is not there.
        DataError: The target cannot be transformed so.
    """
    name = schema.targets[target]
    if name in log:
        lowest = float(np.nanmin(arrays.target[:, target], initial=np.inf))
        if lowest <= -1:
            raise DataError(
                f"model.log: target '{name}' goes down to {lowest:g}, log(1 + y) needs "
                "values above -1; leave it out."
            )
    if name not in scale:
        return TargetTransform(anchor, name in log, target=target)
    place = arrays.past_names.index(scale[name]) if scale[name] in arrays.past_names else None
    if place is None:
        raise ConfigError(
            f"model.scale.{name}: there is no feature '{scale[name]}'; engineer one, such "
            f"as {name}_rolling_28_mean."
        )
    column: Float32 = arrays.past[:, place]
    known = column[np.isfinite(column)]
    typical = float(np.median(known)) if len(known) else 0.0
    if typical <= 0:
        raise ConfigError(
            f"model.scale.{name}: feature '{scale[name]}' is not above 0 in most rows, so "
            "nothing can be divided by it; "
            "leave it out of the preprocessor's steps or choose another feature."
        )
    return TargetTransform(anchor, name in log, place, typical, target=target)
