"""What ``auto`` and lags that are written once become, before anything is checked."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from framework.config.automatic import seasonal_lags, seasons, written_out
from framework.errors import ConfigError
from framework.models.options import TargetOptions
from framework.options import step_numbers, validate
from framework.plugins.discovery import load_plugins

PLUGINS = load_plugins()


def _written(config: Any) -> Any:
    return written_out(config, PLUGINS)


def composed(**changed: Any) -> Any:
    view = {"entity": ["shop"], "columns": ["y", "z"], "ttl": "1d"}
    tree = {
        "features": {"primary": "daily", "views": {"daily": view, "other": dict(view)}},
        "panel": {"targets": ["y"], "frequency": "h", "horizon": 3, "season_length": 24},
        "model": {"name": "boosted", "seasonal_lags": []},
        "preprocessor": {"name": "native", "past": [], "future": []},
    }
    return OmegaConf.merge(OmegaConf.create(tree), changed)


def engineered(config: Any) -> Any:
    return (
        OmegaConf.to_container(_written(config))
        .get("features")["views"]["daily"]
        .get(  # type: ignore[union-attr,index]
            "engineer"
        )
    )


def test_auto_makes_the_changes_of_columns_known_in_advance() -> None:
    """Since one season before, anew for other seasons, and not where the features are given."""
    auto: Any = {"model": {"name": "auto"}, "panel": {"known": ["z", "plan"], "seasons": [24]}}
    out = _written(composed(**auto))
    assert out.features.views.daily.engineer[3] == {
        "op": "difference",
        "columns": ["z"],
        "steps": [24],
    }
    assert out.panel.known == ["z", "plan", "z_difference_24"]
    out.panel.seasons, out.features.views.daily.engineer = [24, 168], "auto"
    assert _written(out).panel.known == ["z", "plan", "z_difference_24", "z_difference_168"]
    config = composed(**auto)
    config.features.views.daily.engineer = [{"op": "lag", "columns": ["z"], "steps": [1]}]
    assert _written(config).panel.known == ["z", "plan"]


def test_a_lag_is_written_once() -> None:
    """Three steps ahead, the value 24 steps before a step lies 23, 22 and 21 steps back."""
    config = composed(model={"seasonal_lags": [24, "1..2"]})
    assert engineered(config) == [{"op": "lag", "columns": ["y"], "steps": [1, 21, 22, 23]}]


def test_lags_that_are_there_are_not_made_again() -> None:
    lag = {"op": "lag", "columns": ["y"], "steps": ["21..22"]}
    config = composed(model={"seasonal_lags": [24]})
    config.features.views.daily.engineer = [lag]
    assert engineered(config) == [lag, {"op": "lag", "columns": ["y"], "steps": [23]}]


def test_the_columns_of_a_panel_are_joined_by_the_lags_that_its_model_needs() -> None:
    config = composed(model={"seasonal_lags": [2]}, panel={"columns": ["z"]})
    assert _written(config).panel.columns == ["z", "y_lag_1"]


def test_a_configuration_without_auto_or_lags_stays_as_it_is() -> None:
    config = composed()
    assert _written(config) is config


def test_auto_makes_lags_statistics_and_calendar() -> None:
    config = composed(preprocessor={"future": "auto"}, auto={"country": "US"})
    config.features.views.daily.engineer = "auto"
    out = _written(config)
    made: Any = OmegaConf.to_container(out)
    assert out.model.seasonal_lags == [24, 48, 168]
    names = {op["op"] for op in made["features"]["views"]["daily"]["engineer"]}
    assert names == {"lag", "rolling", "expanding"}
    assert made["preprocessor"]["future"][0]["fields"] == [
        "hour",
        "day_of_week",
        "month",
        "is_holiday",
    ]


def test_auto_is_of_the_primary_view() -> None:
    config = composed()
    config.features.views.other.engineer = "auto"
    with pytest.raises(ConfigError, match=r"features\.views\.other\.engineer: auto makes"):
        _written(config)


@pytest.mark.parametrize(
    ("frequency", "season", "expected"),
    [
        ("h", 24, (24, 48, 168)),
        ("D", 7, (7, 14, 21, 28)),
        ("MS", 12, (12, 24, 36, 48)),
        ("QE", 4, (4, 8, 12, 16)),
        ("W", 52, (52, 104)),
        ("YS", 1, (1,)),
    ],
)
def test_a_row_looks_back_at_more_of_the_short_seasons(
    frequency: str, season: int, expected: tuple[int, ...]
) -> None:
    assert seasonal_lags({"frequency": frequency, "season_length": season}) == expected


@pytest.mark.parametrize(
    ("frequency", "own", "expected"),
    [
        ("h", 24, (24, 168)),
        ("30min", 48, (48, 336)),
        ("D", 7, (7,)),
        ("D", 5, (5, 7)),
        ("W", 52, (52,)),
        ("MS", 12, (12,)),
        ("QE", 4, (4,)),
        ("YS", 1, ()),
    ],
)
def test_seasons_by_frequency(frequency: str, own: int, expected: tuple[int, ...]) -> None:
    assert seasons({"frequency": frequency, "season_length": own}) == expected


def test_ranges_of_steps() -> None:
    assert step_numbers(["1..3", 7]) == [1, 2, 3, 7]
    assert step_numbers("2..2") == [2]
    with pytest.raises(ConfigError, match=r"model\.seasonal_lags: the range 5\.\.2 ends before"):
        validate(TargetOptions, {"seasonal_lags": ["5..2"]}, "model")


def test_a_difference_without_a_lag_is_refused_before_any_data() -> None:
    with pytest.raises(ConfigError, match="difference: 'y' needs seasonal_lags"):
        validate(TargetOptions, {"difference": ["y"]}, "model")
