"""``model=ensemble``: the mean of its members, stored and loaded as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from framework.config.automatic import written_out
from framework.data.schema import Schema
from framework.data.windows import PanelArrays, Windows
from framework.errors import ComponentError, ConfigError, DataError
from framework.pairs.fit import fit_model
from framework.pairs.provenance import requirements
from framework.plugins.builtin import EnsembleOptions
from framework.plugins.discovery import load_plugins
from framework.plugins.ensemble import Ensemble
from framework.plugins.member_weights import MemberWeights, learn_weights, most_different
from framework.testing.fakes import FakeModel
from framework.testing.panels import make_panel, panel_schema, plain_arrays

WEEK = {"name": "seasonal_naive", "season_length": 7}
DAY = {"name": "seasonal_naive", "season_length": 1}


def test_the_forecast_is_the_mean_of_the_members(tmp_path: Path) -> None:
    options = EnsembleOptions(members={"week": WEEK, "day": DAY}, season_length=7)
    ensemble = Ensemble(options)
    assert ensemble.context_length(7) == 7
    assert ensemble.supports_quantiles
    panel = make_panel(series=2, days=60)
    schema = panel_schema(panel, context_length=7, quantiles=(0.1, 0.9))
    fit_model(plain_arrays(panel, 2), schema, ensemble, 0, 1)
    history = np.arange(28.0).reshape(2, 7, 2)
    horizon = schema.horizon
    empty = np.zeros((2, horizon, 0), np.float32)
    windows = Windows(history, history.astype(np.float32), empty, empty[:, 0])
    week = history[:, np.arange(horizon) % 7, 0]
    mean = (week + history[:, -1:, 0]) / 2
    assert np.allclose(ensemble.predict(windows)[:, :, 0, 0], mean)
    ensemble.save(tmp_path)
    assert Ensemble.load(tmp_path).predict(windows).tobytes() == ensemble.predict(windows).tobytes()


def unlike() -> tuple[PanelArrays, Schema]:
    """Two series: one repeats its week, one is a random walk."""
    panel = make_panel(series=2, days=120)
    values = panel.past.copy()
    week = np.tile([1.0, 9, 2, 8, 3, 7, 4], 40)
    walk = np.random.default_rng(5).normal(0, 1, len(values)).cumsum()
    middle = panel.offsets[1]
    values[:middle, :2] = week[:middle, None]
    values[middle:, :2] = walk[middle:, None]
    panel = replace(panel, past=values)
    return plain_arrays(panel, 2), panel_schema(panel, context_length=7, quantiles=())


def test_weights_by_series_choose_for_each_series_what_fits_it(tmp_path: Path) -> None:
    arrays, schema = unlike()
    members = {"week": WEEK, "day": DAY}
    ensemble = Ensemble(EnsembleOptions(members=members, season_length=7, weights="by_series"))
    fit_model(arrays, schema, ensemble, 0, 1)
    history = np.random.default_rng(1).normal(0, 1, (3, 7, 2))
    future = np.zeros((3, schema.horizon, arrays.future.shape[1]), np.float32)
    static = np.zeros((3, arrays.static.shape[1]), np.float32)
    past = np.zeros((3, 7, arrays.past.shape[1]), np.float32)
    entities = np.array([*arrays.entities, ["new"] * arrays.entities.shape[1]], dtype=object)
    windows = Windows(history, past, future, static, entities=entities)
    forecast = ensemble.predict(windows)[..., 0]
    week = history[:, np.arange(schema.horizon) % 7]
    day = np.repeat(history[:, -1:], schema.horizon, axis=1)
    assert np.allclose(forecast[0], week[0], atol=1e-2)
    shares = (forecast - day)[1:, 0] / (week - day)[1:, 0]
    assert (shares[0] < 0.4).all()  # mostly the last value
    assert ((shares[0] < shares[1]) & (shares[1] < 1)).all()  # a new series has the panel's weights
    ensemble.save(tmp_path)
    loaded = Ensemble.load(tmp_path)
    assert loaded.predict(windows).tobytes() == ensemble.predict(windows).tobytes()
    alone = loaded.predict(windows.part(1, 2))
    assert alone.tobytes() == ensemble.predict(windows)[1:2].tobytes()
    with pytest.raises(DataError, match="windows without entities"):
        ensemble.predict(replace(windows, entities=None))


def test_weights_of_a_panel_without_keys_are_kept(tmp_path: Path) -> None:
    own = MemberWeights(np.array([[0.5, 0.5]]), {(): np.array([[0.9, 0.1]])})
    own.save(tmp_path / "w.npz")
    loaded = MemberWeights.load(tmp_path / "w.npz")
    assert loaded.of(np.empty((2, 0), dtype=object)).tolist() == [[[0.9, 0.1]]] * 2


def test_weights_follow_errors_and_are_drawn_to_the_panels() -> None:
    losses = np.tile([[[1.0, 4.0]], [[4.0, 1.0]], [[1.0, 4.0]]], (8, 1, 1))
    series = np.tile([0, 1, 2], 8)
    panel, own = learn_weights(losses, series, 4)
    assert panel[0, 0] > 0.5
    assert own[0, 0, 0] > 0.99
    assert own[1, 0, 0] < 0.05
    np.testing.assert_array_equal(own[3], panel)
    few = learn_weights(losses[:3], series[:3], 3)[1]
    assert own[1, 0, 0] < few[1, 0, 0] < panel[0, 0]
    errors = np.array([[1.0, 1.01, 3.0, 2.0], [1.0, 1.01, 0.2, 2.0], [1.0, 1.01, 3.0, 2.0]])
    assert most_different(errors, 2).tolist() == [0, 2]  # and not its near copy
    unknown = learn_weights(np.full((3, 1, 2), np.nan), series[:3], 3)
    assert (unknown[0] == 0.5).all()
    assert (unknown[1] == 0.5).all()


def test_a_member_that_cannot_be_fitted_leaves_with_a_note(tmp_path: Path) -> None:
    """Negative values have no logarithm."""
    panel = make_panel(series=2, days=60)
    panel = replace(panel, past=panel.past - 1_000)
    schema = panel_schema(panel, context_length=7, quantiles=())
    logs = {"name": "lightgbm", "n_estimators": 2, "log": ["sales"]}
    ensemble = Ensemble(EnsembleOptions(members={"week": WEEK, "wrong": logs}, season_length=7))
    fit_model(plain_arrays(panel, 2), schema, ensemble, 0, 1)
    (note,) = ensemble.notes
    assert note.startswith("model.members.wrong leaves the ensemble: ")
    assert "framework-baselines" in {one.split("==")[0] for one in requirements(ensemble)}
    ensemble.save(tmp_path)
    assert not (tmp_path / "members" / "wrong").exists()
    assert list(Ensemble.load(tmp_path)._lengths) == ["week"]


class Broken(FakeModel):
    """Its code is wrong."""

    def fit(self, *_: object) -> None:
        raise ZeroDivisionError("no variance")


def test_a_member_whose_code_raises_is_named_itself() -> None:
    """It does not leave: a defect is no property of the data."""
    ensemble = Ensemble(EnsembleOptions(members={"week": WEEK, "broken": DAY}, season_length=7))
    ensemble._members["broken"] = Broken(None)
    panel = make_panel(series=2, days=60)
    schema = panel_schema(panel, context_length=7, quantiles=())
    with pytest.raises(ComponentError, match=f"^{__name__}:Broken: fit on 2 series, "):
        fit_model(plain_arrays(panel, 2), schema, ensemble, 0, 1)


def test_members_are_checked_and_written_out() -> None:
    plugins = load_plugins()
    tree: Any = {
        "features": {"primary": "a", "views": {"a": {"columns": ["y"]}}},
        "panel": {"targets": ["y"], "horizon": 2, "frequency": "D", "season_length": 7},
        "model": {"name": "ensemble", "members": {"one": DAY, "two": {"name": "lightgbm"}}},
    }
    tree["model"]["members"]["two"]["seasonal_lags"] = [7]
    out: Any = OmegaConf.to_container(written_out(OmegaConf.create(tree), plugins))
    assert out["model"]["members"]["two"]["num_leaves"] == 31
    assert out["features"]["views"]["a"]["engineer"][0]["steps"] == [5, 6]
    tree["model"]["members"]["one"] = {"season_length": 7}
    with pytest.raises(ConfigError, match=r"model\.members\.one: the node of a model is needed"):
        written_out(OmegaConf.create(tree), plugins)
