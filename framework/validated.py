"""Values that a user gave, as an options class takes them: an unknown key or a wrong value is named by its path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError

from framework.errors import ConfigError, suggest
from framework.interfaces.options import Options
from framework.secrets import masked

T = TypeVar("T", bound=Options)
#: What pydantic says in the words of Python.
_PLAIN = {
    **dict.fromkeys(("tuple_type", "list_type", "set_type"), "a list is needed, such as [a, b]"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "keys with values are needed"),
}


def validate(model: type[T], values: dict[str, Any], path: str, source_of: Callable[[str], str] = str) -> T:
    """``model`` from plain values; errors carry the config path of the wrong key, or what ``source_of`` makes of it."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(model, problem, path, source_of) for problem in error.errors())) from error


def known_keys(model: type[Options], path: Sequence[str | int]) -> tuple[str, ...]:
    """The keys below ``path`` in ``model``, none where they are not fixed."""
    kind = _kind(model, path)
    return tuple(kind.model_fields) if isinstance(kind, type) and issubclass(kind, Options) else ()


def takes_any_key(model: type[Options], path: Sequence[str | int]) -> bool:
    """Whether the keys below ``path`` in ``model`` are names of the user's."""
    kind = _kind(model, path)
    return kind is Any or get_origin(kind) in (dict, Mapping)


def _kind(model: type[Options], path: Sequence[str | int]) -> Any:
    """The type of the value at ``path``, None where there is none."""
    kind: Any = model
    for part in path:
        if get_origin(kind) in (dict, Mapping):
            kind = get_args(kind)[1]
        elif isinstance(kind, type) and issubclass(kind, Options) and str(part) in kind.model_fields:
            kind = kind.model_fields[str(part)].annotation
        elif kind is not Any:
            return None
        if get_origin(kind) in (Union, UnionType):
            others = [each for each in get_args(kind) if each is not type(None)]
            kind = others[0] if len(others) == 1 else kind
    return kind


def _explain(model: type[Options], problem: Any, path: str, source_of: Callable[[str], str]) -> str:
    where = source_of(".".join(str(p) for p in ((path,) if path else ()) + problem["loc"]))
    if problem["type"] == "extra_forbidden":
        known = known_keys(model, problem["loc"][:-1])
        listed = f" Known: {', '.join(known)}." if known else ""
        return f"{where}: unknown key.{suggest(str(problem['loc'][-1]), known)}{listed}"
    got = "" if problem["type"] == "missing" else f", got {masked(repr(problem['input']))}"
    text = _PLAIN.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    return f"{where}: {text}{got[:120]}"
