"""JSON objects that have a key twice: decoders take one of the two values, clients mean either."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from framework.serving.http.refusal import Refusal

#: What may stand before the colon after a key.
_BEFORE = (b'"', b" ", b"\t", b"\n", b"\r")
#: Above so many bytes an array is searched faster than text.
_LONG = 1024


def most_keys(body: bytes) -> int:
    """Count the keys in valid JSON, at least: text with such characters counts, too. Costs next to
    nothing.
    """
    if len(body) <= _LONG:
        return sum(body.count(character + b":") for character in _BEFORE)
    characters = np.frombuffer(body, np.uint8)
    before = characters[:-1]
    after_key = (before == ord('"')) | (before <= ord(" "))  # of the lower ones JSON has only these
    return int(np.count_nonzero(after_key & (characters[1:] == ord(":"))))


def refuse_repeated(body: bytes) -> None:
    """Look at every object of valid JSON.

    Args:
        body: The JSON.

    Raises:
        Refusal: 422 with the path of a key that is there twice; 400 for what is nested too deeply.
    """
    try:
        value = json.loads(body, object_pairs_hook=_checked, parse_int=len, parse_float=len)
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply", "body") from None
    path = value.path if isinstance(value, _Repeated) else _within(value)
    if path is not None:
        raise Refusal(422, "the key is there twice", path[:200])


class _Repeated:
    """Stands for an object. ``path``: of the key, within it."""

    def __init__(self, path: str) -> None:
        self.path = path


def _checked(pairs: Sequence[tuple[str, Any]]) -> _Repeated | None:
    """None for an object without such a key: its values are not needed."""
    if len(dict(pairs)) != len(pairs):
        names = [name for name, _ in pairs]
        return _Repeated(next(name for i, name in enumerate(names) if name in names[:i]))
    for name, value in pairs:
        if isinstance(value, _Repeated):
            return _Repeated(f"{name}.{value.path}")
        if type(value) is list:
            path = _within(value)
            if path is not None:
                return _Repeated(f"{name}{path}")
    return None


def _within(value: Any) -> str | None:
    """The path of a key within a list, however deep."""
    if type(value) is not list:
        return None
    for i, item in enumerate(value):
        if isinstance(item, _Repeated):
            return f"[{i}].{item.path}"
        path = _within(item)
        if path is not None:
            return f"[{i}]{path}"
    return None
