"""The rows of tables, shaped by DuckDB SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pandas as pd

from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.interfaces.source import Roles
from framework_files.columns import Want
from framework_files.csv_files import quoted
from framework_files.declared import spec_of
from framework_files.local_times import second_times, to_utc
from framework_files.names import ordered, renamed
from framework_files.opened_files import OpenedFiles, line_of
from framework_files.options import FilesOptions, Table
from framework_files.parts import spans_of, staged
from framework_files.typed_results import typed


class TableReader:
    """The files are opened when the first table is read, and each CSV is parsed once."""

    def __init__(self, options: FilesOptions) -> None:
        self.options = options
        self.files = OpenedFiles(options)

    def read(self, table: str, roles: Roles) -> pd.DataFrame:
        """The rows of one table; a text that can be read as two numbers or two times is refused
        where one is wanted.
        """
        with self._failing(table):
            relation, order = self._relation(table, roles)
            return self._frame(relation, order, roles, table)

    def parts(self, table: str, roles: Roles, rows: int) -> Iterator[tuple[pd.DataFrame, bool]]:
        """The rows of one table, whole series at a time, in the order of their keys.

        A table of up to ``rows`` rows is one part, and so is one whose keys have no order as texts
        yet, such as floats. Of any other the rows are written to a temporary file first, so that
        its query runs once.

        Args:
            table: The table.
            roles: How its columns are used; ``roles.keys`` tell the series apart.
            rows: Rows of a part, unless a single series has more.

        Yields:
            The rows of each part, in their order, and whether there are others.
        """
        with self._failing(table):
            relation, order = self._relation(table, roles)
            texts = dict(zip(relation.columns, map(str, relation.types), strict=True))
            is_sortable = bool(roles.keys) and all(texts[key] == "VARCHAR" for key in roles.keys)
            counted = relation.project("1").limit(rows + 1).aggregate("count(*)").fetchone()
            if not is_sortable or counted is None or counted[0] <= rows:
                yield self._frame(relation, order, roles, table), False
                return
            with staged(self.files.connection, relation, table) as one:
                for condition in spans_of(one, roles.keys, rows):
                    part = one if condition is None else one.filter(condition)
                    yield self._frame(part, order, roles, table), condition is not None

    @contextmanager
    def _failing(self, table: str) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            query = self._query(table)
            raise DataError(
                f"source=files: table '{table}': {line_of(error)}{self.files.text_in(query)}"
            ) from error

    def _query(self, table: str) -> str:
        query: str | None = spec_of(self.options, table).query
        return query or f"SELECT * FROM {quoted(table)}"  # noqa: S608  an alias, quoted

    def _relation(self, table: str, roles: Roles) -> tuple[duckdb.DuckDBPyRelation, list[str]]:
        """The query under the table's names, in the types of its roles; and what orders it."""
        spec = spec_of(self.options, table)
        old = {new: name for name, new in spec.rename.items()}
        wants: dict[str, Want] = dict.fromkeys(
            (old.get(c, c) for c in (TIME, *roles.times)), "time"
        )
        wants |= dict.fromkeys((name for c in roles.texts for name in (c, old.get(c, c))), "text")
        for alias in self.options.files:
            self.files.open(alias)
            self.files.view(alias, wants)
        relation = self.files.connection.sql(self._query(table))
        if relation is None:
            raise DataError(
                f"source=files: table '{table}': the query gives no rows; it is one SELECT."
            )
        names = renamed(relation.columns, spec.rename, table)
        order = ordered(names, spec.order_by, table)
        return typed(self.files, relation, names, roles, table), order

    def _frame(
        self, relation: duckdb.DuckDBPyRelation, order: list[str], roles: Roles, table: str
    ) -> pd.DataFrame:
        spec = spec_of(self.options, table)
        if spec.time_zone is not None:
            return _timed(self._from_local(relation, spec, roles, table), by=order)
        by = ", ".join(map(quoted, order))
        return _timed(relation.order(by).df() if by else relation.df())

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


def _timed(rows: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    if by:
        rows = rows.sort_values([*by], kind="stable", ignore_index=True)
    return (
        rows.assign(**{TIME: pd.to_datetime(rows[TIME], utc=True)})
        if TIME in rows.columns
        else rows
    )
