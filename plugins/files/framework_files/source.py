"""CSV and Parquet files as the tables of feature views, shaped by DuckDB SQL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import duckdb
import pandas as pd

from framework.data.vocabulary import TIME
from framework.errors import DataError, suggest
from framework.interfaces.source import Roles, Source
from framework_files import fingerprints
from framework_files.columns import Columns, Want
from framework_files.csv_files import quoted
from framework_files.local_times import second_times, to_utc
from framework_files.opened_files import OpenedFiles, line_of
from framework_files.options import Table
from framework_files.typed_results import ordered, renamed, typed


class FilesSource(Source):
    """The files are opened when the first table is read, and each CSV is parsed once."""

    @cached_property
    def _files(self) -> OpenedFiles:
        return OpenedFiles(self.options)

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
            self._files.open(alias)
            self._files.view(alias, wants)
        query = spec.query or f"SELECT * FROM {quoted(table)}"  # noqa: S608  an alias, quoted
        try:
            relation = self._files.connection.sql(query)
            if relation is None:
                raise DataError(
                    f"source=files: table '{table}': the query gives no rows; it is one SELECT."
                )
            names = renamed(relation.columns, spec.rename, table)
            order_columns = ordered(names, spec.order_by, table)
            order = ", ".join(map(quoted, order_columns))
            relation = typed(self._files, relation, names, roles, table)
            if spec.time_zone is None:
                return _timed(relation.order(order).df() if order else relation.df())
            return _timed(self._from_local(relation, spec, roles, table), by=order_columns)
        except duckdb.Error as error:
            raise DataError(
                f"source=files: table '{table}': {line_of(error)}{self._files.text_in(query)}"
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
        return self._files.texts(alias)

    def warnings(self) -> list[str]:
        """Return one line for each column whose numbers may be thousands, or have texts for
        nulls.
        """
        return list(self._files.warnings)

    def fingerprint(self) -> dict[str, str]:
        """``{"alias/file": sha256}`` of every file, and of every table's SQL and options under
        ``table``.
        """
        return fingerprints.fingerprint(self.options)

    def size(self, tables: Sequence[str]) -> int:
        return fingerprints.size_of(self.options, tables)

    def fingerprint_of(self, tables: Sequence[str]) -> dict[str, str]:
        """As :meth:`fingerprint`, of the files that these tables are made of alone."""
        return fingerprints.fingerprint_of(self.options, tables)


def _timed(rows: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    if by:
        rows = rows.sort_values([*by], kind="stable", ignore_index=True)
    return (
        rows.assign(**{TIME: pd.to_datetime(rows[TIME], utc=True)})
        if TIME in rows.columns
        else rows
    )
