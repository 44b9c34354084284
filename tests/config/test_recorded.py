"""A recorded configuration is read by a later version of the framework, which may have lost and
gained options.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from framework.config.catalog import Plugins
from framework.config.config import Config, build_config
from framework.config.recorded import recorded_config
from framework.errors import ConfigError
from framework.plugins.composition import register
from framework.plugins.discovery import load_plugins

CONF = str(Path(__file__).parents[2] / "conf")


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins()


def composed(plugins: Plugins, *overrides: str) -> Config:
    register(plugins)
    with initialize_config_dir(CONF, version_base=None):
        return build_config(compose("config", ["+experiment=xgb_daily", *overrides]), plugins)


def test_what_decides_the_forecast_is_as_recorded_the_rest_as_it_is_now(plugins: Plugins) -> None:
    then = OmegaConf.create(
        composed(plugins, "model.max_depth=9", "seed=3", "serving.port=9999").text
    )
    then.serving.an_option_of_then = 1
    del then["gate"]
    now = composed(plugins, "seed=4", "serving.port=8001")
    again = recorded_config(OmegaConf.to_yaml(then), now, plugins)
    assert (
        again.seed,
        again.component("model").options.max_depth,
        again.component("serving").options.port,
    ) == (3, 9, 8001)
    assert again.gate == now.gate


def test_a_decisive_option_that_is_gone_is_named(plugins: Plugins) -> None:
    now = composed(plugins)
    then = OmegaConf.create(now.text)
    then.model.an_option_of_then = 1
    with pytest.raises(ConfigError, match=r"model\.an_option_of_then: unknown key"):
        recorded_config(OmegaConf.to_yaml(then), now, plugins)


def test_what_lay_in_the_state_folder_lies_in_that_of_today(plugins: Plugins) -> None:
    then = composed(plugins, "paths.state=/was/there", "feature_store=local", "retrieval=feast")
    now = composed(plugins, "paths.state=/is/here", "feature_store=local", "retrieval=feast")
    again = recorded_config(then.text, now, plugins)
    assert "/was/there" not in again.text
    assert str(again.component("retrieval").options.state) == "/is/here/offline"
    assert "/is/here/feast/registry.db" in again.text
