"""The options of a component as people read them: key, type, default, what it is for."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from itertools import takewhile
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Interval, Le, Lt, MaxLen, MinLen

from framework.config.groups import default_values
from framework.options import Options

#: The bounds of a number or a length, and how each is written.
_BOUNDS = ((Gt, "gt", ">"), (Ge, "ge", ">="), (Lt, "lt", "<"), (Le, "le", "<="))
_LENGTHS = ((MinLen, "min_length", "at least"), (MaxLen, "max_length", "at most"))
#: Options that a sentence is about, before its colon: ``trials``, ``seconds`` (of the clock):
_HEAD = re.compile(r"(``\w+``( \([^)]*\))?(, | and )?)+:")
_QUOTED = re.compile(r"``([^`]+)``")


def describe_options(options: type[Options]) -> dict[str, dict[str, Any]]:
    """Describe every option.

    Args:
        options: The class of the options.

    Returns:
        By key ``type``, ``default`` (``???`` where one must be given) and ``doc``; an option that
        has options itself has ``options`` instead of a default.
    """
    defaults, docs = default_values(options), option_docs(options)
    sections: dict[str, dict[str, Any]] = {}
    for name, field in options.model_fields.items():
        entry: dict[str, Any] = {"type": type_text(field.annotation, field.metadata)}
        inner = _inner(field.annotation)
        if inner is None:
            entry["default"] = defaults[name]
        else:
            entry["options"] = describe_options(inner)
        sections[field.alias or name] = {**entry, "doc": docs.get(name, "")}
    return sections


def option_docs(options: type[Options]) -> dict[str, str]:
    """Give what is said of each option: its own description, or the sentences about it in the
    docstring of its class, which name it in double backquotes. One that is not named is told by
    what the class says of all.
    """
    docs: dict[str, str] = {}
    names = set(options.model_fields)
    for owner in reversed(options.__mro__):
        if not (isinstance(owner, type) and issubclass(owner, Options)):
            continue
        text = " ".join(inspect.cleandoc(owner.__dict__.get("__doc__") or "").split())
        sentences = re.split(r"(?<=[.;])\s+(?=``|[A-Z])", text)
        general = [*takewhile(lambda each: names.isdisjoint(_words(each)), sentences)]
        for name in owner.model_fields:
            about = [*_about(name, sentences, names, heads=True)]
            about = about or [*_about(name, sentences, names, heads=False)]
            if about or (name in owner.__annotations__ and general):
                docs[name] = _plain(" ".join(about or general))
    for name, field in options.model_fields.items():
        if field.description:
            docs[name] = _plain(field.description)
    return docs


def _about(name: str, sentences: list[str], names: set[str], *, heads: bool) -> Iterator[str]:
    """Give the sentences that name an option, and those after them that name none.

    With ``heads``, a sentence that begins with options and a colon is about these alone.
    """
    follows = False
    for sentence in sentences:
        head = _HEAD.match(sentence)
        words = names & _words(head[0] if heads and head else sentence)
        follows = name in words or (follows and not words)
        if follows:
            yield sentence


def _words(sentence: str) -> set[str]:
    """Give the words between double backquotes."""
    return {word for quoted in _QUOTED.findall(sentence) for word in re.findall(r"\w+", quoted)}


def _plain(text: str) -> str:
    """Take the marks of reStructuredText out."""
    text = re.sub(r":\w+:`~?\.?([^`]+)`", r"\1", text)
    return text.replace("``", "").rstrip(";")


def _inner(annotation: Any) -> type[Options] | None:
    """Return the class of an option that has options itself and no name of the user's."""
    kind = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    others = [each for each in get_args(kind) if each is not NoneType]
    if get_origin(kind) in (Union, UnionType) and len(others) == 1:
        kind = others[0]
    if isinstance(kind, type) and issubclass(kind, Options) and kind.model_fields:
        return kind
    return None


def type_text(annotation: Any, metadata: list[Any] | tuple[Any, ...] = ()) -> str:
    """Write a type for people: ``int > 0``, ``'a' | 'b'``, ``list of str``."""
    if get_origin(annotation) is Annotated:
        kind, *marks = get_args(annotation)
        return type_text(kind, [*marks, *metadata])
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in (None, NoneType):
        text = "null"
    elif annotation is Any:
        text = "any value"
    elif origin in (Union, UnionType):
        words = dict.fromkeys(type_text(each) for each in inner if each is not NoneType)
        text = " | ".join([*words, *(["null"] if NoneType in inner else [])])
    elif origin is Literal:
        text = " | ".join(repr(each) for each in inner)
    elif origin in (tuple, list, set, frozenset):
        text = _list_text(origin, inner)
    elif origin is dict or (origin is not None and len(inner) == 2):
        text = f"mapping of {type_text(inner[0])} to {type_text(inner[1])}"
    elif isinstance(annotation, type) and issubclass(annotation, Options):
        text = "keys"
    else:
        text = _NAMES.get(getattr(annotation, "__name__", ""), "") or getattr(
            annotation, "__name__", str(annotation)
        )
    bounds = list(_bounds(metadata))
    return f"{text} {' and '.join(bounds)}" if bounds else text


def _list_text(origin: Any, inner: tuple[Any, ...]) -> str:
    if origin is tuple and Ellipsis not in inner and len(inner) > 1:
        return f"list of {', '.join(map(type_text, inner))}"
    return f"list of {type_text(inner[0]) if inner else 'any value'}"


#: What types are called.
_NAMES = {
    "timedelta": "duration",
    "SecretStr": "secret",
    "Path": "path",
    "datetime": "time",
    "PurePath": "path",
}


def _bounds(metadata: list[Any] | tuple[Any, ...]) -> Iterator[str]:
    for mark in metadata:
        for part in mark if isinstance(mark, Interval) else (mark,):
            for kind, name, sign in (*_BOUNDS, *_LENGTHS):
                if isinstance(part, kind):
                    yield f"{sign} {getattr(part, name)}"
