"""A pair's recorded configuration, once more: what decides its forecasts as it was, everything else as the run at hand has it.

A pair outlives versions of the framework: an option of the server or the tuner that has come or gone since must not keep it from being
rebuilt or judged.
"""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf

from framework.config import Config, build_config
from framework.plugins import Plugins

#: Sections and groups that decide what is learned and forecast.
DECISIVE = (
    "name",
    "seed",
    "quantiles",
    "panel",
    "features",
    "source",
    "retrieval",
    "feature_store",
    "preprocessor",
    "model",
    "baseline",
    "backtest",
    "validation",
)


def recorded_config(text: str, current: Config, plugins: Plugins) -> Config:
    """``text``: the YAML that travels with a pair. Raises :class:`ConfigError` for a decisive key that is not known today."""
    then: Any = OmegaConf.create(text)
    now: Any = OmegaConf.create(current.text)
    for key in DECISIVE:
        if key in then:
            now[key] = then[key]
    return build_config(now, plugins)
