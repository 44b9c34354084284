"""Names the plugin whose hook an exception comes from."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from framework.config.catalog import Plugins
from framework.config.layout import EXTENSIONS


def culprit(plugins: Plugins, error: BaseException) -> str:
    """Name the plugin that an exception of a hook comes from.

    Args:
        plugins: Those whose hook was called.
        error: What it raised.

    Returns:
        ``plugin acme (acme-tracker 1.0)``; ``a plugin`` where none is known.
    """
    labels = dict(_labels(plugins))
    traceback, label = error.__traceback__, "a plugin"
    while traceback is not None:
        name = str(traceback.tb_frame.f_globals.get("__name__", ""))
        for module, text in labels.items():
            if f"{name}.".startswith(f"{module}."):
                label = text
        traceback = traceback.tb_next
    return label


def _labels(plugins: Plugins) -> Iterator[tuple[str, str]]:
    """Give the module of each plugin, and of each extension's class, with what it is called."""
    for name, plugin in plugins.manager.list_name_plugin():
        origin = plugins.plugin_origins.get(name)
        if name.startswith(f"{EXTENSIONS}."):
            extension = plugins.find("extension", name.removeprefix(f"{EXTENSIONS}."))
            origin = plugins.origin(extension)
        if plugin is None or origin is None:
            continue
        module = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__module__
        yield module, f"plugin {origin}"
