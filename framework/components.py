"""Makes the components that a config selects, in this process or in another one."""

from __future__ import annotations

from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from framework.config import GROUPS, Config, build_config
from framework.interfaces.model import Model
from framework.interfaces.preprocessor import Preprocessor
from framework.plugins import Plugins, load_plugins

#: The plugins of a worker process, found once.
installed = cache(load_plugins)


class Components:
    """New instances of what ``config`` selects. Pickled as the recorded text alone: another process has its own plugins and secrets."""

    def __init__(self, config: Config, plugins: Plugins) -> None:
        self.config, self.plugins = config, plugins

    def __reduce__(self) -> tuple[Any, ...]:
        return _elsewhere, (self.config.text,)

    def make(self, group: str) -> Any:
        selected = self.config.component(group)
        return self.plugins.load(GROUPS[group], selected.name)(selected.options)

    def pair(self) -> tuple[Preprocessor, Model]:
        return self.make("preprocessor"), self.make("model")

    def baseline(self) -> Model:
        model: Model = self.make("baseline")
        return model


def _elsewhere(text: str) -> Components:
    composed = OmegaConf.create(text)
    assert isinstance(composed, DictConfig)
    return Components(build_config(composed, installed(), recorded=True), installed())
