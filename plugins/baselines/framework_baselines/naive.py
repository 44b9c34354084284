"""The common part of the naive forecasts: a level for an empty window, quantiles of the training
errors, how they are saved.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.data.windows import Windows, WindowSet
from framework.errors import DataError
from framework.interfaces.model import Covariates, Model
from framework.options import Options

_BATCH = 8192


class NaiveModel(Model):
    """Uses the targets' history alone; subclasses say how.

    The core asks for no window without any value of the target; the answer to one is the mean of
    the training rows. A quantile is the forecast plus that quantile of the training errors of its
    step and target (of all steps, for a step without any), the same for every series. A window
    without a value teaches no error.
    """

    name: ClassVar[str]
    options_type: ClassVar[type[Options]]
    options: Any

    @abstractmethod
    def mean(self, history: Float64, horizon: int) -> Float64:
        """Forecast windows.

        Args:
            history: ``[n, L, T]``, NaN where a value is not known.
            horizon: Steps ahead.

        Returns:
            ``[n, H, T]``, NaN where the history has nothing to say.
        """

    def least_context(self, schema_hint: int) -> int:
        return 1

    @property
    def supports_quantiles(self) -> bool:
        return True

    @property
    def covariates(self) -> frozenset[Covariates]:
        return frozenset()

    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        sets = [targets_alone(each) for each in (train, validation) if each is not None]
        values = np.concatenate([_seen(windows) for windows in sets])
        known = ~np.isnan(values)
        if not known.any(axis=0).all():
            empty = [
                name
                for name, any_known in zip(schema.targets, known.any(axis=0), strict=True)
                if not any_known
            ]
            raise DataError(
                f"{self.name}: targets {empty} have no value in the training rows; check "
                "the source."
            )
        self._horizon = schema.horizon
        self._level: Float64 = np.nanmean(values, axis=0)
        self._errors: Float64 = np.zeros(
            (schema.horizon, len(schema.targets), len(schema.quantiles))
        )
        if schema.quantiles:
            errors = np.concatenate(
                [
                    self._error(b, b.target)
                    for s in sets
                    for b in s.batches(_BATCH)
                    if b.target is not None
                ]
            )
            self._errors = self._error_quantiles(errors, schema)

    def _filled(self, windows: Windows) -> Float64:
        """``[n, H, T]``, the level of the training rows where the window has nothing to say."""
        mean = self.mean(windows.target_past, self._horizon)
        return np.where(np.isnan(mean), self._level, mean)

    def _error(self, windows: Windows, target: Float64) -> Float64:
        """``[n, H, T]``, NaN where a window has no value of the target or the target is unknown."""
        empty = np.isnan(windows.target_past).all(axis=1)
        return np.where(empty[:, None, :], np.nan, target - self._filled(windows))

    def _error_quantiles(self, errors: Float64, schema: Schema) -> Float64:
        """``[n, H, T] -> [H, T, Q]``."""
        out = np.empty((schema.horizon, len(schema.targets), len(schema.quantiles)))
        for t, name in enumerate(schema.targets):
            pooled = errors[:, :, t][~np.isnan(errors[:, :, t])]
            if not len(pooled):
                raise DataError(
                    f"{self.name}: no training error of target '{name}' to take quantiles "
                    "of; give more history or quantiles: []."
                )
            for h in range(schema.horizon):
                known = errors[:, h, t][~np.isnan(errors[:, h, t])]
                out[h, t] = np.quantile(known if len(known) else pooled, schema.quantiles)
        return out

    def predict(self, windows: Windows) -> Float64:
        mean = self._filled(windows)
        return np.concatenate([mean[..., None], mean[..., None] + self._errors[None]], axis=3)

    def save(self, directory: Path) -> None:
        body = {
            "options": self.options.model_dump(mode="json"),
            "horizon": self._horizon,
            "level": self._level.tolist(),
            "errors": self._errors.tolist(),
            "shape": self._errors.shape,
        }
        (directory / "model.json").write_text(json.dumps(body))

    @classmethod
    def load(cls, directory: Path) -> Self:
        body = json.loads((directory / "model.json").read_text())
        model = cls(cls.options_type.model_validate(body["options"]))
        model._horizon, model._level = body["horizon"], np.array(body["level"])
        model._errors = np.array(body["errors"], dtype=np.float64).reshape(body["shape"])
        return model


def targets_alone(windows: WindowSet) -> WindowSet:
    """The windows without past features: naive forecasts use none, and there may be hundreds."""
    past = windows.arrays.past[:, :0]
    return replace(windows, arrays=replace(windows.arrays, past=past, past_names=()))


def window_mean(history: Float64) -> Float64:
    """``[n, L, T] -> [n, T]``, NaN for a window without a value. Steps are added in order: the sum
    of one window must not depend on how many there are.
    """
    known = ~np.isnan(history)
    count = known.sum(axis=1)
    total = np.zeros((len(history), history.shape[2]))
    for step in range(history.shape[1]):
        total += np.where(known[:, step], history[:, step], 0.0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _seen(windows: WindowSet) -> Float64:
    """The target rows that the windows cover: from the first step of any context to the last step
    of any horizon.
    """
    return windows.arrays.target[windows.reached(1 - windows.context_length, windows.horizon)]
