"""The folds of a backtest: which rows each learns from, and where it forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from framework.config.sections import BacktestConfig
from framework.data.arrays import Times
from framework.data.frequency import Frequency
from framework.data.time import to_numpy
from framework.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Fold:
    """Fit on the rows from ``first`` to ``cutoff``; forecast from ``origin``. All inclusive."""

    number: int
    first: np.datetime64
    cutoff: np.datetime64
    origin: np.datetime64


def holdout_origins(
    times: Times, frequency: Frequency, horizon: int, config: BacktestConfig
) -> Times:
    """The origins of ``backtest.holdout``, oldest first; the last is ``horizon`` steps before the
    panel's last step.
    """
    back = horizon + np.arange(config.holdout - 1, -1, -1) * (config.step or horizon)
    return frequency.shift(np.full(config.holdout, times.max()), -back)


def plan_folds(
    times: Times,
    frequency: Frequency,
    horizon: int,
    config: BacktestConfig,
    origins: Times | None = None,
    since: datetime | None = None,
) -> list[Fold]:
    """The folds, oldest first. The last origin is ``horizon`` steps before the panel's last step,
    or before the first origin of a hold-out, unless the ``origins`` are given. No fit learns from
    rows before ``since``.

    Raises :class:`ConfigError` when a fold would have nothing to learn from.
    """
    step, start = config.step or horizon, times.min()
    if since is not None:
        start = max(start, to_numpy(since))
    if origins is None:
        kept_apart = holdout_origins(times, frequency, horizon, config)
        end = kept_apart[0] if len(kept_apart) else times.max()
        back = horizon + np.arange(config.folds - 1, -1, -1) * step
        origins = frequency.shift(np.full(config.folds, end), -back)
    folds = []
    for number, origin in enumerate(origins):
        cutoff = frequency.shift(np.array([origin]), -config.gap)[0]
        first = start
        if config.window == "sliding" and config.window_length is not None:
            first = max(start, frequency.shift(np.array([cutoff]), 1 - config.window_length)[0])
        if cutoff <= start:
            raise ConfigError(
                f"backtest: fold {number + 1} of {len(origins)} would learn from rows up to "
                f"{cutoff}, the {'data' if since is None else 'rows since panel.since'} "
                f"begin {start}: "
                f"horizon {horizon}, step {step} and gap {config.gap} are longer than the "
                "data; lower backtest.folds or panel.horizon."
            )
        folds.append(Fold(number, first, cutoff, origin))
    return folds
