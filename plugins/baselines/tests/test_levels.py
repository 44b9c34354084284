"""What drift and mean answer, and which naive forecast is the strongest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from framework_baselines import LevelOptions, StrongestNaiveOptions
from framework_baselines.levels import Drift, Mean
from framework_baselines.strongest import StrongestNaive

from framework.data.arrays import Float64
from framework.data.panel import Panel
from framework.pairs.fit import fit_model
from framework.testing.panels import make_panel, panel_schema, plain_arrays


def history(*values: float) -> Float64:
    return np.array(values)[None, :, None]


def test_drift_goes_on_by_the_mean_change_of_the_window() -> None:
    drift = Drift(LevelOptions(season_length=1))
    assert drift.mean(history(1, 5, 2, 7), 2).ravel().tolist() == [9, 11]
    assert drift.mean(history(np.nan, 1, 3, np.nan), 1).ravel().tolist() == [3 + 2 * (2 / 1.5)]
    assert np.isnan(drift.mean(history(np.nan, np.nan), 1)).all()


def test_mean_is_that_of_the_known_values() -> None:
    mean = Mean(LevelOptions(season_length=1))
    assert mean.mean(history(1, np.nan, 5), 2).ravel().tolist() == [3, 3]


@pytest.mark.parametrize(("season", "steps"), [(1, 30), (7, 35), (24, 48), (12, 36)])
def test_levels_look_at_whole_seasons(season: int, steps: int) -> None:
    assert Mean(LevelOptions(season_length=season)).context_length(99) == steps
    assert Drift(LevelOptions(season_length=season)).context_length(99) == steps + 1
    assert Drift(LevelOptions(season_length=season, context_length=9)).context_length(99) == 9


def chosen(panel: Panel, tmp_path: Path) -> tuple[str, ...]:
    model = StrongestNaive(StrongestNaiveOptions(season_length=7, seasons=(7, 10)))
    schema = panel_schema(panel, context_length=model.context_length(7), quantiles=())
    fit_model(plain_arrays(panel, 2), schema, model, 0, 7)
    model.save(tmp_path)
    assert StrongestNaive.load(tmp_path).choices == model.choices
    return model.choices


def test_the_strongest_is_chosen_for_each_target(tmp_path: Path) -> None:
    """A period of ten days; noise about a level."""
    panel, random = make_panel(series=1, days=200), np.random.default_rng(1)
    step = np.arange(200)
    panel.past[:, 0] = np.sin(step * np.pi / 5) + 0.1 * random.standard_normal(200)
    panel.past[:, 1] = random.standard_normal(200)
    assert chosen(panel, tmp_path) == ("seasonal_naive_10", "mean")


def test_a_trend_is_forecast_by_its_drift(tmp_path: Path) -> None:
    panel, random = make_panel(series=1, days=200), np.random.default_rng(1)
    panel.past[:, 0] = np.arange(200) + random.standard_normal(200)
    panel.past[:, 1] = np.cumsum(random.standard_normal(200))
    assert chosen(panel, tmp_path) == ("drift", "last_value")


def test_the_first_season_stays_unless_another_one_is_clearly_better(tmp_path: Path) -> None:
    panel = make_panel(series=1, days=140)
    panel.past[:, :2] = np.tile([1.0, 2, 3, 4, 5, 6, 7], 20)[:, None]
    assert chosen(panel, tmp_path) == ("seasonal_naive_7", "seasonal_naive_7")


def test_a_short_panel_is_forecast_from_the_steps_that_it_has() -> None:
    """The longest season is longer than the data: shorter windows are learned from."""
    panel = make_panel(series=2, days=30)
    model = StrongestNaive(StrongestNaiveOptions(season_length=7, seasons=(7, 28)))
    schema = panel_schema(panel, context_length=model.context_length(7), quantiles=())
    schema = schema.model_copy(update={"least_context": model.least_context(7)})
    fit_model(plain_arrays(panel, 2), schema, model, 0, 7)
    assert len(model.choices) == 2
