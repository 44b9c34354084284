"""Rows of views in PostgreSQL: one table for each definition of a view, written and read with
COPY.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

from framework.errors import DataError, one_line
from framework.features.views import INSERTED, View
from framework.retrieval.row_store import Tables, digest_of, distinct, typed
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
            self._mark(connection, name, view)
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
        with self._connected(f"read '{name}'") as connection:
            if not self._exists(connection, name, view):
                raise DataError(
                    f"offline store: view '{name}' has no rows in PostgreSQL; run=ingest first."
                )
            if INSERTED in features:
                self._mark(connection, name, view)
            return self._rows_where(connection, name, view, features, sql.SQL("TRUE"))

    @contextmanager
    def parts(
        self, views: Mapping[str, View], primary: str, rows: int
    ) -> Iterator[Sequence[Tables]]:
        """One transaction that sees one state of all tables, whoever writes meanwhile."""
        counts = [self.rows(name, view) for name, view in views.items()]
        keys = views[primary].entity
        if not all(counts) or not keys or self.rows(primary, views[primary]) <= rows:
            yield [self]
            return
        with self._connected("mark rows") as connection:
            for name, view in views.items():
                self._mark(connection, name, view)
        with self._connected("read in parts", one_state=True) as connection:
            query = sql.SQL("SELECT {keys}, count(*) FROM {table} GROUP BY {keys} ORDER BY {keys}")
            series = connection.execute(
                query.format(keys=_names(keys), table=self._table(primary, views[primary]))
            ).fetchall()
            yield [
                PostgresPart(self, connection, keys, [tuple(row[:-1]) for row in part])
                for part in _divided(series, rows)
            ]

    def _rows_where(
        self,
        connection: psycopg.Connection,
        name: str,
        view: View,
        features: Sequence[str],
        condition: sql.Composable,
    ) -> pa.Table:
        columns = [*view.identity(), *features]
        query = sql.SQL(
            "COPY (SELECT {} FROM {} WHERE {} ORDER BY {}) TO STDOUT (FORMAT CSV)"
        ).format(_names(columns), self._table(name, view), condition, _names(view.identity()))
        content = io.BytesIO()
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

    def _mark(self, connection: psycopg.Connection, name: str, view: View) -> None:
        """Give a table of an earlier version the column that says which rows fill a gap. It is
        looked for first: a change of the table waits for all who read it.
        """
        row = connection.execute(
            "SELECT 1 FROM information_schema.columns "
            "WHERE table_schema = %s AND table_name = %s AND column_name = %s",
            (self.schema, self.table_name(name, view), INSERTED),
        ).fetchone()
        if row is None:
            connection.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} double precision").format(
                    self._table(name, view), sql.Identifier(INSERTED)
                )
            )

    @contextmanager
    def _connected(self, what: str, one_state: bool = False) -> Iterator[psycopg.Connection]:
        """One transaction on a connection of its own, in UTC. ``one_state``: all its statements see
        the rows as they were at its first.
        """
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
                if one_state:
                    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                yield connection
        except psycopg.Error as error:
            text = one_line(error, 300)
            raise DataError(
                f"offline store: {what} in PostgreSQL at "
                f"{s['host']}:{s.get('port', 5432)}/{s['database']}: {text}"
            ) from error


@dataclass(frozen=True)
class PostgresPart:
    """The rows of some consecutive series, read through one connection.

    ``keys``: the names of the keys of ``series``. A view may have rows of other series, too.
    """

    store: PostgresStore
    connection: psycopg.Connection
    keys: tuple[str, ...]
    series: Sequence[tuple[str, ...]]

    def table(self, name: str, view: View, features: Sequence[str]) -> pa.Table:
        """Read the rows of a view, as :meth:`RowStore.table` does.

        Args:
            name: The view's name.
            view: The view.
            features: Columns beside the identity.

        Returns:
            The identity, then ``features``, sorted by identity.
        """
        condition: sql.Composable = sql.SQL("TRUE")
        if view.entity:
            places = [self.keys.index(key) for key in view.entity]
            own = [tuple(series[place] for place in places) for series in self.series]
            condition = sql.SQL("({keys}) BETWEEN ({first}) AND ({last})").format(
                keys=_names(view.entity), first=_literals(min(own)), last=_literals(max(own))
            )
        store = self.store
        return store._rows_where(self.connection, name, view, features, condition)


def _divided(series: Sequence[tuple[Any, ...]], rows: int) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Divide series, each with its count of rows at the end, into parts of about so many rows."""
    first, size = 0, 0
    for place, (*_, count) in enumerate(series):
        if size and size + count > rows:
            yield series[first:place]
            first, size = place, 0
        size += count
    yield series[first:]


def _literals(values: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Literal, values))


def _type(view: View, column: str) -> pa.DataType:
    if column in view.entity or column in view.categories:
        return pa.dictionary(pa.int32(), pa.string())
    return pa.timestamp("us", "UTC") if column in view.identity() else pa.float64()


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))
