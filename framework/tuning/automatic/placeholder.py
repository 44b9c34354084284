"""Stands in for ``model=auto`` until a run has chosen, and for a baseline that nobody reads."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.data.windows import Windows, WindowSet
from framework.errors import ConfigError
from framework.interfaces.model import Covariates, Model

_UNCHOSEN = (
    "model=auto: nothing is chosen yet; run=train and run=backtest choose, and write what was "
    "chosen as an experiment."
)


class Unchosen(Model):
    """Stands for a model while data are ingested and read; it learns and forecasts nothing."""

    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        raise ConfigError(_UNCHOSEN)

    def predict(self, windows: Windows) -> Float64:
        raise ConfigError(_UNCHOSEN)

    def save(self, directory: Path) -> None:
        raise ConfigError(_UNCHOSEN)

    @classmethod
    def load(cls, directory: Path) -> Self:
        raise ConfigError(_UNCHOSEN)


class NoBaseline(Model):
    """Forecasts 0. Set-ups are compared with each other, and a baseline that is fitted beside each
    of them costs more than many of them.
    """

    def context_length(self, schema_hint: int) -> int:
        return 1

    @property
    def covariates(self) -> frozenset[Covariates]:
        return frozenset()

    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        self._shape = (schema.horizon, len(schema.targets), 1)

    def predict(self, windows: Windows) -> Float64:
        return np.zeros((len(windows.target_past), *self._shape))

    def save(self, directory: Path) -> None:
        raise NotImplementedError(f"{type(self).__name__} is part of no pair.")

    @classmethod
    def load(cls, directory: Path) -> Self:
        raise NotImplementedError(f"{cls.__name__} is part of no pair.")
