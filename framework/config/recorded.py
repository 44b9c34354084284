"""A pair's recorded configuration, once more: what decides its forecasts as it was, everything else
as the run at hand has it.

A pair outlives versions of the framework: an option of the server or the tuner that has come or
gone since must not keep it from being rebuilt or judged.
"""

from __future__ import annotations

import re
from typing import Any

from omegaconf import OmegaConf

from framework.config.catalog import Plugins
from framework.config.config import Config, build_config, is_secret
from framework.config.written import write
from framework.secrets import secrets_in

#: A local path, or a URI of a local file and its path.
_URI = re.compile(r"((?:[a-z][a-z0-9+]*:///|file://)?)(.*)", re.DOTALL)
#: Sections and groups of the core that decide what is learned and forecast.
DECISIVE = (
    "name",
    "seed",
    "quantiles",
    "panel",
    "features",
    "source",
    "retrieval",
    "preprocessor",
    "model",
    "baseline",
    "backtest",
    "validation",
)


def recorded_config(text: str, current: Config, plugins: Plugins) -> Config:
    """The recorded ``text`` of a pair, where it decides, within ``current``.

    A secret that an earlier version wrote out is replaced by the one of the run at hand: it has
    been changed since, one hopes.

    Raises: ConfigError: For a decisive key that is not known today, and a variable of the
        environment that is not set.
    """
    then: Any = OmegaConf.create(text)
    now: Any = OmegaConf.create(current.text)
    today = write(now)
    known = {leaf.path: leaf for leaf in today.leaves}
    for key in (*DECISIVE, *decisive_sections(plugins)):
        if key in then:
            now[key] = then[key]
    _move_state(now, *(str(OmegaConf.select(t, "paths.state")) for t in (then, now)))
    tree = write(now)
    for leaf in tree.leaves:
        path, secret = (
            leaf.path,
            is_secret(tree.tree, plugins, leaf.path) or bool(secrets_in(str(leaf.literal()))),
        )
        if secret and not leaf.parts and path in known and known[path].parts:
            OmegaConf.update(now, ".".join(path), _raw(today.tree, path))
    return build_config(now, plugins, is_recorded=True)


def decisive_sections(plugins: Plugins) -> tuple[str, ...]:
    """Give the sections of the installed plugins that decide what is learned and forecast."""
    return tuple(section.name for section in plugins.sections() if section.decisive)


def _move_state(tree: Any, was: str, state: str) -> None:
    """Put what was recorded as lying in the state folder into the one of today: the folder may have
    been moved, or copied from one that is not to be read.
    """
    if was == state:
        return
    for leaf in write(tree).leaves:
        value = leaf.literal()
        if leaf.path[0] == "paths" or not isinstance(value, str):
            continue
        scheme, path = _URI.match(value).groups()  # type: ignore[union-attr]  # it always matches
        if path == was or path.startswith(f"{was}/"):
            OmegaConf.update(tree, ".".join(leaf.path), f"{scheme}{state}{path[len(was) :]}")


def _raw(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree[int(key)] if isinstance(tree, list) else tree[key]
    return tree
