"""Rows of views in PostgreSQL: one table for each definition of a view, written and read with
COPY.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd
import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

from framework.errors import DataError, one_line
from framework.features.views import INSERTED, View
from framework.retrieval.row_store import digest_of, distinct, typed
from framework_feast.repository.sources import FeastRows, source_settings

if TYPE_CHECKING:
    from framework_feast.light import DataSource


class PostgresStore(FeastRows):
    """``settings``: Feast's own ``offline_store`` of type ``postgres``, so that Feast and this
    store see the same tables.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.schema = str(settings.get("db_schema") or "public")

    def table_name(self, name: str, view: View) -> str:
        return f"{name}_{digest_of(view)}"

    def source(self, name: str, view: View) -> DataSource:
        from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
            PostgreSQLSource,
        )

        return PostgreSQLSource(
            table=f'"{self.schema}"."{self.table_name(name, view)}"', **source_settings(name, view)
        )

    def write(self, name: str, view: View, rows: pd.DataFrame) -> int:
        """One transaction: a killed process leaves the old rows, a reader sees them until it
        ends.
        """
        new = distinct(view, typed(name, view, rows))
        content = io.BytesIO()
        csv.write_csv(new, content, csv.WriteOptions(include_header=False))
        table, staged = self._table(name, view), sql.Identifier("staged")
        columns, identity = _names(new.column_names), _names(view.identity())
        features = self.kept(view)
        changes = sql.SQL(", ").join(
            sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(f)) for f in features
        )
        with self._connected(f"write '{name}'") as connection:
            connection.execute(self._definition(table, view))
            connection.execute(self._marking(table))
            connection.execute(
                sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {}) ON COMMIT DROP").format(staged, table)
            )
            with connection.cursor().copy(
                sql.SQL("COPY {} ({}) FROM STDIN (FORMAT CSV)").format(staged, columns)
            ) as copy:
                copy.write(content.getbuffer())
            connection.execute(
                sql.SQL(
                    "INSERT INTO {table} ({columns}) SELECT {columns} FROM {staged} ON "
                    "CONFLICT ({identity}) DO {action}"
                ).format(
                    table=table,
                    columns=columns,
                    staged=staged,
                    identity=identity,
                    action=sql.SQL("UPDATE SET {}").format(changes),
                )
            )
        return int(new.num_rows)

    def rows(self, name: str, view: View) -> int:
        with self._connected(f"count '{name}'") as connection:
            if not self._exists(connection, name, view):
                return 0
            row = connection.execute(
                sql.SQL("SELECT count(*) FROM {}").format(self._table(name, view))
            ).fetchone()
        return int(row[0]) if row else 0

    def table(self, name: str, view: View, features: Sequence[str]) -> pa.Table:
        columns = [*view.identity(), *features]
        query = sql.SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT (FORMAT CSV)").format(
            _names(columns), self._table(name, view), _names(view.identity())
        )
        content = io.BytesIO()
        with self._connected(f"read '{name}'") as connection:
            if not self._exists(connection, name, view):
                raise DataError(
                    f"offline store: view '{name}' has no rows in PostgreSQL; run=ingest first."
                )
            if INSERTED in features:
                connection.execute(self._marking(self._table(name, view)))
            with connection.cursor().copy(query) as copy:
                for part in copy:
                    content.write(part)
        content.seek(0)
        if not content.getbuffer().nbytes:
            return pa.table({c: pa.array([], _type(view, c)) for c in columns})
        return csv.read_csv(
            content,
            csv.ReadOptions(column_names=columns),
            convert_options=csv.ConvertOptions(
                column_types={c: _type(view, c) for c in columns},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    def _table(self, name: str, view: View) -> sql.Identifier:
        return sql.Identifier(self.schema, self.table_name(name, view))

    def _exists(self, connection: psycopg.Connection, name: str, view: View) -> bool:
        row = connection.execute(
            "SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = %s",
            (self.schema, self.table_name(name, view)),
        ).fetchone()
        return row is not None

    def _definition(self, table: sql.Identifier, view: View) -> sql.Composed:
        """Texts sort by their bytes, as everywhere else."""
        kinds = {
            pa.float64(): "double precision",
            pa.dictionary(pa.int32(), pa.string()): 'text COLLATE "C"',
        }
        columns = [
            sql.SQL("{} {}").format(
                sql.Identifier(c), sql.SQL(kinds.get(_type(view, c), "timestamptz"))
            )
            for c in (*view.identity(), *self.kept(view))
        ]
        return sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({}))").format(
            table, sql.SQL(", ").join(columns), _names(view.identity())
        )

    def _marking(self, table: sql.Identifier) -> sql.Composed:
        """For a table of an earlier version, which did not say which rows fill a gap."""
        return sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} double precision").format(
            table, sql.Identifier(INSERTED)
        )

    @contextmanager
    def _connected(self, what: str) -> Iterator[psycopg.Connection]:
        """One transaction on a connection of its own, in UTC."""
        s = self.settings
        try:
            with psycopg.connect(
                host=s["host"],
                port=s.get("port", 5432),
                dbname=s["database"],
                user=s.get("user"),
                password=s.get("password") or None,
                sslmode=s.get("sslmode"),
                sslkey=s.get("sslkey_path"),
                sslcert=s.get("sslcert_path"),
                sslrootcert=s.get("sslrootcert_path"),
                connect_timeout=10,
                options="-c TimeZone=UTC -c DateStyle=ISO",
            ) as connection:
                yield connection
        except psycopg.Error as error:
            text = one_line(error, 300)
            raise DataError(
                f"offline store: {what} in PostgreSQL at "
                f"{s['host']}:{s.get('port', 5432)}/{s['database']}: {text}"
            ) from error


def _type(view: View, column: str) -> pa.DataType:
    if column in view.entity or column in view.categories:
        return pa.dictionary(pa.int32(), pa.string())
    return pa.timestamp("us", "UTC") if column in view.identity() else pa.float64()


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))
