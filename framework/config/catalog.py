"""The offers of the installed plugins, by kind and name."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any

import pluggy

from framework.errors import ConfigError, FrameworkError, NotInstalledError, suggest
from framework.interfaces.plugin import KINDS, Component, Section

#: First-party components by distribution, so that a missing one is answered with what to install.
FIRST_PARTY = {
    ("source", "files"): "framework-files",
    ("source", "sql"): "framework-sql",
    ("source", "redis_stream"): "framework-redis-stream",
    ("source", "kafka"): "framework-kafka",
    ("retrieval", "file"): "framework-files",
    ("retrieval", "payload"): "framework-files",
    ("retrieval", "feast"): "framework-feast",
    ("preprocessor", "native"): "framework-preprocessing",
    ("preprocessor", "sklearn"): "framework-preprocessing",
    ("model", "xgboost"): "framework-xgboost",
    ("model", "lightgbm"): "framework-lightgbm",
    **{
        ("model", name): "framework-darts"
        for name in ("nlinear", "dlinear", "tft", "nbeats", "nhits", "tide", "tsmixer")
    },
    **{
        ("model", name): "framework-statsforecast"
        for name in ("auto_arima", "auto_ets", "auto_theta")
    },
    ("model", "seasonal_naive"): "framework-baselines",
    ("registry", "mlflow"): "framework-mlflow",
    ("serving", "fastapi"): "framework-fastapi",
    ("serving", "ray"): "framework-ray-serve",
    ("tuner", "ray"): "framework-ray-tune",
    ("compute", "ray"): "framework-ray-tune",
}


#: First-party sections of the configuration by distribution, and whether ``NAME=CHOICE`` selects
#: their content.
FIRST_PARTY_SECTIONS = {
    "feature_store": ("framework-feast", True),
    "ray": ("framework-ray-tune framework-ray-serve", False),
}


class Plugins:
    """The plugins of this process. Build one with :func:`load_plugins`."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self.manager = manager
        self.hook: Any = manager.hook
        #: Whether the hooks of extensions are among :attr:`hook`.
        self.extended = False
        self._components: dict[tuple[str, str], Component] = {}
        self._sections: dict[str, Section] = {}
        owners: dict[object, str] = {}
        for owner, component in _offers(manager.hook.components):
            _check_offer(component, owner)
            key = (component.kind, component.name)
            if key in owners:
                raise ConfigError(
                    f"plugins {owners[key]} and {owner} both offer {component.kind}="
                    f"{component.name}; uninstall one."
                )
            owners[key] = owner
            self._components[key] = component
        for owner, section in _offers(manager.hook.sections):
            if not isinstance(section, Section):
                raise FrameworkError(
                    f"plugin {owner}: sections() returns {section!r}, not a Section; mend or "
                    "uninstall it."
                )
            if self._sections.setdefault(section.name, section) != section:
                raise ConfigError(
                    f"plugins {owners[section.name]} and {owner} bring different sections "
                    f"'{section.name}'; uninstall one."
                )
            owners.setdefault(section.name, owner)

    def with_manager(self, manager: pluggy.PluginManager) -> Plugins:
        """Give the same offers with the hooks of ``manager``, which has extensions too."""
        plugins = copy(self)
        plugins.manager, plugins.hook, plugins.extended = manager, manager.hook, True
        return plugins

    def components(self) -> Iterable[Component]:
        return self._components.values()

    def sections(self) -> Iterable[Section]:
        """Give the sections of the configuration that the plugins bring."""
        return self._sections.values()

    def missing_sections(self) -> dict[str, bool]:
        """Give the first-party sections that no installed distribution brings, and whether
        ``NAME=CHOICE`` selects their content.
        """
        return {
            name: group
            for name, (_, group) in FIRST_PARTY_SECTIONS.items()
            if name not in self._sections
        }

    def names(self, kind: str) -> list[str]:
        return sorted(name for k, name in self._components if k == kind)

    def missing(self, kind: str) -> list[str]:
        """First-party components of a kind whose distribution is not installed."""
        return sorted(
            name for k, name in FIRST_PARTY if k == kind and (k, name) not in self._components
        )

    def find(self, kind: str, name: str) -> Component:
        """The component, or one line that says what to install or what there is."""
        component = self._components.get((kind, name))
        if component is not None:
            return component
        if (kind, name) in FIRST_PARTY:
            raise NotInstalledError(
                f"{kind}={name} is not installed: pip install {FIRST_PARTY[kind, name]}"
            )
        known = self.names(kind)
        raise ConfigError(
            f"{kind}={name} is not known;{suggest(name, known)} Installed: "
            f"{', '.join(known) or 'none'}."
        )

    def load(self, kind: str, name: str) -> Any:
        """Import the component's class (or function)."""
        component = self.find(kind, name)
        module, _, attribute = component.load.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            raise FrameworkError(
                f"{kind}={name} cannot be imported: {error}; reinstall its distribution."
            ) from error


def _offers(hook: pluggy.HookCaller) -> Iterator[tuple[str, Any]]:
    """Call every implementation of ``hook``; give each of its offers with the plugin's name."""
    for implementation in hook.get_hookimpls():
        owner = implementation.plugin_name
        try:
            offers: Any = implementation.function()
        except Exception as error:
            raise FrameworkError(
                f"plugin {owner}: {hook.name}(): {type(error).__name__}: {error}; "
                "reinstall or uninstall it."
            ) from error
        for offer in offers:
            yield owner, offer


def _check_offer(component: Component, plugin: str) -> None:
    """Raise FrameworkError for an offer that nothing would ever select."""
    if not isinstance(component, Component):
        raise FrameworkError(
            f"plugin {plugin}: components() returns {component!r}, not a Component; mend or "
            "uninstall it."
        )
    if component.kind not in KINDS:
        near, known = suggest(component.kind, KINDS), ", ".join(KINDS)
        raise FrameworkError(
            f"plugin {plugin}: Component('{component.kind}', '{component.name}'): there is "
            f"no such kind;{near} Kinds: {known}. "
            "Mend or uninstall it."
        )
