"""Each step is forecast by values of the same place in the season: the last known one, or the mean
of the last seasons.

Hyndman & Athanasopoulos, *Forecasting: Principles and Practice* (3rd ed.), section 5.2.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from framework.data.arrays import Float64
from framework.options import Options
from framework_baselines import SeasonalMeanOptions, SeasonalNaiveOptions
from framework_baselines.naive import NaiveModel, window_mean

#: Seasons of the mean, where no length is given.
_SEASONS = 4


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
        seasons = _by_season(history, self.options.season_length)
        place = seasons[:, -1]
        for back in range(2, seasons.shape[1] + 1):
            place = np.where(np.isnan(place), seasons[:, -back], place)
        return _repeated(place, history, horizon)


class SeasonalMean(NaiveModel):
    """The mean of the known values at the same place of the seasons in the window. Where there are
    none, it is the mean of the window.
    """

    name = "seasonal_mean"
    options_type: ClassVar[type[Options]] = SeasonalMeanOptions
    options: SeasonalMeanOptions

    def context_length(self, schema_hint: int) -> int:
        return self.options.context_length or _SEASONS * self.options.season_length

    def mean(self, history: Float64, horizon: int) -> Float64:
        seasons = _by_season(history, self.options.season_length)
        n, count, season, targets = seasons.shape
        columns = seasons.transpose(0, 2, 1, 3).reshape(n * season, count, targets)
        return _repeated(window_mean(columns).reshape(n, season, targets), history, horizon)


def _by_season(history: Float64, season: int) -> Float64:
    """``[n, L, T] -> [n, seasons, season, T]``, the newest season last, NaN before the window."""
    n, length, targets = history.shape
    seasons = -(-length // season)
    before = np.full((n, seasons * season - length, targets), np.nan)
    return np.concatenate([before, history], axis=1).reshape(n, seasons, season, targets)


def _repeated(place: Float64, history: Float64, horizon: int) -> Float64:
    """``[n, H, T]`` of one season ``[n, season, T]``, the mean of the window where it is null."""
    filled = np.where(np.isnan(place), window_mean(history)[:, None, :], place)
    return filled[:, np.arange(horizon) % place.shape[1]]
