"""``model=seasonal_naive``, ``seasonal_mean``, ``drift``, ``mean`` and ``strongest_naive``."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from framework.interfaces.plugin import Automatic, Component, hookimpl
from framework.options import Options


class SeasonalNaiveOptions(Options):
    """``season_length``: steps in a season, such as 7 for a week of days."""

    season_length: PositiveInt = "${panel.season_length}"  # type: ignore[assignment]  # resolved, then checked, when a run is composed


class SeasonalMeanOptions(SeasonalNaiveOptions):
    """``context_length``: the last steps that are looked at, null for four whole seasons.
    ``season_length``: in steps.
    """

    context_length: PositiveInt | None = None


class LevelOptions(Options):
    """``context_length``: the last steps that are looked at, null for as many whole seasons as
    reach 30 steps, two at least. ``season_length``: in steps.
    """

    season_length: PositiveInt = "${panel.season_length}"  # type: ignore[assignment]  # resolved, then checked, when a run is composed
    context_length: PositiveInt | None = None


class StrongestNaiveOptions(Options):
    """``seasons``: the season lengths that are compared beside the last value, the drift and the
    mean; null for ``season_length`` and, of a baseline, those that the data show. ``windows``: how
    many windows of the training rows they are compared on, at most.
    """

    season_length: PositiveInt = "${panel.season_length}"  # type: ignore[assignment]  # resolved, then checked, when a run is composed
    seasons: tuple[PositiveInt, ...] | None = None
    windows: int = Field(default=4_000, ge=1)


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "model",
            "seasonal_naive",
            "framework_baselines.seasonal_naive:SeasonalNaive",
            SeasonalNaiveOptions,
            "the value one season ago",
            automatic=Automatic("naive"),
        ),
        Component(
            "model",
            "seasonal_mean",
            "framework_baselines.seasonal_naive:SeasonalMean",
            SeasonalMeanOptions,
            "the mean at the same place of the last seasons",
            automatic=Automatic("seasonal"),
        ),
        Component(
            "model",
            "drift",
            "framework_baselines.levels:Drift",
            LevelOptions,
            "the last value and the mean change of the last seasons",
            automatic=Automatic("level"),
        ),
        Component(
            "model",
            "mean",
            "framework_baselines.levels:Mean",
            LevelOptions,
            "the mean of the last seasons",
            automatic=Automatic("level"),
        ),
        Component(
            "model",
            "strongest_naive",
            "framework_baselines.strongest:StrongestNaive",
            StrongestNaiveOptions,
            "for each target the naive forecast that erred least in the training rows",
            automatic=Automatic("strongest"),
        ),
    ]
