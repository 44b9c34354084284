"""Options of the command line that a registered pair does not follow: refused, not left aside."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from omegaconf import OmegaConf

from framework.config.command_line import written_overrides
from framework.config.recorded import DECISIVE
from framework.errors import ConfigError
from framework.interfaces.registry import Registry
from framework.plugins.run import Run

#: What a run beside a pair takes from its own configuration, although it decides forecasts too.
OWN = ("name", "features", "source", "retrieval")
_LEARNED = tuple(key for key in DECISIVE if key not in OWN)


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
    overrides = [
        override
        for override in written_overrides()
        if (section := override.key_or_group.split(".", maxsplit=1)[0]) in _LEARNED
        and section not in own_sections
    ]
    text = read() if overrides else None
    if text is None:
        return
    then: Any = OmegaConf.create(text)
    now: Any = OmegaConf.create(run.config.text)
    for override in overrides:
        key, value = override.key_or_group, override.value()
        is_choice = isinstance(value, str) and "." not in key and OmegaConf.is_dict(now.get(key))
        path = f"{key}.name" if is_choice else key
        nodes = OmegaConf.select(then, path), OmegaConf.select(now, path)
        for leaf, trained in _differences(path, value, *nodes):
            raise ConfigError(
                f"{key}: run={run.config.run} goes by a pair as the pair was trained, with "
                f"{leaf}={trained}; leave {override.input_line} out, or run=train makes a pair "
                "with it."
            )


def _differences(path: str, value: Any, then: Any, now: Any) -> Iterator[tuple[str, Any]]:
    """Give each key that ``value`` sets and that the pair has otherwise, with what the pair has.

    A mapping on the command line is merged: what it leaves out stays as it is.
    """
    if not isinstance(value, dict):
        if then != now:
            yield path, then
        return
    for key, below in value.items():
        nodes = (node.get(key) if OmegaConf.is_dict(node) else None for node in (then, now))
        yield from _differences(f"{path}.{key}", below, *nodes)


def newest_config(run: Run) -> str | None:
    """Read what the newest pair of the run's name recorded.

    Returns:
        The configuration, None where there is no pair.
    """
    registry: Registry = run.make("registry")
    pairs = registry.pairs(run.config.name)
    return registry.fetch(max(pairs, key=lambda pair: pair.version)).config if pairs else None
