"""Windows as the rows of a table: what a model that knows nothing of time, such as a booster, is trained on.

One row for each window and step ahead; the step is a column, so that one model answers the whole horizon directly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from framework.errors import ConfigError, DataError
from framework.interfaces.values import Float32, Float64, Schema, Windows
from framework.interfaces.windows import PanelArrays, Rows, WindowSet

#: Rows in one piece while a table is built.
ROWS = 65536


@dataclass(frozen=True, slots=True)
class Tabular:
    """How windows become rows, decided in ``fit`` and saved with the model.

    ``seasonal[H, A]``: places of past features that each step's row holds once more: the targets one season before the step.
    ``anchors[T]``: places ``[H]`` of the values a target is learned and forecast as a difference from; None: as it is.
    """

    seasonal: Rows | None
    anchors: tuple[Rows | None, ...]

    @classmethod
    def plan(cls, arrays: PanelArrays, schema: Schema, seasonal_lags: tuple[int, ...], difference: tuple[str, ...]) -> Self:
        """Seen from the origin, a value one lag before a step is the lag less the step back: ``{target}_lag_{k}``, or the target.

        A lag that is not longer than the step counts as often as it must to reach the past. The difference is taken from the first lag.
        Raises :class:`ConfigError` for features that are missing or, under a difference, not in the target's unit.
        """
        for name in difference:
            if name not in schema.targets or not seasonal_lags:
                what = "needs model.seasonal_lags" if name in schema.targets else f"is not one of the targets {list(schema.targets)}"
                raise ConfigError(f"model.difference: '{name}' {what}.")
        if not seasonal_lags:
            return cls(None, (None,) * len(schema.targets))
        steps_back = [[lag * -(-h // lag) - h for lag in seasonal_lags] for h in range(1, schema.horizon + 1)]
        names = [[_lag_name(t, back) for t in schema.targets for back in row] for row in steps_back]
        missing = sorted({name for row in names for name in row} - set(arrays.past_names))
        if missing:
            raise ConfigError(f"model.seasonal_lags {list(seasonal_lags)} need the features {missing}; engineer them (op: lag).")
        seasonal = np.array([[arrays.past_names.index(name) for name in row] for row in names], dtype=np.int64)
        anchors: list[Rows | None] = [None] * len(schema.targets)
        for t, name in enumerate(schema.targets):
            if name in difference:
                for row in steps_back:
                    _check_unit(arrays, t, name, row[0])
                anchors[t] = seasonal[:, t * len(seasonal_lags)]
        return cls(seasonal, tuple(anchors))

    def features(self, windows: Windows) -> Float32:
        """``[n * H, L * F + S' + K' + A + 1]``: the past (oldest step first), static, the step's future columns, its seasonal columns,
        the step (1 to H).
        """
        n, horizon, known = windows.future.shape
        past = windows.past.shape[1] * windows.past.shape[2]
        split = past + windows.static.shape[1]
        width = split + known + 1 + (0 if self.seasonal is None else self.seasonal.shape[1])
        out = np.empty((n, horizon, width), dtype=np.float32)
        out[:, :, :past] = windows.past.reshape(n, 1, past)
        out[:, :, past:split] = windows.static[:, None, :]
        out[:, :, split : split + known] = windows.future
        if self.seasonal is not None:
            out[:, :, split + known : -1] = windows.past[:, -1][:, self.seasonal]
        out[:, :, -1] = np.arange(1, horizon + 1)
        return out.reshape(n * horizon, width)

    def anchor(self, windows: Windows, target: int) -> Float64 | None:
        """``[n * H]``: what the model's answers are added to, 0 where that value is null; None: nothing."""
        places = self.anchors[target]
        if places is None:
            return None
        return np.nan_to_num(windows.past[:, -1][:, places].astype(np.float64).ravel(), nan=0.0)

    def known_rows(self, windows: Windows, target: int) -> tuple[Float32, Float64]:
        """The rows whose label of ``target`` is known, and the labels, less their anchors."""
        assert windows.target is not None  # training windows have them
        labels = windows.target[:, :, target].ravel()
        known = ~np.isnan(labels)
        anchor = self.anchor(windows, target)
        if anchor is not None:
            labels = labels - anchor
        return self.features(windows)[known], labels[known]

    def table(self, windows: WindowSet, target: int) -> tuple[Float32, Float64]:
        """All of :meth:`known_rows` of a window set, at once in memory."""
        parts = [self.known_rows(piece, target) for piece in windows.batches(pieces_of(windows))]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def to_json(self) -> dict[str, Any]:
        places = [None if a is None else a.tolist() for a in (self.seasonal, *self.anchors)]
        return {"seasonal": places[0], "anchors": places[1:]}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        places = [None if a is None else np.array(a, dtype=np.int64) for a in (body["seasonal"], *body["anchors"])]
        return cls(places[0], tuple(places[1:]))


def _lag_name(target: str, steps_back: int) -> str:
    return f"{target}_lag_{steps_back}" if steps_back else target


def _check_unit(arrays: PanelArrays, target: int, name: str, steps_back: int) -> None:
    """A preprocessor may have scaled the feature; target and feature put together would then be in no unit at all."""
    feature = _lag_name(name, steps_back)
    column = arrays.past[:, arrays.past_names.index(feature)]
    rows = np.flatnonzero(np.arange(len(column)) - arrays.series_starts() >= steps_back)
    if not np.array_equal(column[rows], arrays.target[rows - steps_back, target].astype(np.float32), equal_nan=True):
        raise ConfigError(
            f"model.difference: feature '{feature}' is not '{name}' {steps_back} steps before in its natural unit; "
            "leave it out of the preprocessor's steps or the target out of the difference."
        )


def pieces_of(windows: WindowSet) -> int:
    """How many windows make a piece of about :data:`ROWS` rows."""
    return max(1, ROWS // windows.horizon)


def strided(windows: WindowSet, stride: int) -> WindowSet:
    """Every ``stride``-th origin."""
    return WindowSet(windows.arrays, windows.origins[::stride], windows.context_length, windows.horizon)


def has_label(windows: WindowSet, target: int) -> bool:
    """Whether any window knows a value of ``target``."""
    return any(batch.target is not None and not np.isnan(batch.target[:, :, target]).all() for batch in windows.batches(8192))


def lowest_label(windows: WindowSet, target: int, model: str, name: str) -> float:
    """The lowest label of target number ``target``. Raises :class:`DataError` when ``name`` has none."""
    lowest = np.inf
    for batch in windows.batches(8192):
        assert batch.target is not None  # training windows have them
        labels = batch.target[:, :, target]
        if not np.isnan(labels).all():
            lowest = min(lowest, float(np.nanmin(labels)))
    if not np.isfinite(lowest):
        raise DataError(f"{model}: target '{name}' has no value in the training windows; check the source.")
    return lowest
