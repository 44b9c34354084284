"""The result of a query, under its new names and in the types that are wanted of it."""

from __future__ import annotations

import re
from typing import Any

import duckdb

from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.interfaces.source import Roles
from framework_files.columns import Want
from framework_files.csv_files import literal, quoted
from framework_files.names import refuse_missing
from framework_files.opened_files import OpenedFiles, option_path

_RESULT = quoted("(result)")
#: Texts between numbers that mean nothing else than null.
_USUAL_NULLS = "(?i)|na|n/a|#n/a|nan|null|none|nil"
_INTEGERS = {
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
}


def typed(
    files: OpenedFiles,
    relation: duckdb.DuckDBPyRelation,
    names: dict[str, str],
    roles: Roles,
    table: str,
) -> duckdb.DuckDBPyRelation:
    """Return the columns under their new names, in the types of their roles. Raises
    :class:`DataError` for one that cannot be.
    """
    types = {name: str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)}
    refuse_missing([*names.values()], roles, table)
    wants: dict[str, Want] = dict.fromkeys(roles.numbers, "number")
    wants |= dict.fromkeys((TIME, *roles.times), "time")
    wants |= dict.fromkeys(roles.texts, "text")
    if any(
        types[old] == "VARCHAR" and wants.get(new) in ("number", "time")
        for old, new in names.items()
    ):
        files.connection.execute(f"DROP TABLE IF EXISTS {_RESULT}")
        relation.create(_RESULT)
        relation = files.connection.table(_RESULT)
    columns = [
        f"{_as(files, relation, old, types[old], wants.get(new), table)} AS {quoted(new)}"
        for old, new in names.items()
    ]
    return relation.project(", ".join(columns))


def _as(
    files: OpenedFiles,
    relation: duckdb.DuckDBPyRelation,
    name: str,
    kind: str,
    want: Want,
    table: str,
) -> str:
    """An expression that gives the column as it is wanted."""
    column = quoted(name)
    where = f"source=files: table '{table}': column '{name}'"
    if want == "text" and kind in _INTEGERS:
        return f"CAST({column} AS VARCHAR)"
    if want == "text" and kind.startswith("DECIMAL"):
        return (
            f"rtrim(rtrim(CAST({column} AS VARCHAR), '0'), '.')"
            if not kind.endswith(",0)")
            else f"CAST({column} AS VARCHAR)"
        )
    if want == "time" and kind != "VARCHAR" and not kind.startswith(("TIMESTAMP", "DATE")):
        row = relation.filter(f"{column} IS NOT NULL").project(column).limit(1).fetchone()
        raise DataError(
            f"{where} is {kind}, a timestamp is "
            f"needed{_time_of(None if row is None else row[0], name, _home(files, table))}"
        )
    if kind != "VARCHAR" or want not in ("number", "time"):
        return column
    if want == "number":
        _empty_nulls(files, name, table)
    reading = files.columns(_RESULT, _home(files, table)).read(name, want)
    if reading.sql == column:
        raise DataError(
            f"{where} is text, a {'timestamp' if want == 'time' else want} is needed: "
            f"{reading.doubt}."
        )
    return reading.sql


def _empty_nulls(files: OpenedFiles, name: str, table: str) -> None:
    """Make the usual texts for a missing number null, where no option says what is."""
    home = _home(files, table)
    if files.spec(home).null_values is not None or files.options.null_values != ("",):
        return
    text = f"trim({quoted(name)})"
    where = f"WHERE regexp_full_match({text}, {literal(_USUAL_NULLS)})"
    texts = files.connection.execute(
        f"SELECT {text}, count(*) FROM {_RESULT} {where} GROUP BY 1 ORDER BY 1"  # noqa: S608
    ).fetchall()
    if not texts:
        return
    files.connection.execute(f"UPDATE {_RESULT} SET {quoted(name)} = NULL {where}")  # noqa: S608
    counts = ", ".join(f"'{text}' ({count:,} rows)" for text, count in texts)
    files.warnings[
        f"table '{table}': column '{name}': {counts} is read as null; "
        f"set {option_path(home)}.null_values to say which texts are"
    ] = None


def _home(files: OpenedFiles, table: str) -> str:
    """The table whose options say how the texts of ``table`` were read: of the file, where
    there is only one.
    """
    return (
        table
        if table in files.options.files
        else next(iter(files.options.files))
        if len(files.options.files) == 1
        else "FILE"
    )


def _time_of(value: Any, column: str, home: str) -> str:
    """Suggest what a value that is no time may mean, and how to say so."""
    if value is None:
        return "; cast it in the query."
    text = (
        f"{value:g}"
        if isinstance(value, float) and value % 1 == 0 and abs(value) < 1e6
        else str(value)
    )
    if re.fullmatch(r"(19|20)\d{6}", text):
        return (
            f": {text} is a day; set {option_path(home)}.date_format='%Y%m%d', or cast it in a "
            "query."
        )
    if re.fullmatch(r"\d{9,10}|\d{12,13}", text):
        short = len(text) < 11
        unit, seconds = ("", column) if short else ("milli", f"{column} / 1000")
        return (
            f": {text} are {unit}seconds since 1970; set {option_path(home)}.date_format="
            f"{'epoch_s' if short else 'epoch_ms'} for a CSV file, or cast it in a query, "
            f"to_timestamp({seconds}) AS {column}."
        )
    return f", such as 2024-01-31, and not {text!r}; cast it in a query."
