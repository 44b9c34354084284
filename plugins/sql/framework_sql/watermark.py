"""The newest value of a watermark as text, and back, with its type: what a database compares with
is of the type that it gave.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from framework.errors import ConfigError, DataError

_READ: dict[str, Callable[[Any], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "int": int,
    "Decimal": Decimal,
    "float": float,
    "str": str,
}


def to_text(value: Any) -> str:
    """Raises :class:`DataError` for a type that has no order to go on from."""
    kind = type(value).__name__
    if kind not in _READ:
        raise DataError(
            f"a watermark of type {kind} is not possible; use a time, a number or a text "
            "that grows."
        )
    return json.dumps(
        {
            kind: value.isoformat()
            if isinstance(value, date)
            else value
            if kind in {"int", "float", "str"}
            else str(value)
        }
    )


def from_text(text: str) -> Any:
    ((kind, value),) = json.loads(text).items()
    return _READ[kind](value)


def earlier(value: Any, overlap: timedelta | int | None) -> Any:
    """``value`` moved back. Raises :class:`ConfigError` when the overlap is of another kind than
    the watermark.
    """
    if overlap is None:
        return value
    try:
        if isinstance(
            value, str
        ):  # SQLite has no type of times; texts of ISO 8601 keep their order
            moment = datetime.fromisoformat(value) - overlap  # type: ignore[operator]
            return (
                moment.isoformat(sep="T" if "T" in value else " ")
                if len(value) > 10
                else moment.date().isoformat()
            )
        return value - overlap
    except (TypeError, ValueError) as error:
        kinds = "a duration such as P1D" if isinstance(value, date | str) else "a number"
        raise ConfigError(
            f"overlap {overlap!r} does not fit the watermark {value!r}; give {kinds}."
        ) from error
