"""Reads which plugins are blocked, before anything is composed: composing needs plugins."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from framework.config.origins import Origin
from framework.errors import ConfigError, suggest

_KEY = "plugins.block"


def blocked_names(arguments: Sequence[str], directory: Path) -> tuple[str, ...]:
    """Read ``plugins.block`` from the command line or else from the project's ``config.yaml``.

    What cannot be read is left for the composition to explain.

    Args:
        arguments: The command line.
        directory: The project's ``conf``.
    """
    values: object = None
    for argument in arguments:
        if argument.lstrip("+").partition("=")[0] == _KEY:
            try:
                values = OverridesParser.create().parse_override(argument).value()
            except HydraException:
                return ()
    if values is None and (directory / "config.yaml").is_file():
        try:
            tree = OmegaConf.load(directory / "config.yaml")
            values = OmegaConf.to_container(tree, resolve=False)
        except (OmegaConfBaseException, YAMLError, ValueError, OSError):
            return ()
        section = values.get("plugins") if isinstance(values, dict) else None
        values = section.get("block") if isinstance(section, dict) else None
    return tuple(map(str, values)) if isinstance(values, list) else ()


def check_blocked(configured: Collection[str], blocked: Collection[str]) -> None:
    """Raise ConfigError where a configuration blocks what was loaded already."""
    late = sorted({*configured} - {*blocked})
    if late:
        raise ConfigError(
            f"{_KEY}: '{late[0]}' is loaded before an experiment is read; write it in "
            f"conf/config.yaml, or on the command line, {_KEY}=[{late[0]}]."
        )


def unknown_blocked(blocked: Iterable[str], origins: Iterable[Origin]) -> list[str]:
    """Name what is blocked and not installed, one line each: it may be a slip."""
    names = {name for origin in origins for name in (origin.plugin, origin.distribution)}
    return [
        f"{_KEY}: no plugin '{name}' is installed;{suggest(name, names)}"
        for name in sorted({*blocked} - names)
    ]
