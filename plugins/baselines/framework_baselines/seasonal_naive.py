"""Seasonal naive: each step is forecast by the last known value of the same place in the season.

Hyndman & Athanasopoulos, *Forecasting: Principles and Practice* (3rd ed.), section 5.2.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from framework.data.arrays import Float64
from framework.options import Options
from framework_baselines import SeasonalNaiveOptions
from framework_baselines.naive import NaiveModel, window_mean


class SeasonalNaive(NaiveModel):
    """A null in the history is replaced by the newest value at the same place of an earlier season
    in the window, else by the mean of the window.
    """

    name = "seasonal_naive"
    options_type: ClassVar[type[Options]] = SeasonalNaiveOptions
    options: SeasonalNaiveOptions

    def context_length(self, schema_hint: int) -> int:
        return self.options.season_length

    def mean(self, history: Float64, horizon: int) -> Float64:
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
        filled = np.where(np.isnan(place), window_mean(history)[:, None, :], place)
        return filled[:, np.arange(horizon) % season]
