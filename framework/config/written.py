"""A composed configuration as it is recorded: with what comes from the environment as it was
written, everything else resolved.

``${oc.env:NAME}`` stays, so that a recorded text holds no secret and means the environment of
whoever reads it.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from omegaconf import Container, DictConfig, ListConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from framework.secrets import _NAMED

_NONE = object()
_MARK = re.compile("\ue000(\\d+)\ue001")
_INTERPOLATED = re.compile(r"\$\{\s*([^:}\s]*)")


@dataclass(frozen=True, slots=True)
class FromEnvironment:
    """An interpolation of the environment, and the default that it has, null for none."""

    text: str
    variable: str | None = None
    default: str | None = None


_noted: ContextVar[list[FromEnvironment] | None] = ContextVar("_noted", default=None)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value. ``template``: where a text comes from the environment, marks stand for ``parts``;
    without parts it is literal.
    """

    path: tuple[str, ...]
    template: Any
    parts: tuple[FromEnvironment, ...]
    node: Container = field(repr=False)
    key: Any

    def value(self) -> Any:
        """Resolve the value now. Raises OmegaConf's error when a variable is not set."""
        return self.node[self.key] if self.parts else self.template

    def literal(self, sign: str = "") -> Any:
        """Without what comes from the environment, for which ``sign`` stands."""
        return _MARK.sub(sign, self.template) if isinstance(self.template, str) else self.template


@dataclass(frozen=True, slots=True)
class Written:
    """``tree``: plain containers, as they are recorded. ``leaves``: every value in it that is no
    container.
    """

    tree: Any
    leaves: list[Leaf]

    def text(self) -> str:
        """YAML."""
        return OmegaConf.to_yaml(OmegaConf.create(self.tree))


def write(source: Container, path: tuple[str, ...] = ()) -> Written:
    """Return the text to record of a composed configuration, or of its part at ``path``.

    A value that cannot be resolved stays as it is written.

    Hydra's own node is left out.
    """
    parts: list[FromEnvironment] = []
    leaves: list[Leaf] = []
    token = _noted.set(parts)
    try:
        tree = _tree(source, path, parts, leaves)
    finally:
        _noted.reset(token)
    return Written(tree, leaves)


def _tree(
    node: Container, path: tuple[str, ...], parts: list[FromEnvironment], leaves: list[Leaf]
) -> Any:
    return (
        {key: _entry(node, key, path, parts, leaves) for key in node if path or key != "hydra"}
        if isinstance(node, DictConfig)
        else [_entry(node, place, path, parts, leaves) for place in range(len(node))]  # type: ignore[arg-type]
    )


def _entry(
    node: Container,
    key: Any,
    path: tuple[str, ...],
    parts: list[FromEnvironment],
    leaves: list[Leaf],
) -> Any:
    key_path = (*path, str(key))
    if OmegaConf.is_missing(node, key):
        return "???"
    raw = str(node._get_node(key)) if OmegaConf.is_interpolation(node, key) else ""
    names = tuple(FromEnvironment(match[0], match[1]) for match in _NAMED.finditer(raw))
    try:
        value = node[key]
    except OmegaConfBaseException:  # for one, the name of a key that the environment decides
        return _as_it_is(key_path, raw, names, node, key, leaves)
    if isinstance(value, DictConfig | ListConfig):
        return _tree(value, key_path, parts, leaves)
    references = (
        tuple(parts[int(match[1])] for match in _MARK.finditer(value))
        if isinstance(value, str)
        else ()
    )
    if names and not references:  # a resolver has made something else of the mark
        return _as_it_is(key_path, raw, names, node, key, leaves)
    leaves.append(Leaf(key_path, value, references, node, key))
    if references and set(_INTERPOLATED.findall(raw)) <= {"oc.env", "oc.decode"}:
        return raw
    return _expand(value, parts) if isinstance(value, str) else value


def _as_it_is(
    path: tuple[str, ...],
    raw: str,
    names: tuple[FromEnvironment, ...],
    node: Container,
    key: Any,
    leaves: list[Leaf],
) -> str:
    leaves.append(Leaf(path, "\ue0000\ue001", names, node, key))
    return raw


def _expand(value: str, parts: list[FromEnvironment]) -> str:
    """Each mark as the interpolation it stands for; every other ``${`` of a text is none."""
    pieces: list[str] = []
    end = 0
    for match in _MARK.finditer(value):
        pieces += [_escaped(value[end : match.start()]), parts[int(match[1])].text]
        end = match.end()
    return "".join([*pieces, _escaped(value[end:])])


def _escaped(text: str) -> str:
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def _argument(value: Any, parts: list[FromEnvironment]) -> str:
    """An argument of a resolver as the grammar reads it back."""
    if value is None:
        return "null"
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if _MARK.fullmatch(value):
        return _expand(value, parts)
    ended = re.sub(r"(\\+)$", r"\1\1", re.sub(r'(\\*)"', r'\1\1\\"', value))
    return f'"{_expand(ended, parts)}"'


def _env(key: str, default: Any = _NONE) -> Any:
    parts = _noted.get()
    if parts is None:
        return oc.env(key) if default is _NONE else oc.env(key, default)
    name = _expand(str(key), parts)
    nested = isinstance(default, str) and _MARK.search(default)
    more = "" if default is _NONE else f",{_argument(default, parts)}"
    plain = (
        None
        if default is _NONE or default is None
        else _MARK.sub("", str(default))
        if nested
        else str(default)
    )
    return _note(parts, FromEnvironment(f"${{oc.env:{name}{more}}}", name, plain or None))


def _decode(expr: str | None, _parent_: Container, _node_: Node) -> Any:
    parts = _noted.get()
    if parts is None or not isinstance(expr, str) or not _MARK.search(expr):
        return oc.decode(expr, _parent_=_parent_, _node_=_node_)
    inner = [parts[int(match[1])] for match in _MARK.finditer(expr)]
    default = next((part.default for part in inner if part.default), None)
    return _note(
        parts,
        FromEnvironment(f"${{oc.decode:{_argument(expr, parts)}}}", inner[0].variable, default),
    )


def _note(parts: list[FromEnvironment], part: FromEnvironment) -> str:
    parts.append(part)
    return f"\ue000{len(parts) - 1}\ue001"


OmegaConf.register_new_resolver("oc.env", _env, replace=True)
OmegaConf.register_new_resolver("oc.decode", _decode, replace=True)
