"""The stand-in for ``model=auto`` until a run has chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.data.windows import Windows, WindowSet
from framework.errors import ConfigError
from framework.interfaces.model import Model

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
