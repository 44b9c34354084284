"""Entries of a stream as rows of a view: every field checked, one that cannot be read named."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from framework.data.canonical_text import EXACT, canonical_text
from framework.errors import DataError
from framework.ingestion.stream_tables import BadEntryError, StreamTable

if TYPE_CHECKING:
    from framework.features.views import View

_UNITS = {"epoch_s": 1_000_000, "epoch_ms": 1_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def row_of(view: View, fields: Mapping[str, Any], spec: StreamTable) -> dict[str, Any]:
    """Make a row of a view.

    Args:
        view: The view. Fields that it has no use for are left out.
        fields: The values of an entry, as text or with the types of its format. An empty text is
            null.
        spec: How fields are named and times are written.

    Returns:
        The view's columns: numbers as floats, keys and categories as texts, times in UTC.

    Raises:
        BadEntryError: A field is missing, a key or a time is null, a number is none or not finite,
            a time cannot be read.
    """
    names = {column: field for field, column in spec.rename.items()}
    row: dict[str, Any] = {}
    for column in (*view.identity(), *view.columns):
        field = names.get(column, column)
        if field not in fields:
            raise BadEntryError.of(field, f"missing; the entry has {sorted(fields)}")
        value = fields[field]
        if column in view.numbers:
            row[column] = _number(field, value)
        elif column in view.texts:
            row[column] = _text(field, value) or None
        elif value is None or not str(value).strip():
            raise BadEntryError.of(field, "empty; every row needs its keys and its times")
        elif column in view.entity:
            row[column] = _key(field, value)
        else:
            row[column] = time_of(field, value, spec.date_format)
    return row


def time_of(field: str, value: Any, date_format: str | None) -> datetime:
    """Read a time.

    Args:
        field: The field, for the message.
        value: ISO 8601, a date or a moment; a number where ``date_format`` says what it counts.
        date_format: ``epoch_s`` or ``epoch_ms``; None: not a number.

    Returns:
        The moment in UTC. Without an offset it was taken as UTC.

    Raises:
        BadEntryError: It is no time.
    """
    if isinstance(value, datetime):
        time = value
    elif isinstance(value, date):
        time = datetime(value.year, value.month, value.day, tzinfo=UTC)
    elif date_format is not None:
        time = _counted(field, value, date_format)
    elif isinstance(value, int | float | Decimal):
        raise BadEntryError.of(
            field,
            f"{value} is a number; date_format: epoch_s or epoch_ms says what it counts",
            "date_format",
        )
    else:
        try:
            time = datetime.fromisoformat(str(value).strip())
        except ValueError:
            raise BadEntryError.of(
                field, f"'{_short(value)}' is not an ISO 8601 time", "date_format"
            ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _counted(field: str, value: Any, date_format: str) -> datetime:
    try:
        number = _number(field, value)
    except BadEntryError as error:
        raise BadEntryError(str(error), field, "date_format") from None
    try:
        return _EPOCH + timedelta(microseconds=round(number * _UNITS[date_format]))
    except (OverflowError, ValueError):
        raise BadEntryError.of(
            field, f"'{_short(value)}' is no time by date_format: {date_format}", "date_format"
        ) from None


def _number(field: str, value: Any) -> float:
    if value is None or (isinstance(value, str) and not value.strip()):
        return math.nan
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise BadEntryError.of(field, f"{_short(value)} is not a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise BadEntryError.of(field, f"'{_short(value)}' is not a number") from None
    if not math.isfinite(number):
        raise BadEntryError.of(
            field, f"'{_short(value)}' is not finite; null is null or an empty text"
        )
    return number


def _key(field: str, value: Any) -> str:
    """Write a key as text, as the same id is written in a file or a request."""
    if isinstance(value, float) and (not math.isfinite(value) or value % 1 or abs(value) >= EXACT):
        raise BadEntryError.of(
            field, f"{value!r} is a floating-point number, which does not keep every digit of an id"
        )
    text = _text(field, value)
    assert text is not None  # null was refused
    return text


def _text(field: str, value: Any) -> str | None:
    try:
        return canonical_text(value)
    except DataError as error:
        raise BadEntryError.of(field, str(error)) from None


def _short(value: Any) -> str:
    return str(value)[:50]
