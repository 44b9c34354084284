"""The keys of a configuration, their places and their owners.

The core declares keys in :class:`~framework.config.config.Config`; runs, extensions and plugins
declare their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from framework.config.catalog import Plugins
from framework.config.groups import GROUPS, default_values
from framework.errors import ConfigError, suggest
from framework.options import (
    Options,
    known_keys,
    takes_any_key,
    top_level_keys,
    validate,
    validate_given,
)

EXTENSIONS = "extensions"
#: Fields of ``Config`` that are made, not written.
_MADE = frozenset({"components", "sections", "text"})


@dataclass(frozen=True, slots=True)
class Part:
    """The options that a run, an extension or a section declares.

    Args:
        name: The section, ``drift`` or ``extensions.alerts``.
        options: The class of the options.
        run: The run that they belong to, None for an extension and a section of a plugin.
        decisive: Whether it decides what is learned and forecast.
        group: Whether ``name=CHOICE`` selects its content.
    """

    name: str
    options: type[Options]
    run: str | None = None
    decisive: bool = False
    group: bool = False

    @property
    def top(self) -> tuple[str, ...]:
        """The options that stand at the top level."""
        return top_level_keys(self.options) if self.run is not None else ()

    @property
    def is_free(self) -> bool:
        """Say whether every key may stand below :attr:`name`."""
        return takes_any_key(self.options, ())

    @property
    def has_section(self) -> bool:
        """Say whether anything may stand below :attr:`name`."""
        return self.is_free or bool(known_keys(self.options, ()))

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys at the top level, the section among them."""
        return (*((self.name,) if self.has_section else ()), *self.top)

    def defaults(self) -> dict[str, Any]:
        """Give the nodes of the configuration with every default."""
        values = default_values(self.options)
        nodes = {key: values.pop(key) for key in self.top}
        section, _, extension = self.name.partition(".")
        if values:
            nodes[section] = {extension: values} if extension else values
        return nodes

    def read(
        self, tree: Mapping[str, Any], source_of: Callable[[str], str], complete: bool
    ) -> Options | None:
        """Validate the options.

        Args:
            tree: The resolved configuration.
            source_of: Gives the key at which the value of a path is written.
            complete: Whether a required option must be there.

        Returns:
            The options, or None where a required one is missing and need not be there.

        Raises:
            ConfigError: Names the path of every wrong key and value.
        """
        node: Any = tree
        for key in self.name.split("."):
            node = node.get(key, {}) if isinstance(node, Mapping) else {}
        if not self.has_section or (node is None and self.is_free):
            node = {}  # what stands at the name of a run without a section is another's
        if isinstance(node, Mapping):
            for key in (key for key in self.top if key in node):
                raise ConfigError(
                    f"{self.name}.{key}: unknown key; it stands at the top level, {key}=VALUE."
                )
            node = {**node, **{key: tree[key] for key in self.top if key in tree}}

        def place(path: str) -> str:
            key = path.removeprefix(f"{self.name}.")
            return source_of(key if key.split(".")[0] in self.top else path)

        check = validate if complete else validate_given
        return check(self.options, node, self.name, place)


class Layout:
    """All keys of a configuration, with the plugins of this process.

    Args:
        core: The class of the keys that belong to no run and no plugin.
        plugins: Whose runs, extensions and sections declare the rest.

    What declares a key that is there already has no part, and is among :attr:`clashes`.
    """

    def __init__(self, core: type[Options], plugins: Plugins) -> None:
        self.core = core
        self.parts: dict[str, Part] = {}
        #: The kind and name of each run or section without a part, and why.
        self.clashes: list[tuple[str, str, str]] = []
        self.absent = tuple(plugins.missing_sections())
        owners = dict.fromkeys((*core.model_fields, *GROUPS, EXTENSIONS), "the core")
        for part in _parts(plugins):
            who = f"run={part.run}" if part.run else f"section '{part.name}'"
            keys = [key for key in part.keys if not key.startswith(f"{EXTENSIONS}.")]
            clashes = [key for key in keys if key in owners and not self._same(key, part)]
            if clashes:
                reason = f"{who} declares the key '{clashes[0]}', which {owners[clashes[0]]} has"
                self.clashes.append(
                    ("run" if part.run else "section", part.run or part.name, reason)
                )
                continue
            owners |= dict.fromkeys(keys, who)
            self.parts[part.name] = part

    def _same(self, key: str, part: Part) -> bool:
        """Say whether other runs have declared ``key`` at the top level as ``part`` does."""
        others = [p.options.model_fields[key] for p in self.parts.values() if key in p.top]
        if key not in part.top or not others:
            return False
        field = part.options.model_fields[key]
        return all(
            (field.annotation, field.default) == (other.annotation, other.default)
            for other in others
        )

    @property
    def extensions(self) -> tuple[str, ...]:
        """The names of the extensions that are installed."""
        return tuple(
            name.removeprefix(f"{EXTENSIONS}.")
            for name in self.parts
            if name.startswith(f"{EXTENSIONS}.")
        )

    def names(self) -> tuple[str, ...]:
        """Give the keys that a configuration may have at its top level."""
        keys = {key.split(".")[0] for part in self.parts.values() for key in part.keys}
        core = {*self.core.model_fields} - _MADE
        return tuple(sorted({*core, *GROUPS, *keys, *self.absent, EXTENSIONS}))

    def owner(self, path: Sequence[str]) -> tuple[type[Options], Sequence[str]] | None:
        """Find the class that declares the value at ``path``, and the path in that class; None
        where none does.
        """
        if not path:
            return None
        name = path[0]
        if name in self.core.model_fields:
            return self.core, path
        if name == EXTENSIONS and len(path) > 1:
            part = self.parts.get(f"{name}.{path[1]}")
            return None if part is None else (part.options, path[2:])
        part = self.parts.get(name)
        if part is not None and part.has_section:
            return part.options, path[1:]
        top = next((p for p in self.parts.values() if name in p.top), None)
        return None if top is None else (top.options, path)

    def known(self, path: Sequence[str]) -> tuple[str, ...]:
        """Give the keys below ``path``, none where they are not fixed."""
        if not path:
            return self.names()
        if tuple(path) == (EXTENSIONS,):
            return self.extensions
        owner = self.owner(path)
        return () if owner is None else known_keys(*owner)

    def needs_mapping(self, key: str) -> bool:
        """Say whether a key at the top level has keys below it."""
        if key in GROUPS or key == EXTENSIONS:
            return True
        owner = self.owner((key,))
        return owner is not None and bool(known_keys(*owner))

    def defaults(self) -> dict[str, Any]:
        """Give the default nodes of all parts."""
        nodes: dict[str, Any] = {}
        for part in self.parts.values():
            for key, value in part.defaults().items():
                if key == EXTENSIONS:
                    nodes.setdefault(key, {}).update(value)
                else:
                    nodes[key] = value
        return nodes

    def read(
        self, tree: Mapping[str, Any], run: str, source_of: Callable[[str], str]
    ) -> dict[str, Options]:
        """Validate the options of all parts.

        Args:
            tree: The resolved configuration.
            run: The run that is selected; required options of other runs may be missing.
            source_of: Gives the key at which the value of a path is written.

        Returns:
            The options by :attr:`Part.name`.

        Raises:
            ConfigError: Names the path of every wrong key and value.
        """
        unknown = sorted({*(tree.get(EXTENSIONS) or {})} - {*self.extensions})
        if unknown:
            known = ", ".join(self.extensions) or "none"
            raise ConfigError(
                f"{EXTENSIONS}.{unknown[0]}: no installed plugin has this extension;"
                f"{suggest(unknown[0], self.extensions)} Installed: {known}."
            )
        options: dict[str, Options] = {}
        problems = []
        for part in self.parts.values():
            try:
                value = part.read(tree, source_of, complete=part.run in (None, run))
            except ConfigError as error:
                problems.append(str(error))
            else:
                if value is not None:
                    options[part.name] = value
        if problems:
            raise ConfigError("; ".join(problems))
        return options


def _parts(plugins: Plugins) -> Iterator[Part]:
    for component in plugins.components():
        if component.kind == "run":
            yield Part(component.name, component.options, component.name)
        elif component.kind == "extension":
            yield Part(f"{EXTENSIONS}.{component.name}", component.options)
    for section in plugins.sections():
        yield Part(section.name, section.options, decisive=section.decisive, group=section.group)
