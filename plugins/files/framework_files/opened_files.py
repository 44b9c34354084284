"""The files of aliases as relations of one DuckDB connection, each opened once."""

from __future__ import annotations

import re
import tempfile
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import duckdb

from framework.errors import DataError, one_line, suggest
from framework_files.columns import Columns, Reading, Want
from framework_files.csv_files import CsvFiles, literal, partition, quoted
from framework_files.options import FilesOptions, Table
from framework_files.places import find_files, kind_of, unpack


@dataclass(slots=True)
class _Opened:
    """An alias whose files are read. ``texts``: its columns that are texts in the files, whose
    types are found out here.
    """

    columns: list[str]
    texts: set[str]
    semicolons: bool = False
    readings: dict[tuple[str, Want], Reading] = field(default_factory=dict)


class OpenedFiles:
    """The tables that queries select from: an alias is opened when it is first asked for, each CSV
    is parsed once.
    """

    def __init__(self, options: FilesOptions) -> None:
        self.options = options
        #: Lines for the user, each once.
        self.warnings: dict[str, None] = {}
        self._opened: dict[str, _Opened] = {}

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    def open(self, alias: str) -> None:
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
            spec = self.spec(alias)
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
                    csv = CsvFiles(where, option_path(alias), spec, nulls, self.options.sample_size)
                    delimiters = csv.load(self.connection, raw_name(alias), parts, Path(scratch))
                else:
                    delimiters = set()
                    self._scan(alias, parts, keep=not {*parts} <= {*files})
                columns = [
                    row[0]
                    for row in self.connection.execute(f"DESCRIBE {raw_name(alias)}").fetchall()
                ]
            except (duckdb.Error, OSError, EOFError, zlib.error) as error:
                raise DataError(
                    f"{where}: {place} cannot be read: {line_of(error)}; is the file whole?"
                ) from error
        texts = (
            {*columns}
            if kinds == {"csv"}
            else {key for part in parts for key in partition(part)} & {*columns}
        )
        for option, names in (
            ("date_format", spec.date_format if isinstance(spec.date_format, dict) else ()),
            ("texts", spec.texts),
        ):
            missing_columns = [c for c in names if c not in columns]
            if missing_columns:
                raise DataError(
                    f"{option_path(alias)}.{option}: no column "
                    f"'{missing_columns[0]}';{suggest(missing_columns[0], columns)} The file has "
                    f"{columns}."
                )
        self._opened[alias] = _Opened(columns, texts, delimiters == {";"})

    def _scan(self, alias: str, parts: list[Path], *, keep: bool) -> None:
        """Make Parquet files a view, or a table when they are about to be removed."""
        files = ", ".join(literal(str(part)) for part in parts)
        hive = str(any(partition(part) for part in parts)).lower()
        self.connection.execute(
            f"CREATE OR REPLACE {'TABLE' if keep else 'VIEW'} {raw_name(alias)} AS SELECT * "  # noqa: S608
            f"FROM read_parquet([{files}], "
            f"union_by_name = true, hive_partitioning = {hive}, hive_types_autocast = false)"
        )

    def view(self, alias: str, wants: dict[str, Want]) -> None:
        """Make the alias that queries name: a column of texts has the type of all of them, unless
        it is wanted as it is written.
        """
        file = self._opened[alias]
        columns = []
        for column in file.columns:
            key = (column, wants.get(column))
            if column in file.texts and key not in file.readings:
                file.readings[key] = self.columns(raw_name(alias), alias).read(*key)
            sql = file.readings[key].sql if column in file.texts else quoted(column)
            columns.append(f"{sql} AS {quoted(column)}")
        self.connection.execute(
            f"CREATE OR REPLACE VIEW {quoted(alias)} AS SELECT {', '.join(columns)} FROM "  # noqa: S608
            f"{raw_name(alias)}"
        )

    def texts(self, alias: str) -> Columns | None:
        """Give the columns of a CSV file as they are written, None for Parquet.

        Raises:
            DataError: The file cannot be read.
        """
        self.open(alias)
        file = self._opened[alias]
        return self.columns(raw_name(alias), alias) if file.texts == {*file.columns} else None

    def columns(self, relation: str, table: str) -> Columns:
        """Return the reader of a relation's texts, with the options of ``table``."""
        semicolons = table in self._opened and self._opened[table].semicolons

        def warn(line: str) -> None:
            self.warnings[line] = None

        return Columns(
            self.connection, relation, self.spec(table), option_path(table), semicolons, warn
        )

    def text_in(self, query: str) -> str:
        """Say what may be behind the error of a query: columns in it that are text because
        their numbers or dates are in doubt.
        """
        for alias, file in self._opened.items():
            for (column, want), reading in file.readings.items():
                if (
                    want != "text"
                    and reading.sql == quoted(column)
                    and re.search(rf"\b{re.escape(column)}\b", query)
                ):
                    doubt = (
                        reading.doubt
                        or self.columns(raw_name(alias), alias).read(column, "number").doubt
                    )
                    if option_path(alias) in doubt:
                        return f"; column '{column}' of file '{alias}' is text: {doubt}"
        return ""

    def spec(self, alias: str) -> Table:
        """Return the options of a table that is read from the files of its own name."""
        spec: Table = self.options.tables.get(alias, Table())
        return spec if alias in self.options.files else Table()


def raw_name(alias: str) -> str:
    """Return the quoted relation that holds the columns of an alias as they are written."""
    return quoted(f"{alias} (as written)")


def option_path(table: str) -> str:
    """Return where the options of a table stand in the configuration."""
    return f"source.tables.{table}"


def line_of(error: BaseException) -> str:
    """One line of an error of DuckDB: without the query, which the configuration has, and without
    lists of functions.
    """
    text = str(error).partition("\n\nLINE ")[0].partition("Candidate functions")[0]
    return one_line(text)
