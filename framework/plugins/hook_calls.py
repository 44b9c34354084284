"""Calls a hook of one plugin after the other, so that one that fails is known, and keeps no other
plugin from being told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from framework.config.catalog import Plugins
from framework.config.layout import EXTENSIONS


def of_each_plugin(plugins: Plugins, hook: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Give the hook of each plugin that has it, in the order in which all together are called.

    Args:
        plugins: The plugins.
        hook: The name of the hook.

    Yields:
        What the plugin is called, ``plugin acme (acme-tracker 1.0)``, and its hook, which takes
        the arguments by name. It gives a list, or, of a hook whose first result counts, a result.
    """
    manager = plugins.manager
    implementations = getattr(manager.hook, hook).get_hookimpls()
    for implementation in reversed(implementations):
        others = [i.plugin for i in implementations if i.plugin is not implementation.plugin]
        yield _label(plugins, implementation.plugin_name), manager.subset_hook_caller(hook, others)


def _label(plugins: Plugins, name: str) -> str:
    if name.startswith(f"{EXTENSIONS}."):
        extension = plugins.find("extension", name.removeprefix(f"{EXTENSIONS}."))
        return f"plugin {plugins.origin(extension)}"
    origin = plugins.plugin_origins.get(name)
    return "a plugin" if origin is None else f"plugin {origin}"
