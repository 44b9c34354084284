"""``run=plugins``: what is installed, with its options, and what is left out, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from framework.config.catalog import Plugins
from framework.config.option_docs import describe_options
from framework.config.origins import Origin, Problem
from framework.interfaces.plugin import API_VERSION
from framework.plugins.run import Run


def plugins(run: Run) -> dict[str, Any]:
    entries = [*_components(run.plugins), *_hook_plugins(run.plugins), *_problems(run.plugins)]
    width = max(len(_choice(entry)) for entry in entries)
    for entry in entries:
        where = " ".join(filter(None, (entry["distribution"], entry["version"])))
        state = "" if entry["status"] == "ok" else f"  {entry['status']}: {entry['reason']}"
        run.say(f"{_choice(entry):<{width}}  {where}{state}")
    return {"api_version": API_VERSION, "plugins": entries}


def _choice(entry: dict[str, Any]) -> str:
    return f"{entry['kind']}={entry['name']}"


def _components(plugins: Plugins) -> Iterator[dict[str, Any]]:
    """Describe each component, and each section, that may be used."""
    slow = {p.origin.plugin: p for p in plugins.problems if p.status == "slow"}
    for component in sorted(plugins.components(), key=lambda each: (each.kind, each.name)):
        origin = plugins.origin(component)
        entry = _entry(component.kind, component.name, origin, slow.get(origin.plugin))
        options = describe_options(component.options)
        yield {**entry, "options": options, "summary": component.summary}


def _hook_plugins(plugins: Plugins) -> Iterator[dict[str, Any]]:
    """Describe the plugins that follow runs or servers by hooks and offer no component."""
    offering = {plugins.origin(component).plugin for component in plugins.components()}
    broken = {problem.origin.plugin for problem in plugins.problems}
    for name, origin in plugins.plugin_origins.items():
        if origin.plugin in offering | broken or not plugins.manager.has_plugin(name):
            continue
        yield {**_entry("plugin", origin.plugin, origin, None), "options": {}, "summary": ""}


def _problems(plugins: Plugins) -> Iterator[dict[str, Any]]:
    """Describe what is left out."""
    for problem in plugins.problems:
        if problem.status == "slow":
            continue
        component = problem.component
        kind = "plugin" if component is None else component.kind
        name = problem.origin.plugin if component is None else component.name
        yield {**_entry(kind, name, problem.origin, problem), "options": {}, "summary": ""}


def _entry(kind: str, name: str, origin: Origin, problem: Problem | None) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "plugin": origin.plugin,
        "distribution": origin.distribution or None,
        "version": origin.version,
        "api_version": origin.api_version,
        "status": "ok" if problem is None else problem.status,
        "reason": None if problem is None else problem.reason or str(problem),
    }
