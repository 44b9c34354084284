"""Options of the command line that a registered pair does not follow: refused, not left aside."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from framework.config.recorded import DECISIVE
from framework.errors import ConfigError
from framework.interfaces.registry import Registry
from framework.plugins.run import Run

#: What a run beside a pair takes from its own configuration, although it decides forecasts too.
_OWN = ("name", "features", "source", "retrieval")
_LEARNED = tuple(key for key in DECISIVE if key not in _OWN)


def check_answered(
    run: Run, read: Callable[[], str | None], own_sections: Collection[str] = ()
) -> None:
    """Refuse an option of the command line that says something else than the pair was trained with.

    Args:
        run: The run that works with the pair.
        read: Gives the configuration that the pair recorded, None where there is no pair yet. It
            is called only where there is something to compare.
        own_sections: Sections of what is learned that this run takes from its own configuration.

    Raises:
        ConfigError: The option would do nothing.
    """
    if not HydraConfig.initialized():
        return
    texts: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    overrides = [
        override
        for override in OverridesParser.create().parse_overrides(texts)
        if (section := override.key_or_group.split(".", maxsplit=1)[0]) in _LEARNED
        and section not in own_sections
    ]
    text = read() if overrides else None
    if text is None:
        return
    then: Any = OmegaConf.create(text)
    now: Any = OmegaConf.create(run.config.text)
    for override in overrides:
        key = override.key_or_group
        path = key if "." in key or not OmegaConf.is_dict(now.get(key)) else f"{key}.name"
        trained, value = OmegaConf.select(then, path), OmegaConf.select(now, path)
        if trained != value:
            raise ConfigError(
                f"{key}: run={run.config.run} goes by a pair as the pair was trained, with "
                f"{path}={trained}; leave {override.input_line} out, or run=train makes a pair "
                "with it."
            )


def newest_config(run: Run) -> str | None:
    """Read what the newest pair of the run's name recorded.

    Returns:
        The configuration, None where there is no pair.
    """
    registry: Registry = run.make("registry")
    pairs = registry.pairs(run.config.name)
    return registry.fetch(max(pairs, key=lambda pair: pair.version)).config if pairs else None
