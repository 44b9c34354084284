"""Finds plugins by their entry points, collects what they offer, loads a component when it is
selected.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module, metadata

import pluggy

from framework.config.catalog import Plugins
from framework.errors import FrameworkError, suggest
from framework.interfaces.plugin import ENTRY_POINTS
from framework.plugins import hookspecs

#: What the core offers. Named as a plugin's module is: the runs are rooms above this one.
_CORE = ("framework.plugins.builtin", "framework.runs.offers")


def load_plugins(extra: Iterable[object] = ()) -> Plugins:
    """Find every installed plugin, the core's own offers, and ``extra`` plugin modules (for
    tests).
    """
    manager = pluggy.PluginManager("framework")
    manager.add_hookspecs(hookspecs)
    for module in _CORE:
        manager.register(import_module(module), module)
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        name = f"{entry.name} ({entry.dist.name if entry.dist else entry.value})"
        try:
            manager.register(entry.load(), name)
        except Exception as error:
            raise FrameworkError(
                f"plugin {name}: {type(error).__name__}: {error}; reinstall or uninstall it."
            ) from error
    for plugin in extra:
        manager.register(plugin)
    check_hooks(manager)
    return Plugins(manager)


def check_hooks(manager: pluggy.PluginManager) -> None:
    """Raise FrameworkError for an implementation of a hook that is never called."""
    hooks = {
        name: caller
        for name, caller in vars(manager.hook).items()
        if isinstance(caller, pluggy.HookCaller)
    }
    known = sorted(name for name, caller in hooks.items() if caller.has_spec())
    for name, caller in hooks.items():
        for implementation in caller.get_hookimpls():
            if not caller.has_spec() and not implementation.optionalhook:
                raise FrameworkError(
                    f"plugin {implementation.plugin_name}: there is no hook "
                    f"'{name}';{suggest(name, known)} Hooks: {', '.join(known)}. "
                    "Mend or uninstall it."
                )
