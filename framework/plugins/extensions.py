"""Makes the extensions that the installed plugins offer, so that their hooks are called."""

from __future__ import annotations

import pluggy

from framework.config.catalog import Plugins
from framework.config.config import Config
from framework.config.layout import EXTENSIONS
from framework.plugins import hookspecs
from framework.plugins.discovery import check_hooks


def with_extensions(config: Config, plugins: Plugins) -> Plugins:
    """Give ``plugins`` and a new instance of every extension, made with its options of ``config``.

    Raises:
        ConfigError: An extension refuses its options.
        FrameworkError: An extension cannot be imported, or has a hook that does not exist.
    """
    names = plugins.names("extension")
    if not names or plugins.extended:
        return plugins
    manager = pluggy.PluginManager("framework")
    manager.add_hookspecs(hookspecs)
    for name, plugin in plugins.manager.list_name_plugin():
        if plugin is not None:
            manager.register(plugin, name)
    for name in names:
        options = config.section(f"{EXTENSIONS}.{name}")
        manager.register(plugins.load("extension", name)(options), f"{EXTENSIONS}.{name}")
    check_hooks(manager)
    return plugins.with_manager(manager)
