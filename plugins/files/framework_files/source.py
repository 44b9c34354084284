"""CSV and Parquet files as the tables of feature views, shaped by DuckDB SQL."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from framework.data.vocabulary import TIME
from framework.errors import DataError, one_line, suggest
from framework.interfaces.source import Roles, Source
from framework_files.columns import Columns, Reading, Want
from framework_files.csv_files import CsvFiles, literal, partition, quoted
from framework_files.local_times import second_times, to_utc
from framework_files.options import Table
from framework_files.places import find_files, kind_of, unpack

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


@dataclass(slots=True)
class _Opened:
    """An alias whose files are read. ``texts``: its columns that are texts in the files, whose
    types are found out here.
    """

    columns: list[str]
    texts: set[str]
    semicolons: bool = False
    readings: dict[tuple[str, Want], Reading] = field(default_factory=dict)


class FilesSource(Source):
    """The files are opened when the first table is read, and each CSV is parsed once."""

    @cached_property
    def _opened(self) -> dict[str, _Opened]:
        return {}

    @cached_property
    def _warnings(self) -> dict[str, None]:
        return {}

    def read(self, table: str) -> pd.DataFrame:
        """The rows of one table. A time without a zone, and a date, are taken as UTC."""
        return self.read_as(table, Roles())

    def read_as(self, table: str, roles: Roles) -> pd.DataFrame:
        """The rows of one table; a text that can be read as two numbers or two times is refused
        where one is wanted.
        """
        spec = self.options.tables.get(table)
        if spec is None:
            known = [*self.options.tables, *self.options.files]
            if table not in self.options.files:
                raise DataError(
                    f"source=files: table '{table}' is not declared;{suggest(table, known)} "
                    f"Declared: {', '.join(known)}."
                )
            spec = Table()
        old = {new: name for name, new in spec.rename.items()}
        wants: dict[str, Want] = dict.fromkeys(
            (old.get(c, c) for c in (TIME, *roles.times)), "time"
        )
        wants |= dict.fromkeys((name for c in roles.texts for name in (c, old.get(c, c))), "text")
        for alias in self.options.files:
            self._open(alias)
            self._view(alias, wants)
        query = spec.query or f"SELECT * FROM {quoted(table)}"  # noqa: S608  an alias, quoted
        try:
            relation = self._connection.sql(query)
            if relation is None:
                raise DataError(
                    f"source=files: table '{table}': the query gives no rows; it is one SELECT."
                )
            names = _renamed(relation.columns, spec.rename, table)
            order_columns = _ordered(names, spec.order_by, table)
            order = ", ".join(map(quoted, order_columns))
            relation = self._typed(relation, names, roles, table)
            if spec.time_zone is None:
                return _timed(relation.order(order).df() if order else relation.df())
            return _timed(self._from_local(relation, spec, roles, table), by=order_columns)
        except duckdb.Error as error:
            raise DataError(
                f"source=files: table '{table}': {_line(error)}{self._text_in(query)}"
            ) from error

    def _from_local(
        self, relation: duckdb.DuckDBPyRelation, spec: Table, roles: Roles, table: str
    ) -> pd.DataFrame:
        """The rows, with times in UTC where they were of the clock of the table's zone.

        Of the hour that the clock shows twice, the time of a step is told by the order of the rows;
        any other time is taken for the later one, when the row was known for sure.
        """
        rows, zone = relation.df(), str(spec.time_zone)
        kinds = {
            name: str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)
        }
        for column in dict.fromkeys((TIME, *roles.times)):
            kind = kinds.get(column, "")
            if not kind.startswith("TIMESTAMP") or "ZONE" in kind:
                continue
            where = f"source=files: table '{table}': column '{column}'"
            later = None
            if column == TIME:
                later = second_times(rows, column, roles.keys, zone, spec.ambiguous, where)
            rows[column] = to_utc(rows, column, zone, later, where)
        return rows

    def texts(self, alias: str) -> Columns | None:
        """Give the columns of a CSV file as they are written, None for Parquet.

        Raises:
            DataError: The file cannot be read.
        """
        self._open(alias)
        opened = self._opened[alias]
        return self._columns(_raw(alias), alias) if opened.texts == {*opened.columns} else None

    def warnings(self) -> list[str]:
        """Return one line for each column whose numbers may be thousands, or have texts for
        nulls.
        """
        return list(self._warnings)

    def fingerprint(self) -> dict[str, str]:
        """``{"alias/file": sha256}`` of every file, and of every table's SQL and options under
        ``table``.
        """
        return self._prints(self.options.files)

    def fingerprint_of(self, tables: Sequence[str]) -> dict[str, str]:
        """As :meth:`fingerprint`, of the files that these tables are made of alone."""
        aliases = {alias for table in tables for alias in self._aliases(table)}
        prints = self._prints([alias for alias in self.options.files if alias in aliases])
        others = {
            f"{name} (table)" for name in self.options.tables if name not in {*tables, *aliases}
        }
        return {key: value for key, value in prints.items() if key not in others}

    def _aliases(self, table: str) -> list[str]:
        """The files that a table names in its query, all where that cannot be told."""
        query = self.options.tables.get(table, Table()).query
        if query is None:
            return [table] if table in self.options.files else []
        return [
            a for a in self.options.files if re.search(rf"(?i)\b{re.escape(a)}\b", query)
        ] or list(self.options.files)

    def _prints(self, aliases: Iterable[str]) -> dict[str, str]:
        prints = {}
        for alias in aliases:
            place = self.options.files[alias]
            files = find_files(alias, place)
            for path in files:
                with path.open("rb") as stream:
                    prints[
                        f"{alias}/{path.name}"
                        if len(files) == 1
                        else f"{alias}/{path.parent.name}/{path.name}"
                    ] = hashlib.file_digest(stream, "sha256").hexdigest()
        for table, spec in self.options.tables.items():
            said = {name for name in ("time_zone", "ambiguous") if getattr(spec, name) is not None}
            shape = spec.model_dump_json(
                include={"query", "rename", "order_by", *said, *spec.reading()}
            )
            prints[f"{table} (table)"] = hashlib.sha256(shape.encode()).hexdigest()
        if self.options.null_values != ("",):
            prints["null_values"] = hashlib.sha256(
                json.dumps(self.options.null_values).encode()
            ).hexdigest()
        return prints

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    def _open(self, alias: str) -> None:
        """Make the files of an alias a table of texts (CSV, parsed here), or a view (Parquet,
        scanned by each query).
        """
        if alias in self._opened:
            return
        where, place = f"source=files: file '{alias}'", self.options.files[alias]
        files = find_files(alias, place)
        with tempfile.TemporaryDirectory(prefix="framework-files-") as scratch:
            parts = [part for file in files for part in unpack(alias, file, Path(scratch))]
            kinds = {kind_of(part) for part in parts}
            if len(kinds) != 1:
                raise DataError(
                    f"{where}: both CSV and Parquet in {place}; give each its own alias."
                )
            spec = self._spec(alias)
            if kinds == {"parquet"} and spec.reading():
                raise DataError(
                    f"{where}: source.tables.{alias}.{spec.reading()[0]} is for CSV files, "
                    f"{place} is Parquet; leave it out."
                )
            try:
                if kinds == {"csv"}:
                    nulls = (
                        self.options.null_values if spec.null_values is None else spec.null_values
                    )
                    csv = CsvFiles(where, _path(alias), spec, nulls, self.options.sample_size)
                    delimiters = csv.load(self._connection, _raw(alias), parts, Path(scratch))
                else:
                    delimiters = set()
                    self._scan(alias, parts, keep=not {*parts} <= {*files})
                columns = [
                    row[0] for row in self._connection.execute(f"DESCRIBE {_raw(alias)}").fetchall()
                ]
            except (duckdb.Error, OSError, EOFError, zlib.error) as error:
                raise DataError(
                    f"{where}: {place} cannot be read: {_line(error)}; is the file whole?"
                ) from error
        texts = (
            {*columns}
            if kinds == {"csv"}
            else {key for part in parts for key in partition(part)} & {*columns}
        )
        for option, given in (
            ("date_format", spec.date_format if isinstance(spec.date_format, dict) else ()),
            ("texts", spec.texts),
        ):
            missing = [c for c in given if c not in columns]
            if missing:
                raise DataError(
                    f"{_path(alias)}.{option}: no column "
                    f"'{missing[0]}';{suggest(missing[0], columns)} The file has {columns}."
                )
        self._opened[alias] = _Opened(columns, texts, delimiters == {";"})

    def _scan(self, alias: str, parts: list[Path], *, keep: bool) -> None:
        """Make Parquet files a view, or a table when they are about to be removed."""
        files = ", ".join(literal(str(part)) for part in parts)
        hive = str(any(partition(part) for part in parts)).lower()
        self._connection.execute(
            f"CREATE OR REPLACE {'TABLE' if keep else 'VIEW'} {_raw(alias)} AS SELECT * "  # noqa: S608
            f"FROM read_parquet([{files}], "
            f"union_by_name = true, hive_partitioning = {hive}, hive_types_autocast = false)"
        )

    def _view(self, alias: str, wants: dict[str, Want]) -> None:
        """Make the alias that queries name: a column of texts has the type of all of them, unless
        it is wanted as it is written.
        """
        opened = self._opened[alias]
        columns = []
        for column in opened.columns:
            key = (column, wants.get(column))
            if column in opened.texts and key not in opened.readings:
                opened.readings[key] = self._columns(_raw(alias), alias).read(*key)
            sql = opened.readings[key].sql if column in opened.texts else quoted(column)
            columns.append(f"{sql} AS {quoted(column)}")
        self._connection.execute(
            f"CREATE OR REPLACE VIEW {quoted(alias)} AS SELECT {', '.join(columns)} FROM "  # noqa: S608
            f"{_raw(alias)}"
        )

    def _columns(self, relation: str, table: str) -> Columns:
        semicolons = table in self._opened and self._opened[table].semicolons

        def warn(line: str) -> None:
            self._warnings[line] = None

        return Columns(
            self._connection, relation, self._spec(table), _path(table), semicolons, warn
        )

    def _typed(
        self, relation: duckdb.DuckDBPyRelation, names: dict[str, str], roles: Roles, table: str
    ) -> duckdb.DuckDBPyRelation:
        """The columns under their new names, in the types of their roles. Raises :class:`DataError`
        for one that cannot be.
        """
        types = {
            name: str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)
        }
        missing = [
            c for c in (*roles.texts, *roles.times, *roles.numbers) if c not in names.values()
        ]
        if missing:
            raise DataError(
                f"source=files: table '{table}': {_missing(missing[0], [*names.values()])}"
            )
        wants: dict[str, Want] = dict.fromkeys(roles.numbers, "number")
        wants |= dict.fromkeys((TIME, *roles.times), "time")
        wants |= dict.fromkeys(roles.texts, "text")
        if any(
            types[old] == "VARCHAR" and wants.get(new) in ("number", "time")
            for old, new in names.items()
        ):
            self._connection.execute(f"DROP TABLE IF EXISTS {_RESULT}")
            relation.create(_RESULT)
            relation = self._connection.table(_RESULT)
        columns = [
            f"{self._as(relation, old, types[old], wants.get(new), table)} AS {quoted(new)}"
            for old, new in names.items()
        ]
        return relation.project(", ".join(columns))

    def _as(
        self, relation: duckdb.DuckDBPyRelation, name: str, kind: str, want: Want, table: str
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
                f"needed{_time_of(None if row is None else row[0], name, self._home(table))}"
            )
        if kind != "VARCHAR" or want not in ("number", "time"):
            return column
        if want == "number":
            self._empty_nulls(name, table)
        reading = self._columns(_RESULT, self._home(table)).read(name, want)
        if reading.sql == column:
            raise DataError(
                f"{where} is text, a {'timestamp' if want == 'time' else want} is needed: "
                f"{reading.doubt}."
            )
        return reading.sql

    def _empty_nulls(self, name: str, table: str) -> None:
        """Make the usual texts for a missing number null, where no option says what is."""
        home = self._home(table)
        if self._spec(home).null_values is not None or self.options.null_values != ("",):
            return
        text = f"trim({quoted(name)})"
        where = f"WHERE regexp_full_match({text}, {literal(_USUAL_NULLS)})"
        texts = self._connection.execute(
            f"SELECT {text}, count(*) FROM {_RESULT} {where} GROUP BY 1 ORDER BY 1"  # noqa: S608
        ).fetchall()
        if not texts:
            return
        self._connection.execute(f"UPDATE {_RESULT} SET {quoted(name)} = NULL {where}")  # noqa: S608
        shown = ", ".join(f"'{text}' ({count:,} rows)" for text, count in texts)
        self._warnings[
            f"table '{table}': column '{name}': {shown} is read as null; "
            f"set {_path(home)}.null_values to say which texts are"
        ] = None

    def _home(self, table: str) -> str:
        """The table whose options say how the texts of ``table`` were read: of the file, where
        there is only one.
        """
        return (
            table
            if table in self.options.files
            else next(iter(self.options.files))
            if len(self.options.files) == 1
            else "FILE"
        )

    def _text_in(self, query: str) -> str:
        """What may be behind the error of a query: columns in it that are text because their
        numbers or dates are in doubt.
        """
        for alias, opened in self._opened.items():
            for (column, want), reading in opened.readings.items():
                if (
                    want != "text"
                    and reading.sql == quoted(column)
                    and re.search(rf"\b{re.escape(column)}\b", query)
                ):
                    doubt = (
                        reading.doubt
                        or self._columns(_raw(alias), alias).read(column, "number").doubt
                    )
                    if _path(alias) in doubt:
                        return f"; column '{column}' of file '{alias}' is text: {doubt}"
        return ""

    def _spec(self, alias: str) -> Table:
        spec: Table = self.options.tables.get(alias, Table())
        return spec if alias in self.options.files else Table()


def _renamed(columns: list[str], rename: dict[str, str], table: str) -> dict[str, str]:
    """The new name of every column. Raises :class:`DataError` for a name that is not there, or
    would be there twice.
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


def _ordered(names: dict[str, str], order_by: tuple[str, ...], table: str) -> list[str]:
    """The columns of ``order_by``, which may have their old names or their new ones, as they are
    called in the end.
    """
    wrong = [c for c in order_by if c not in names and c not in names.values()]
    if wrong:
        raise DataError(
            f"source=files: table '{table}': order_by: no column "
            f"'{wrong[0]}';{suggest(wrong[0], names)} It has {[*names]}."
        )
    return [names.get(c, c) for c in order_by]


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


def _time_of(value: Any, column: str, home: str) -> str:
    """What a value that is no time may mean, and how to say so."""
    if value is None:
        return "; cast it in the query."
    text = (
        f"{value:g}"
        if isinstance(value, float) and value % 1 == 0 and abs(value) < 1e6
        else str(value)
    )
    if re.fullmatch(r"(19|20)\d{6}", text):
        return f": {text} is a day; set {_path(home)}.date_format='%Y%m%d', or cast it in a query."
    if re.fullmatch(r"\d{9,10}|\d{12,13}", text):
        short = len(text) < 11
        unit, seconds = ("", column) if short else ("milli", f"{column} / 1000")
        return (
            f": {text} are {unit}seconds since 1970; set {_path(home)}.date_format="
            f"{'epoch_s' if short else 'epoch_ms'} for a CSV file, or cast it in a query, "
            f"to_timestamp({seconds}) AS {column}."
        )
    return f", such as 2024-01-31, and not {text!r}; cast it in a query."


def _timed(rows: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    if by:
        rows = rows.sort_values([*by], kind="stable", ignore_index=True)
    return (
        rows.assign(**{TIME: pd.to_datetime(rows[TIME], utc=True)})
        if TIME in rows.columns
        else rows
    )


def _raw(alias: str) -> str:
    return quoted(f"{alias} (as written)")


def _path(table: str) -> str:
    return f"source.tables.{table}"


def _line(error: BaseException) -> str:
    """One line of an error of DuckDB: without the query, which the configuration has, and without
    lists of functions.
    """
    text = str(error).partition("\n\nLINE ")[0].partition("Candidate functions")[0]
    return one_line(text)
