"""Entries of a stream as rows of a view: every field checked, one that cannot be read named."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from framework.features.views import View

Fields = Mapping[str, str]


class BadEntryError(ValueError):
    """``field``: which one. The message says why."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"field '{field}': {why}")


def row_of(view: View, fields: Fields, rename: Mapping[str, str]) -> dict[str, Any]:
    """The view's columns. An empty text is null in a value, and an error in a key or a time. Fields
    the view has no use for are left out.

    Raises :class:`BadEntryError` for a field that is missing, a number that is none or not finite,
    a time that is not ISO 8601.
    """
    names = {column: field for field, column in rename.items()}
    row: dict[str, Any] = {}
    for column in (*view.identity(), *view.columns):
        field = names.get(column, column)
        if field not in fields:
            raise BadEntryError(field, f"missing; the entry has {sorted(fields)}")
        text = fields[field]
        if column in view.numbers:
            row[column] = _number(field, text.strip())
        elif column in view.texts:
            row[column] = text or None
        elif not text.strip():
            raise BadEntryError(field, "empty; every row needs its keys and its times")
        else:
            row[column] = text if column in view.entity else _time(field, text.strip())
    return row


def _number(field: str, text: str) -> float:
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise BadEntryError(field, f"'{text[:50]}' is not a number") from None
    if not math.isfinite(value):
        raise BadEntryError(field, f"'{text[:50]}' is not finite; null is an empty text")
    return value


def _time(field: str, text: str) -> datetime:
    """Without an offset it is UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadEntryError(field, f"'{text[:50]}' is not an ISO 8601 time") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
