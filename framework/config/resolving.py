"""Resolves a composed configuration; what cannot be resolved is named by the key that it is written
at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from framework.errors import ConfigError


def resolve(source: DictConfig) -> dict[str, Any]:
    """Make plain containers of a configuration, with every interpolation resolved.

    Raises:
        ConfigError: A value is missing or cannot be resolved; the message names its key.
    """
    try:
        tree: Any = OmegaConf.to_container(source, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raw: Any = OmegaConf.to_container(source, resolve=False)
        raise ConfigError(_unresolved(error, raw)) from error
    plain: dict[str, Any] = tree
    return plain


def source_of_values(raw: Any) -> Callable[[str], str]:
    """Name the key that a value was written at: ``panel.season_length`` where a model's own is an
    interpolation of it.
    """

    def source_of(path: str) -> str:
        node = raw
        for part in path.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        reference = re.fullmatch(r"\$\{([\w.]+)\}", node) if isinstance(node, str) else None
        return path if reference is None else reference[1]

    return source_of


def _places(node: Any, path: str, text: str) -> list[str]:
    """Give the keys at which a value holds ``text``."""
    if isinstance(node, str):
        return [path] if text in node else []
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    return [
        place
        for key, value in items
        for place in _places(value, f"{path}.{key}" if path else str(key), text)
    ]


def _unresolved(error: OmegaConfBaseException, raw: Any) -> str:
    """Say what cannot be resolved, by the key that it is written at: others may refer to it."""
    match = re.search(r"'([^']+)'", str(error))
    places = _places(raw, "", f"{match[1]}}}") + _places(raw, "", f"{match[1]},") if match else []
    where = places[0] if places else str(error.full_key or error.key)
    if unset := re.search(r"Environment variable '(.+?)' not found", str(error)):
        return f"{where}: the environment variable {unset[1]} is not set."
    if isinstance(error, MissingMandatoryValue):
        return f"{where}: missing; give it a value, such as {where}=… on the command line."
    absent = re.search(r"Interpolation key '([^'.]+)' not found", str(error))
    if absent:
        return (
            f"{where}: it refers to '{absent[1]}', which nothing gives; write that key, or select "
            f"it in the defaults: - override /{absent[1]}: NAME."
        )
    return f"{where}: {' '.join(str(error).partition('full_key:')[0].split())}"
