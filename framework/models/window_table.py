"""Windows as the rows of a table: what a model that knows nothing of time, such as a booster, is
trained on.

One row for each window and step ahead; the step is a column, so that one model answers the whole
horizon directly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from framework.data.arrays import Float32, Float64, Rows
from framework.data.own_columns import own_columns
from framework.data.schema import Schema
from framework.data.windows import PanelArrays, Windows, WindowSet
from framework.errors import ConfigError
from framework.features.operations import steps_back
from framework.models.cold_windows import with_cold
from framework.models.options import TargetOptions
from framework.models.target_transforms import TargetTransform, plan_transform
from framework.models.window_sets import pieces_of

#: The operations of feature engineering that leave a column in its unit.
_IN_UNIT = ("lag", "rolling", "expanding", "difference")


@dataclass(frozen=True, slots=True)
class Tabular:
    """The way from windows to rows, decided in ``fit`` and saved with the model.

    ``seasonal[H, A]``: places of past features that each step's row holds once more: the targets
    one season before the step, target by target, in units of the target's scale where it has one.
    ``targets[T]``: what each target is learned as. ``scaled[T]``: places of past features that are
    in the unit of a target with a scale, and divided by it too; none in pairs that are older than
    this rule. ``cold``: places of past features that are null where a series has no history; some
    windows are learned once more without them. ``unknown``: place and value of the static features
    of a series that training does not know.
    """

    seasonal: Rows | None
    targets: tuple[TargetTransform, ...]
    scaled: tuple[tuple[int, ...], ...] = ()
    cold: tuple[int, ...] = ()
    unknown: tuple[tuple[int, float], ...] = ()

    @classmethod
    def plan(cls, arrays: PanelArrays, schema: Schema, options: TargetOptions) -> Self:
        """Plan how windows become rows.

        Seen from the origin, a value one lag before a step is the lag less the step back:
        ``{target}_lag_{k}``, or the target. A lag that is not longer than the step counts as often
        as it must to reach the past. The difference is taken from the first lag.

        Args:
            arrays: The training rows.
            schema: Names the targets, and the horizon.
            options: Lags, differences, logarithms and scales.

        Returns:
            The plan.

        Raises:
            ConfigError: A feature is missing or, under a difference, not in the target's unit.
        """
        cls.check(arrays.past_names, schema, options)
        lags = options.seasonal_lags
        rows = _rows(lags, schema)
        seasonal = cls._seasonal(arrays, schema, lags, rows) if lags else None
        targets = []
        for t, name in enumerate(schema.targets):
            anchor = None
            if seasonal is not None and name in options.difference:
                for row in rows:
                    _check_unit(arrays, t, name, row[0])
                anchor = seasonal[:, t * len(lags)]
            targets.append(plan_transform(arrays, schema, t, anchor, options.log, options.scale))
        scaled = tuple(
            () if transform.scale is None else _places_in_unit(arrays, name, transform.scale)
            for name, transform in zip(schema.targets, targets, strict=True)
        )
        own = own_columns(schema.targets, arrays.past_names) if schema.cold else ()
        cold = tuple(int(place) for places in own for place in places)
        return cls(seasonal, tuple(targets), scaled, cold, tuple(arrays.unknown.items()))

    @staticmethod
    def check(past_names: tuple[str, ...], schema: Schema, options: TargetOptions) -> None:
        """Check what can be said of the columns before there are rows.

        Args:
            past_names: The features of the past.
            schema: Names the targets, and the horizon.
            options: Lags, differences, logarithms and scales.

        Raises:
            ConfigError: One of them names what is not there.
        """
        lags = options.seasonal_lags
        if schema.cold and (options.difference or options.scale):
            key = "difference" if options.difference else "scale"
            raise ConfigError(
                f"panel.cold: a window without history has nothing for model.{key}; leave "
                f"model.{key} empty, or set panel.cold=refuse."
            )
        for key, names in (
            ("difference", options.difference),
            ("log", options.log),
            ("scale", tuple(options.scale)),
        ):
            for name in names:
                if name not in schema.targets:
                    raise ConfigError(
                        f"model.{key}: '{name}' is not one of the targets {list(schema.targets)}."
                    )
        if not lags:
            return
        backs = sorted({back for row in _rows(lags, schema) for back in row})
        lag_names = [_lag_name(t, back) for t in schema.targets for back in backs]
        missing_lags = [name for name in lag_names if name not in past_names]
        if missing_lags:
            raise ConfigError(
                f"model.seasonal_lags {list(lags)} need the features {missing_lags}; engineer "
                "them (op: lag)."
            )

    @staticmethod
    def _seasonal(
        arrays: PanelArrays, schema: Schema, lags: tuple[int, ...], steps: list[list[int]]
    ) -> Rows:
        names = [[_lag_name(t, back) for t in schema.targets for back in row] for row in steps]
        return np.array(
            [[arrays.past_names.index(name) for name in row] for row in names], dtype=np.int64
        )

    def features(self, windows: Windows) -> Float32:
        """Turn windows into rows, one for each step ahead.

        Args:
            windows: ``n`` windows.

        Returns:
            ``[n * H, L * F + S' + K' + A + 1]``: the past (oldest step first), static, the step's
            future columns, its seasonal columns, the step (1 to H). Where there is one step alone,
            none says which: a constant costs a booster as much as any other column.
        """
        n, horizon, known = windows.future.shape
        past = windows.past.shape[1] * windows.past.shape[2]
        split = past + windows.static.shape[1]
        steps = split + known + (0 if self.seasonal is None else self.seasonal.shape[1])
        width = steps + (horizon > 1)
        out = np.empty((n, horizon, width), dtype=np.float32)
        out[:, :, :past] = self._past(windows).reshape(n, 1, past)
        out[:, :, past:split] = windows.static[:, None, :]
        out[:, :, split : split + known] = windows.future
        if self.seasonal is not None:
            self._fill_seasonal(out[:, :, split + known : steps], windows)
        if horizon > 1:
            out[:, :, steps] = np.arange(1, horizon + 1)
        return out.reshape(n * horizon, width)

    def _past(self, windows: Windows) -> Float32:
        """``[n, L, F]``, what is in the unit of a scaled target divided by its scale."""
        if not any(self.scaled):
            return windows.past
        past = windows.past.copy()
        for places, transform in zip(self.scaled, self.targets, strict=True):
            scales = transform.scales(windows)
            if places and scales is not None:
                past[:, :, list(places)] /= scales[:, None, None].astype(np.float32)
        return past

    def _fill_seasonal(self, out: Float32, windows: Windows) -> None:
        assert self.seasonal is not None
        out[:] = windows.past[:, -1][:, self.seasonal]
        lags = out.shape[2] // len(self.targets)
        for t, transform in enumerate(self.targets):
            scales = transform.scales(windows)
            if scales is not None:
                out[:, :, t * lags : (t + 1) * lags] /= scales[:, None, None]

    def known_rows(self, windows: Windows, target: int) -> tuple[Float32, Float64]:
        """Turn windows into the rows whose label and scale are known.

        Args:
            windows: Windows with their targets.
            target: The number of the target.

        Returns:
            The rows of :meth:`features`, and their labels as they are learned; some of them a
            second time, as those of a series without history.
        """
        if self.cold:
            windows = with_cold(windows, self.cold, self.unknown)
        assert windows.target is not None  # training windows have them
        transform = self.targets[target]
        labels = transform.forward(windows.target[:, :, target], windows)
        if transform.scale is not None:
            labels[~np.isfinite(windows.past[:, -1, transform.scale])] = np.nan
        labels = labels.ravel()
        rows, known = self.features(windows), ~np.isnan(labels)
        return (rows, labels) if known.all() else (rows[known], labels[known])

    def with_transform(self, target: int, transform: TargetTransform) -> Self:
        """Replace the transform of one target.

        Args:
            target: The number of the target.
            transform: The new transform.

        Returns:
            The plan with it.
        """
        return replace(
            self, targets=(*self.targets[:target], transform, *self.targets[target + 1 :])
        )

    def table(self, windows: WindowSet, target: int) -> tuple[Float32, Float64]:
        """Make :meth:`known_rows` of a window set, all at once in memory.

        Args:
            windows: The windows.
            target: The number of the target.

        Returns:
            The rows and their labels.
        """
        parts = [self.known_rows(piece, target) for piece in windows.batches(pieces_of(windows))]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def to_json(self) -> dict[str, Any]:
        """Describe the plan in plain values.

        Returns:
            What :meth:`from_json` reads.
        """
        seasonal = None if self.seasonal is None else self.seasonal.tolist()
        return {
            "seasonal": seasonal,
            "targets": [transform.to_json() for transform in self.targets],
            "scaled": self.scaled,
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        """Read a plan.

        Args:
            body: What :meth:`to_json` wrote.

        Returns:
            The plan.
        """
        seasonal = None if body["seasonal"] is None else np.array(body["seasonal"], dtype=np.int64)
        return cls(
            seasonal,
            tuple(TargetTransform.from_json(transform) for transform in body["targets"]),
            tuple(tuple(places) for places in body.get("scaled", ())),
        )


def _rows(lags: tuple[int, ...], schema: Schema) -> list[list[int]]:
    """Of each step ahead, how far before the origin the value of each lag is."""
    return [steps_back(lags, step) for step in range(1, schema.horizon + 1)]


def _lag_name(target: str, back: int) -> str:
    return f"{target}_lag_{back}" if back else target


def _places_in_unit(arrays: PanelArrays, target: str, scale: int) -> tuple[int, ...]:
    """The places of the target and of what is made of it in its unit, the scale itself left out: it
    says how large the series is.
    """
    prefixes = tuple(f"{target}_{operation}_" for operation in _IN_UNIT)
    return tuple(
        place
        for place, name in enumerate(arrays.past_names)
        if (name == target or name.startswith(prefixes)) and place != scale
    )


def _check_unit(arrays: PanelArrays, target: int, name: str, back: int) -> None:
    """A preprocessor may have scaled the feature; target and feature put together would then be in
    no unit at all.
    """
    feature = _lag_name(name, back)
    column = arrays.past[:, arrays.past_names.index(feature)]
    rows = np.flatnonzero(np.arange(len(column)) - arrays.series_starts() >= back)
    if not np.array_equal(
        column[rows], arrays.target[rows - back, target].astype(np.float32), equal_nan=True
    ):
        raise ConfigError(
            f"model.difference: feature '{feature}' is not '{name}' {back} steps "
            "before in its natural unit; "
            "leave it out of the preprocessor's steps or the target out of the difference."
        )
