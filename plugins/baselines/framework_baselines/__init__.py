"""``model=seasonal_naive``."""

from __future__ import annotations

from pydantic import PositiveInt

from framework.interfaces.plugin import Automatic, Component, hookimpl
from framework.options import Options


class SeasonalNaiveOptions(Options):
    """``season_length``: steps in a season, such as 7 for a week of days."""

    season_length: PositiveInt = "${panel.season_length}"  # type: ignore[assignment]  # resolved, then checked, when a run is composed


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
        )
    ]
