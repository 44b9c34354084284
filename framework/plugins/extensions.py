"""Makes the extensions that the installed plugins offer, so that their hooks are called."""

from __future__ import annotations

import pluggy

from framework.config.catalog import Plugins
from framework.config.config import Config
from framework.config.layout import EXTENSIONS
from framework.errors import ConfigError, FrameworkError
from framework.plugins import hookspecs
from framework.plugins.discovery import unknown_hooks


def with_extensions(config: Config, plugins: Plugins) -> Plugins:
    """Give ``plugins`` and a new instance of every extension, made with its options of ``config``.

    Nobody selects an extension: one that cannot be made, or has a hook that does not exist, is left
    out and is among the problems.

    Raises:
        ConfigError: An extension refuses its options.
    """
    names = plugins.names("extension")
    if not names or plugins.extended:
        return plugins
    manager = pluggy.PluginManager("framework")
    manager.add_hookspecs(hookspecs)
    for name, plugin in plugins.manager.list_name_plugin():
        if plugin is not None:
            manager.register(plugin, name)
    extended = plugins.with_manager(manager)
    for name in names:
        options = config.section(f"{EXTENSIONS}.{name}")
        try:
            instance = plugins.make("extension", name, options)
            manager.register(instance, f"{EXTENSIONS}.{name}")
        except ConfigError:
            raise
        except (FrameworkError, pluggy.PluginValidationError) as error:
            if manager.has_plugin(f"{EXTENSIONS}.{name}"):
                manager.unregister(name=f"{EXTENSIONS}.{name}")
            extended.leave_out("extension", name, str(error).removesuffix("."))
    for plugin, reason in [*unknown_hooks(manager)]:
        manager.unregister(name=plugin)
        extended.leave_out("extension", plugin.removeprefix(f"{EXTENSIONS}."), reason)
    return extended
