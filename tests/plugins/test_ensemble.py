"""``model=ensemble``: the mean of its members, stored and loaded as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from framework.config.automatic import written_out
from framework.data.windows import Windows
from framework.errors import ConfigError
from framework.pairs.fit import fit_model
from framework.plugins.builtin import EnsembleOptions
from framework.plugins.discovery import load_plugins
from framework.plugins.ensemble import Ensemble
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
