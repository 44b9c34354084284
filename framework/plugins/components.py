"""Makes the components that a config selects, in this process or in another one."""

from __future__ import annotations

import os
from functools import cache, lru_cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from framework.config.catalog import Plugins
from framework.config.config import Config, build_config
from framework.config.groups import GROUPS
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.evaluation.backtest import Setting
from framework.interfaces.model import Model
from framework.interfaces.preprocessor import Preprocessor
from framework.plugins.discovery import block, load_plugins
from framework.plugins.extensions import with_extensions
from framework.secrets import variables

#: The plugins of a worker process, found once.
installed = cache(load_plugins)


class Components:
    """New instances of what ``config`` selects. Pickled as the recorded text alone: another process
    has its own plugins and secrets.
    """

    def __init__(self, config: Config, plugins: Plugins) -> None:
        self.config, self.plugins = config, plugins

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (self.config.text,)

    def make(self, group: str) -> Any:
        selected = self.config.component(group)
        return self.plugins.make(GROUPS[group], selected.name, selected.options)

    def pair(self) -> tuple[Preprocessor, Model]:
        return self.make("preprocessor"), self.make("model")

    def baseline(self) -> Model:
        model: Model = self.make("baseline")
        return model


def rebuild(text: str) -> Components:
    """Make the components of a composed configuration with the plugins and secrets of this process.

    Once for one text and environment: what builds an application of Ray Serve unpickles it for each
    deployment.

    Args:
        text: The configuration as a run records it, YAML.

    Raises:
        ConfigError: A key is wrong, or a variable of the environment is not set.
    """
    return _rebuilt(text, tuple(os.environ.get(name) for name in sorted(variables(text))))


@lru_cache(maxsize=1)
def _rebuilt(text: str, _environment: tuple[str | None, ...]) -> Components:
    tree = OmegaConf.create(text)
    assert isinstance(tree, DictConfig)  # a recorded configuration is a mapping
    block(OmegaConf.select(tree, "plugins.block") or ())
    config = build_config(tree, installed(), is_recorded=True)
    return Components(config, with_extensions(config, installed()))


def make_setting(components: Components, panel: Panel, schema: Schema) -> Setting:
    """Make what every fold of this config's backtest is fitted and judged with."""
    config = components.config
    season, steps = config.panel.season_length, config.validation.steps
    return Setting(
        panel,
        schema,
        components.pair,
        components.baseline,
        season,
        steps,
        config.seed,
        config.panel.new,
        config.features,
        config.panel.since,
    )
