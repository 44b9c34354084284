"""The names of a table's columns, as its options and the views have them."""

from __future__ import annotations

import re
from collections.abc import Collection

from framework.data.vocabulary import TIME
from framework.errors import DataError, suggest
from framework.interfaces.source import Roles


def renamed(columns: list[str], rename: dict[str, str], table: str) -> dict[str, str]:
    """Return the new name of every column. Raises :class:`DataError` for a name that is not
    there, or would be there twice.
    """
    where = f"source=files: table '{table}': rename"
    for old, new in rename.items():
        if old not in columns:
            raise DataError(f"{where}: no column '{old}';{suggest(old, columns)} It has {columns}.")
        if new in columns and new not in rename:
            raise DataError(
                f"{where}: {old} to {new}: the table has a column '{new}' already; rename "
                "that one too, or select without it in a query."
            )
        others = [other for other, name in rename.items() if name == new and other != old]
        if others:
            raise DataError(
                f"{where}: both '{others[0]}' and '{old}' to '{new}'; give one of them "
                "another name."
            )
    return {column: rename.get(column, column) for column in columns}


def ordered(names: dict[str, str], order_by: tuple[str, ...], table: str) -> list[str]:
    """Return the columns of ``order_by``, which may have their old names or their new ones, as
    they are called in the end.
    """
    wrong = [c for c in order_by if c not in names and c not in names.values()]
    if wrong:
        raise DataError(
            f"source=files: table '{table}': order_by: no column "
            f"'{wrong[0]}';{suggest(wrong[0], names)} It has {[*names]}."
        )
    return [names.get(c, c) for c in order_by]


def refuse_missing(names: Collection[str], roles: Roles, table: str) -> None:
    """Raise :class:`DataError` for a column that is wanted and not among ``names``."""
    for column in (*roles.texts, *roles.times, *roles.numbers):
        if column not in names:
            raise DataError(f"source=files: table '{table}': {_missing(column, [*names])}")


def _missing(column: str, columns: list[str]) -> str:
    if any(re.fullmatch(r"[\d.,:/TZ+ -]+", name) for name in columns):
        return (
            f"no column '{column}'; the first line of a CSV names the columns, this one has "
            f"{columns}."
        )
    how = (
        " Rename the one that holds the times, rename: {COLUMN: event_timestamp}."
        if column == TIME
        else ""
    )
    return f"no column '{column}';{suggest(column, columns)} It has {columns}.{how}"
