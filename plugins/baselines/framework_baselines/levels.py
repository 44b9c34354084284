"""The naive forecasts without a season: the mean, and the last value with its mean change.

Hyndman & Athanasopoulos, *Forecasting: Principles and Practice* (3rd ed.), section 5.2.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from framework.data.arrays import Float64
from framework.options import Options
from framework_baselines import LevelOptions
from framework_baselines.naive import NaiveModel, window_mean

#: Steps that whole seasons reach, where no length is given.
_STEPS = 30


class _Level(NaiveModel):
    options_type: ClassVar[type[Options]] = LevelOptions
    options: LevelOptions

    def _whole_seasons(self) -> int:
        """The steps of as many whole seasons as reach :data:`_STEPS`."""
        season = self.options.season_length
        return season * max(2, -(-_STEPS // season))


class Mean(_Level):
    """The mean of the known values in the window."""

    name = "mean"

    def context_length(self, schema_hint: int) -> int:
        return self.options.context_length or self._whole_seasons()

    def mean(self, history: Float64, horizon: int) -> Float64:
        return np.repeat(window_mean(history)[:, None, :], horizon, axis=1)


class Drift(_Level):
    """The last known value, and the mean change of a step since the first one in the window. Values
    that are nearer than half of the window to each other count as if they were so far apart: two
    neighbours say little of a trend.

    Without a length of its own the window holds whole seasons and one step, so that both values are
    at the same place of a season.
    """

    name = "drift"

    def context_length(self, schema_hint: int) -> int:
        return self.options.context_length or self._whole_seasons() + 1

    def mean(self, history: Float64, horizon: int) -> Float64:
        known = ~np.isnan(history)
        first = known.argmax(axis=1)
        last = history.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
        begin, end = (
            np.take_along_axis(history, place[:, None], axis=1)[:, 0] for place in (first, last)
        )
        span = np.maximum(last - first, max(1, (history.shape[1] - 1) / 2))
        slope = (end - begin) / span
        ahead = np.arange(1, horizon + 1)[None, :, None] + (history.shape[1] - 1 - last)[:, None]
        return end[:, None] + slope[:, None] * ahead
