"""What the installed plugins offer, by kind and name."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

import pluggy

from framework.errors import ConfigError, FrameworkError, NotInstalledError, suggest
from framework.interfaces.plugin import KINDS, Component

#: First-party components by distribution, so that a missing one is answered with what to install.
FIRST_PARTY = {
    ("source", "files"): "framework-files",
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


class Plugins:
    """The plugins of this process. Build one with :func:`load_plugins`."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self._manager = manager
        self.hook: Any = manager.hook
        self._components: dict[tuple[str, str], Component] = {}
        owners: dict[tuple[str, str], str] = {}
        for implementation in manager.hook.components.get_hookimpls():
            try:
                offered: list[Component] = implementation.function()  # type: ignore[assignment]
            except Exception as error:
                name = implementation.plugin_name
                raise FrameworkError(
                    f"plugin {name}: components(): {type(error).__name__}: {error}; "
                    "reinstall or uninstall it."
                ) from error
            for component in offered:
                _check_offer(component, implementation.plugin_name)
                key = (component.kind, component.name)
                if key in owners:
                    both = f"{owners[key]} and {implementation.plugin_name}"
                    raise ConfigError(
                        f"plugins {both} both offer {component.kind}={component.name}; "
                        "uninstall one."
                    )
                owners[key] = implementation.plugin_name
                self._components[key] = component

    def components(self) -> Iterable[Component]:
        return self._components.values()

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
