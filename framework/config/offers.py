"""Reads what the plugins offer. One that is wrong is left out and named; the others stay."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import pluggy

from framework.config.groups import GROUPS, default_values
from framework.config.origins import CORE, SLOW, Origin, Problem
from framework.errors import suggest
from framework.interfaces.plugin import KINDS, Component, Section
from framework.options import Options

#: Kinds whose names are keys of the configuration: two of one name cannot be told apart.
_NAMED_KEYS = ("run", "extension")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LOAD = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(slots=True)
class Offers:
    """The offers of all plugins together.

    Args:
        components: By kind and name. Where several plugins offer one name, each has the name of
            its distribution before it, ``acme:xgboost``.
        sections: By name.
        origins: Of each component, by the same key.
        section_origins: Of each section; the first where several bring it.
        problems: What was left out, and why.
    """

    components: dict[tuple[str, str], Component] = field(default_factory=dict)
    sections: dict[str, Section] = field(default_factory=dict)
    origins: dict[tuple[str, str], Origin] = field(default_factory=dict)
    section_origins: dict[str, Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_offers(manager: pluggy.PluginManager, origins: Mapping[str, Origin]) -> Offers:
    """Call the hooks ``components`` and ``sections`` of every plugin.

    Args:
        manager: Has the plugins. One whose hook raises, or gives no list, is taken out of it.
        origins: Where each plugin comes from, by its name in ``manager``.

    Returns:
        The offers, and what is wrong.
    """
    offers = Offers()
    components: dict[tuple[str, str], list[tuple[Origin, Component]]] = defaultdict(list)
    for origin, component in _each(manager, "components", origins, offers.problems):
        reason = _wrong_component(component)
        if reason is not None:
            offer = component if isinstance(component, Component) else None
            offers.problems.append(Problem(origin, "broken", reason, offer))
        else:
            components[component.kind, component.name].append((origin, component))
    for key, rivals in components.items():
        _keep(key, rivals, offers)
    sections: dict[str, list[tuple[Origin, Section]]] = defaultdict(list)
    for origin, section in _each(manager, "sections", origins, offers.problems):
        reason = _wrong_section(section)
        if reason is not None:
            offers.problems.append(Problem(origin, "broken", reason))
        else:
            sections[section.name].append((origin, section))
    for name, brought in sections.items():
        if all(section == brought[0][1] for _, section in brought):
            offers.section_origins[name], offers.sections[name] = brought[0]
            continue
        for origin, _ in brought:
            others = _others(origin, brought)
            reason = f"it and {others} bring different sections '{name}'"
            offers.problems.append(Problem(origin, "broken", reason))
    return offers


def _each(
    manager: pluggy.PluginManager,
    hook: str,
    origins: Mapping[str, Origin],
    problems: list[Problem],
) -> Iterator[tuple[Origin, Any]]:
    """Give the offers of every plugin by one hook. Take a plugin out whose hook fails."""
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        name = implementation.plugin_name
        origin = origins.get(name) or Origin(name)
        started = perf_counter()
        try:
            items = implementation.function()
        except Exception as error:  # noqa: BLE001  a plugin's fault stays its own
            reason = f"{hook}(): {type(error).__name__}: {error}"
        else:
            seconds = perf_counter() - started
            if seconds > SLOW:
                reason = f"its {hook}() takes {seconds:.1f} s of every start"
                problems.append(Problem(origin, "slow", reason))
            if isinstance(items, list | tuple):
                yield from ((origin, offer) for offer in items)
                continue
            what = "nothing" if items is None else repr(items)
            reason = f"{hook}() returns {what}, not a list; end it with 'return [...]'"
        problems.append(Problem(origin, "broken", " ".join(reason.split())))
        manager.unregister(name=name)


def _keep(key: tuple[str, str], rivals: list[tuple[Origin, Component]], offers: Offers) -> None:
    """Keep the component of one name, or all with the names of their distributions."""
    kind, name = key
    if len(rivals) == 1:
        offers.origins[key], offers.components[key] = rivals[0]
        return
    if kind not in _NAMED_KEYS:
        for origin, component in rivals:
            qualified = f"{origin.qualifier}:{name}"
            offers.components[kind, qualified] = replace(component, name=qualified)
            offers.origins[kind, qualified] = origin
        return
    for origin, component in rivals:
        if origin.distribution == CORE:
            offers.origins[key], offers.components[key] = origin, component
            continue
        reason = f"it and {_others(origin, rivals)} both offer {kind}={name}"
        offers.problems.append(Problem(origin, "broken", reason, component))


def _others(origin: Origin, offers: list[tuple[Origin, Any]]) -> str:
    return " and ".join(f"plugin {other}" for other, _ in offers if other is not origin)


def _wrong_component(component: Any) -> str | None:
    """Say why nothing could ever select this offer, None where something could."""
    if not isinstance(component, Component):
        return f"components() returns {component!r}, not a Component"
    label = f"Component({component.kind!r}, {component.name!r})"
    if component.kind not in KINDS:
        near = suggest(str(component.kind), KINDS)
        return f"{label}: there is no such kind;{near} Kinds: {', '.join(KINDS)}"
    if not isinstance(component.name, str) or not _NAME.fullmatch(component.name):
        return f"{label}: a name has letters, digits and _ . - alone"
    if not isinstance(component.load, str) or not _LOAD.fullmatch(component.load):
        return f"{label}: load={component.load!r} is not written package.module:Class"
    reason = _wrong_options(component.options)
    if (
        reason is None
        and component.kind in GROUPS.values()
        and "name" in component.options.model_fields
    ):
        reason = (
            f"an option of {component.options.__name__} is called 'name', the key that selects "
            f"the component; rename it"
        )
    return None if reason is None else f"{label}: {reason}"


def _wrong_section(section: Any) -> str | None:
    if not isinstance(section, Section):
        return f"sections() returns {section!r}, not a Section"
    reason = _wrong_options(section.options)
    return None if reason is None else f"Section('{section.name}'): {reason}"


def _wrong_options(options: Any) -> str | None:
    """Say why a class cannot be the one of options."""
    if not (isinstance(options, type) and issubclass(options, Options)):
        return f"options={options!r} is not a subclass of framework.options.Options"
    try:
        default_values(options)
    except Exception as error:  # noqa: BLE001  a plugin's fault stays its own
        return (
            f"the defaults of {options.__name__} cannot be written as YAML: "
            f"{' '.join(str(error).split())}"
        )
    return None
