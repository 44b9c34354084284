"""The names that a run on the registry is about: with an experiment its own, without one any."""

from __future__ import annotations

from framework.config.command_line import written_overrides
from framework.errors import ConfigError
from framework.interfaces.registry import Registry
from framework.plugins.run import Run

#: The name that a configuration has by itself.
DEFAULT = "forecast"


def chosen_name(run: Run) -> str | None:
    """Give the name of the experiment or the one that is written, None where there is neither."""
    config = run.config
    is_said = any(override.key_or_group == "name" for override in written_overrides())
    is_chosen = config.has_experiment or is_said or config.name != DEFAULT
    return config.name if is_chosen else None


def name_of(run: Run, registry: Registry) -> str:
    """Give the name that is chosen, or the only one that the registry has.

    Raises:
        ConfigError: None is chosen and the registry has several.
    """
    choice = chosen_name(run)
    if choice is not None:
        return choice
    names = sorted({pair.name for pair in registry.pairs()})
    if len(names) > 1 and DEFAULT not in names:
        raise ConfigError(
            f"name: missing; say whose pairs are meant, name=NAME, one of: {', '.join(names)}."
        )
    return names[0] if len(names) == 1 else DEFAULT
