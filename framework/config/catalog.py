"""The offers of the installed plugins, by kind and name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any

import pluggy

from framework.config.offers import read_offers
from framework.config.origins import Origin, Problem
from framework.errors import (
    ConfigError,
    FrameworkError,
    NotInstalledError,
    UnavailableError,
    one_line,
    shortage,
    suggest,
)
from framework.interfaces.plugin import KINDS, Component, Section
from framework.options import Options

#: First-party components by distribution, so that a missing one is answered with what to install.
FIRST_PARTY = {
    ("source", "files"): "framework-files",
    ("source", "sql"): "framework-sql",
    ("source", "redis_stream"): "framework-redis-stream",
    ("source", "kafka"): "framework-kafka",
    ("ledger", "postgresql"): "'framework-sql[postgresql]'",
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
        for name in (
            *("auto_arima", "auto_ets", "auto_theta"),
            *("croston_sba", "tsb", "adida", "imapa"),
        )
    },
    ("model", "chronos2"): "framework-foundation",
    **{
        ("model", name): "framework-baselines"
        for name in ("seasonal_naive", "seasonal_mean", "drift", "mean", "strongest_naive")
    },
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
    """The plugins of this process. Build one with :func:`load_plugins`.

    Args:
        manager: Has the plugins that could be imported.
        origins: Where each of them comes from, by its name in ``manager``.
        problems: What is wrong with others.
    """

    def __init__(
        self,
        manager: pluggy.PluginManager,
        origins: Mapping[str, Origin],
        problems: Sequence[Problem] = (),
    ) -> None:
        self.manager = manager
        self.hook: Any = manager.hook
        #: Whether the hooks of extensions are among :attr:`hook`.
        self.extended = False
        #: Where each plugin comes from, by its name in :attr:`manager`.
        self.plugin_origins = origins
        offers = read_offers(manager, origins)
        #: What is wrong with plugins, in the order they were found.
        self.problems: list[Problem] = [*problems, *offers.problems]
        self._components, self._sections = offers.components, offers.sections
        self._origins, self._section_origins = offers.origins, offers.section_origins

    def with_manager(self, manager: pluggy.PluginManager) -> Plugins:
        """Give the same offers with the hooks of ``manager``, which has extensions too."""
        plugins = copy(self)
        plugins.manager, plugins.hook, plugins.extended = manager, manager.hook, True
        plugins.problems = [*self.problems]
        return plugins

    def leave_out(self, kind: str, name: str, reason: str) -> None:
        """Take a component or, with the kind ``section``, a section out of the offers."""
        if kind == "section":
            del self._sections[name]
            self.problems.append(Problem(self._section_origins[name], "broken", reason))
            return
        component = self._components.pop((kind, name))
        self.problems.append(Problem(self._origins[kind, name], "broken", reason, component))

    def components(self) -> Iterable[Component]:
        return self._components.values()

    def origin(self, component: Component) -> Origin:
        """Say which plugin offers a component."""
        return self._origins[component.kind, component.name]

    def every_origin(self) -> list[Origin]:
        """List all installed plugins, those that are left out too."""
        return [*self.plugin_origins.values(), *(problem.origin for problem in self.problems)]

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
        names = {name.rpartition(":")[2] for k, name in self._components if k == kind}
        return sorted(name for k, name in FIRST_PARTY if k == kind and name not in names)

    def find(self, kind: str, name: str) -> Component:
        """The component, or one line that says what to install or what there is.

        Raises:
            UnavailableError: The component is known and cannot be used: its distribution is not
                installed, is broken or blocked, or shares the name with another one.
            ConfigError: No component has the name.
        """
        component = self._components.get((kind, name))
        if component is not None:
            return component
        qualifier, _, bare = name.rpartition(":")
        plain = self._components.get((kind, bare))
        if plain is not None and self._origins[kind, bare].qualifier == qualifier:
            return plain
        rivals = [each for each in self.names(kind) if each.endswith(f":{name}")]
        if rivals:
            choices = " or ".join(f"{kind}={rival}" for rival in rivals)
            raise UnavailableError(
                f"{kind}={name} is offered by {len(rivals)} distributions; say which: {choices}."
            )
        self._say_what_is_wrong(kind, name)
        known = self.names(kind)
        hint = suggest(name, known) or " no installed plugin offers it."
        raise ConfigError(
            f"{kind}={name} is not known;{hint} Installed: "
            f"{', '.join(known) or 'none'}.{self._left_out(kind)}"
        )

    def _say_what_is_wrong(self, kind: str, name: str) -> None:
        """Raise UnavailableError where it is known why the component is not among the offers."""
        distribution = FIRST_PARTY.get((kind, name))
        for problem in self.problems:
            component = problem.component
            if problem.status == "slow":
                continue
            if component is None and problem.origin.distribution == distribution is not None:
                raise UnavailableError(f"{kind}={name}: {problem}")
            if component is not None and (component.kind, component.name) == (kind, name):
                raise UnavailableError(f"{kind}={name}: {problem}")
        if distribution is not None:
            raise NotInstalledError(f"{kind}={name} is not installed: pip install {distribution}")

    def _left_out(self, kind: str) -> str:
        """Name what is left out and may be what is looked for."""
        others = {*KINDS} - {kind}
        names = [
            f"{problem.origin}: {problem.reason or problem.status}"
            for problem in self.problems
            if problem.status != "slow"
            and (problem.component is None or problem.component.kind not in others)
        ]
        return f" Left out: {'; '.join(names)}." if names else ""

    def load(self, kind: str, name: str) -> Any:
        """Import the component's class (or function)."""
        component = self.find(kind, name)
        part = self._import(component, component.load)
        if kind != "run" and not isinstance(part, type):
            raise FrameworkError(
                f"{self._label(component)}: {component.load} is {part!r}, not a class; mend its "
                "plugin."
            )
        if inspect.isabstract(part):
            absent = ", ".join(sorted(part.__abstractmethods__))
            raise FrameworkError(
                f"{self._label(component)}: class {component.load} lacks what its interface asks "
                f"for: {absent}; mend its plugin."
            )
        return part

    def load_check(self, run: str) -> Any:
        """Import the function that finds what is wrong before a run begins, None without one."""
        component = self.find("run", run)
        return None if component.check is None else self._import(component, component.check)

    def _import(self, component: Component, place: str) -> Any:
        module, _, attribute = place.partition(":")
        try:
            imported = importlib.import_module(module)
        except Exception as error:
            advice = "" if shortage(error) else "; reinstall its distribution"
            raise FrameworkError(
                f"{self._label(component)} cannot be imported: {one_line(_cause(error))}{advice}."
            ) from error
        try:
            part = getattr(imported, attribute)
        except AttributeError as error:
            raise FrameworkError(
                f"{self._label(component)} cannot be imported: module {module} has no "
                f"'{attribute}'; mend its plugin."
            ) from error
        return part

    def make(self, kind: str, name: str, options: Options | None) -> Any:
        """Make a new instance of a component.

        Raises:
            FrameworkError: It cannot be imported, or its constructor fails.
        """
        kind_class = self.load(kind, name)
        try:
            return kind_class(options)
        except FrameworkError:
            raise
        except Exception as error:
            label = self._label(self.find(kind, name))
            raise FrameworkError(
                f"{label}: {kind_class.__qualname__}(options): {one_line(_cause(error))}; mend its "
                "plugin."
            ) from error

    def _label(self, component: Component) -> str:
        """Name a component with its plugin and its distribution, whose version takes longer to look
        up than the component to import again: for errors alone.
        """
        key = (component.kind, component.name)
        return f"{component.kind}={component.name} of plugin {self._origins[key]}"


def _cause(error: Exception) -> str:
    """Give the text of an error; with its class, unless that is the usual one of an import."""
    return str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
