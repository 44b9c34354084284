"""Seasonal naive: each step is forecast by the last known value of the same place in the season.

Hyndman & Athanasopoulos, *Forecasting: Principles and Practice* (3rd ed.), section 5.2.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

import numpy as np

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.data.windows import Windows, WindowSet
from framework.errors import DataError
from framework.interfaces.model import Covariates, Model
from framework_baselines import SeasonalNaiveOptions

_BATCH = 8192


class SeasonalNaive(Model):
    """Uses the targets' history alone.

    Where the history is null: the newest value at the same place of an earlier season in the
    window, else the mean of the window. The core asks for no window without any value of the
    target; the answer to one is the mean of the training rows. A quantile is the forecast plus that
    quantile of the training errors of its step and target (of all steps, for a step without any),
    the same for every series. A window without a value teaches no error.
    """

    options: SeasonalNaiveOptions

    def context_length(self, schema_hint: int) -> int:
        return self.options.season_length

    @property
    def supports_quantiles(self) -> bool:
        return True

    @property
    def covariates(self) -> frozenset[Covariates]:
        return frozenset()

    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        sets = [train] if validation is None else [train, validation]
        values = np.concatenate([_seen(windows) for windows in sets])
        known = ~np.isnan(values)
        if not known.any(axis=0).all():
            empty = [
                name
                for name, any_known in zip(schema.targets, known.any(axis=0), strict=True)
                if not any_known
            ]
            raise DataError(
                f"seasonal_naive: targets {empty} have no value in the training rows; check "
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
            self._errors = _error_quantiles(errors, schema)

    def _mean(self, windows: Windows) -> Float64:
        """``[n, H, T]``."""
        history = windows.target_past
        n, length, targets = history.shape
        season = self.options.season_length
        seasons = -(-length // season)
        padded = np.concatenate(
            [np.full((n, seasons * season - length, targets), np.nan), history], axis=1
        )
        place = padded[:, -season:]
        for back in range(2, seasons + 1):
            place = np.where(
                np.isnan(place), padded[:, padded.shape[1] - back * season :][:, :season], place
            )
        known = ~np.isnan(history)
        count = known.sum(axis=1)
        total = np.zeros((n, targets))
        for step in range(
            length
        ):  # in order: the sum of one window must not depend on how many there are
            total += np.where(known[:, step], history[:, step], 0.0)
        level = np.where(count > 0, total / np.maximum(count, 1), self._level)
        filled = np.where(np.isnan(place), level[:, None, :], place)
        return filled[:, np.arange(self._horizon) % season]

    def _error(self, windows: Windows, target: Float64) -> Float64:
        """``[n, H, T]``, NaN where a window has no value of the target or the target is unknown."""
        empty = np.isnan(windows.target_past).all(axis=1)
        return np.where(empty[:, None, :], np.nan, target - self._mean(windows))

    def predict(self, windows: Windows) -> Float64:
        mean = self._mean(windows)
        return np.concatenate([mean[..., None], mean[..., None] + self._errors[None]], axis=3)

    def save(self, directory: Path) -> None:
        body = {
            "options": self.options.model_dump(mode="json"),
            "horizon": self._horizon,
            "level": self._level.tolist(),
        }
        (directory / "model.json").write_text(
            json.dumps({**body, "errors": self._errors.tolist(), "shape": self._errors.shape})
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        body = json.loads((directory / "model.json").read_text())
        model = cls(SeasonalNaiveOptions.model_validate(body["options"]))
        model._horizon, model._level = body["horizon"], np.array(body["level"])
        model._errors = np.array(body["errors"], dtype=np.float64).reshape(body["shape"])
        return model


def _seen(windows: WindowSet) -> Float64:
    """The target rows that the windows cover: from the first step of any context to the last step
    of any horizon.
    """
    return windows.arrays.target[windows.reached(1 - windows.context_length, windows.horizon)]


def _error_quantiles(errors: Float64, schema: Schema) -> Float64:
    """``[n, H, T] -> [H, T, Q]``."""
    out = np.empty((schema.horizon, len(schema.targets), len(schema.quantiles)))
    for t, name in enumerate(schema.targets):
        pooled = errors[:, :, t][~np.isnan(errors[:, :, t])]
        if not len(pooled):
            raise DataError(
                f"seasonal_naive: no training error of target '{name}' to take quantiles "
                "of; give more history or quantiles: []."
            )
        for h in range(schema.horizon):
            known = errors[:, h, t][~np.isnan(errors[:, h, t])]
            out[h, t] = np.quantile(known if len(known) else pooled, schema.quantiles)
    return out
