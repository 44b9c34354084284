"""The rows of tables, shaped by DuckDB SQL."""

from __future__ import annotations

from collections.abc import Sequence

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
        spec = spec_of(self.options, table)
        old = {new: name for name, new in spec.rename.items()}
        wants: dict[str, Want] = dict.fromkeys(
            (old.get(c, c) for c in (TIME, *roles.times)), "time"
        )
        wants |= dict.fromkeys((name for c in roles.texts for name in (c, old.get(c, c))), "text")
        for alias in self.options.files:
            self.files.open(alias)
            self.files.view(alias, wants)
        query = spec.query or f"SELECT * FROM {quoted(table)}"  # noqa: S608  an alias, quoted
        try:
            relation = self.files.connection.sql(query)
            if relation is None:
                raise DataError(
                    f"source=files: table '{table}': the query gives no rows; it is one SELECT."
                )
            names = renamed(relation.columns, spec.rename, table)
            order_columns = ordered(names, spec.order_by, table)
            order = ", ".join(map(quoted, order_columns))
            relation = typed(self.files, relation, names, roles, table)
            if spec.time_zone is None:
                return _timed(relation.order(order).df() if order else relation.df())
            return _timed(self._from_local(relation, spec, roles, table), by=order_columns)
        except duckdb.Error as error:
            raise DataError(
                f"source=files: table '{table}': {line_of(error)}{self.files.text_in(query)}"
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


def _timed(rows: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    if by:
        rows = rows.sort_values([*by], kind="stable", ignore_index=True)
    return (
        rows.assign(**{TIME: pd.to_datetime(rows[TIME], utc=True)})
        if TIME in rows.columns
        else rows
    )
