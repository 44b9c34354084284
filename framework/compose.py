"""Makes Hydra know what plugins offer: every component is an option of its config group, its defaults are the YAML node."""

from __future__ import annotations

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins as HydraPlugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from framework.config import GROUPS, default_node
from framework.plugins import Plugins


class FrameworkSearchPath(SearchPathPlugin):
    """The core's compositions come after the project's own, so that the project's win."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append(provider="framework", path="pkg://framework.conf")


def register(plugins: Plugins) -> None:
    """Offer every component to Hydra. Call before composing."""
    HydraPlugins.instance().register(FrameworkSearchPath)
    store = ConfigStore.instance()
    for group, kind in GROUPS.items():
        for component in plugins.components():
            if component.kind == kind:
                store.store(group=group, name=component.name, node=default_node(component.name, component.options), provider="framework")
        for name in plugins.missing(kind):  # composes without it; Run.make says what to install
            store.store(group=group, name=name, node={"name": name}, provider="framework")
