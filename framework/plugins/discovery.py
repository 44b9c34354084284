"""Finds plugins by their entry points, and those of a project, and collects what they offer.

A plugin that is wrong is left out and named in one line: what does not need it works.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from importlib import import_module, metadata
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

import pluggy

from framework.config.catalog import Plugins
from framework.config.config import layout_of
from framework.config.origins import CORE, SLOW, Origin, Problem
from framework.errors import one_line, suggest
from framework.interfaces.plugin import API_VERSION, ENTRY_POINTS
from framework.plugins import hookspecs

#: What the core offers. Named as a plugin's module is: the runs are rooms above this one.
_CORE = ("framework.plugins.builtin", "framework.runs.offers")
#: The folder of a project whose files are plugins, one each.
PROJECT_FOLDER = "plugins"
#: Libraries named of those that a slow plugin imported.
_SHOWN = 5
#: Entry points and distributions that are not imported in this process.
_blocked: set[str] = set()


def block(names: Iterable[str]) -> None:
    """Import no plugin of these entry points or distributions in this process from now on.

    Call it before :func:`load_plugins`.
    """
    _blocked.clear()
    _blocked.update(names)


def blocked() -> frozenset[str]:
    """Give the names that :func:`block` was told."""
    return frozenset(_blocked)


def load_plugins(extra: Iterable[object] = ()) -> Plugins:
    """Find every installed plugin, those of the project's folder ``plugins``, the core's own
    offers, and ``extra`` plugin modules (for tests).
    """
    manager = pluggy.PluginManager("framework")
    manager.add_hookspecs(hookspecs)
    origins: dict[str, Origin] = {}
    problems: list[Problem] = []
    for module in _CORE:
        manager.register(import_module(module), module)
        origins[module] = Origin(module.rpartition(".")[2], CORE, metadata.distribution(CORE))
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        distribution = entry.dist.name if entry.dist else entry.value
        _add(manager, entry.load, Origin(entry.name, distribution, entry.dist), origins, problems)
    for path in _project_files():
        origin = Origin(path.stem, path.as_posix())
        _add(manager, partial(_load_file, path), origin, origins, problems)
    for plugin in extra:
        name = manager.register(plugin)
        assert name is not None  # none is blocked
        origins[name] = Origin(name)
    for name, reason in unknown_hooks(manager):
        problems.append(Problem(origins[name], "broken", reason))
        manager.unregister(name=name)
    plugins = Plugins(manager, origins, problems)
    for kind, name, reason in layout_of(plugins).clashes:
        plugins.leave_out(kind, name, reason)
    return plugins


def _project_files() -> list[Path]:
    """List the plugins of the project in the working folder. A folder without ``conf`` is no
    project: what is called ``plugins`` there is somebody else's.
    """
    if not Path("conf").is_dir():
        return []
    return [p for p in sorted(Path(PROJECT_FOLDER).glob("*.py")) if not p.name.startswith("_")]


def _load_file(path: Path) -> ModuleType:
    """Import a plugin of one file, as the module ``plugins.NAME``."""
    name = f"{PROJECT_FOLDER}.{path.stem}"
    place = path.resolve()
    module = sys.modules.get(name)
    if module is not None and getattr(module, "__file__", None) == str(place):
        return module
    spec = spec_from_file_location(name, place)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module of Python")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _add(
    manager: pluggy.PluginManager,
    load: Callable[[], ModuleType],
    origin: Origin,
    origins: dict[str, Origin],
    problems: list[Problem],
) -> None:
    """Import and register a plugin, or say why it is left out."""
    name = f"{origin.plugin} ({origin.distribution})"
    if {origin.plugin, origin.distribution} & _blocked:
        problems.append(Problem(origin, "blocked", ""))
        return
    before, started = len(sys.modules), perf_counter()
    try:
        module = load()
        version = getattr(module, "FRAMEWORK_API", 1)
        origin = replace(origin, api_version=version)
        if version != API_VERSION:
            reason = (
                f"it was written for version {version} of the plugins' interfaces, and this core "
                f"has version {API_VERSION}"
            )
            problems.append(Problem(origin, "broken", reason))
            return
        manager.register(module, name)
    except (Exception, SystemExit) as error:  # noqa: BLE001  a plugin's fault stays its own
        if manager.has_plugin(name):
            manager.unregister(name=name)
        problems.append(Problem(origin, "broken", f"{type(error).__name__}: {one_line(error)}"))
        return
    origins[name] = origin
    seconds = perf_counter() - started
    if seconds > SLOW:
        problems.append(Problem(origin, "slow", _slowness(seconds, before, module)))


def _slowness(seconds: float, before: int, module: ModuleType) -> str:
    """Say how slow an import was, and of what. ``before``: how many modules there were."""
    own = module.__name__.partition(".")[0]
    roots = {name.partition(".")[0] for name in list(sys.modules)[before:]}
    others = sorted(
        root for root in roots - {own, "framework"} if root not in sys.stdlib_module_names
    )
    what = f", with {', '.join(others[:_SHOWN])}" if others else ""
    return f"its import takes {seconds:.1f} s of every start{what}"


def unknown_hooks(manager: pluggy.PluginManager) -> Iterator[tuple[str, str]]:
    """Give each plugin that implements a hook which is never called, and what is wrong."""
    hooks = {
        name: caller
        for name, caller in vars(manager.hook).items()
        if isinstance(caller, pluggy.HookCaller)
    }
    known = sorted(name for name, caller in hooks.items() if caller.has_spec())
    names = set()
    for name, caller in hooks.items():
        for implementation in () if caller.has_spec() else caller.get_hookimpls():
            plugin: Any = implementation.plugin_name
            if implementation.optionalhook or plugin in names:
                continue
            names.add(plugin)
            yield (
                plugin,
                f"there is no hook '{name}';{suggest(name, known)} Hooks: {', '.join(known)}",
            )
