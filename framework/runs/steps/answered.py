"""Options of the command line that a registered pair does not follow: refused, not left aside."""

from __future__ import annotations

from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from framework.config.recorded import DECISIVE
from framework.errors import ConfigError
from framework.plugins.run import Run

#: What a run that forecasts takes from its own configuration, although it decides forecasts too.
_OWN = ("name", "features", "source", "retrieval")
_LEARNED = tuple(key for key in DECISIVE if key not in _OWN)


def check_answered(run: Run, text: str) -> None:
    """Refuse an option of the command line that says something else than the pair was trained with.

    Args:
        run: The run that answers.
        text: The configuration that the pair recorded.

    Raises:
        ConfigError: The option would do nothing.
    """
    if not HydraConfig.initialized():
        return
    then: Any = OmegaConf.create(text)
    now: Any = OmegaConf.create(run.config.text)
    texts: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    for override in OverridesParser.create().parse_overrides(texts):
        key = override.key_or_group
        if key.split(".", maxsplit=1)[0] not in _LEARNED:
            continue
        path = key if "." in key or not OmegaConf.is_dict(now.get(key)) else f"{key}.name"
        trained, value = OmegaConf.select(then, path), OmegaConf.select(now, path)
        if trained != value:
            raise ConfigError(
                f"{key}: run={run.config.run} forecasts as the pair was trained, with "
                f"{path}={trained}; leave {override.input_line} out, or run=train makes a pair "
                "with it."
            )
