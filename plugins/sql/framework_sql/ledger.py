"""``ledger=postgresql``: a table for each name of pairs, partitioned by day, and one of the
processes that wrote it.

A flush writes its rows and how many forecasts it accounts for in one transaction. How many were
offered is counted by system calls in a file of the process's own machine, so that it outlives a
process that is killed: whoever reads the counts there, or serves there again, tells the database.
A process that has told nothing for some time, and whose file nobody reads, is taken for dead.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql

from framework.errors import DataError, FrameworkError
from framework.interfaces.ledger import Count, Ledger, LedgerCounts, LedgerWriter
from framework.monitoring.ledger_buffer import BufferedWriter, LaterError
from framework_sql.ledger_connections import PATIENCE, connect, lock, quoted, said
from framework_sql.ledger_processes import account, counted, create_processes, processes_of, settle
from framework_sql.ledger_rows import columns_of, copy_in, pieces, type_of
from framework_sql.options import PostgresLedgerOptions

#: Seconds between two looks at what is too old or too much.
_TIDY = 600.0
#: Flushes that a process may miss before it is taken for dead, and a server's own patience.
_MISSED, _SILENCE = 3, 60.0


class PostgresLedger(Ledger):
    """Keeps forecasts in PostgreSQL, of servers on any number of machines."""

    options: PostgresLedgerOptions

    def writer(self, name: str, state: Path, count: Count) -> LedgerWriter | None:
        if not self.options.share:
            return None
        return PostgresWriter(self.options, _folder(state, name), name, count)

    def read(
        self, name: str, state: Path, columns: Sequence[str], since: datetime | None
    ) -> Iterator[pa.Table]:
        table = table_of(self.options, name)
        with _reading(), _connected(self.options) as connection:
            types = {
                column: kind
                for column, kind in columns_of(connection, table).items()
                if any(_means(pattern, column) for pattern in columns)
            }
            if types:
                yield from pieces(connection, table, types, since)

    def counts(self, name: str, state: Path) -> LedgerCounts:
        table = table_of(self.options, name)
        folder = _folder(state, name)
        with _reading(), _connected(self.options) as connection:
            if not columns_of(connection, processes_of(table)):
                return counted(folder)
            alive = settle(connection, table, folder)
            missing = waiting = 0
            statement = sql.SQL(
                "SELECT process, offered, accounted, lost, ended OR seen < now() - %s FROM {}"
            ).format(quoted(processes_of(table)))
            silent = timedelta(seconds=_MISSED * self.options.seconds + _SILENCE)
            for process, offered, accounted, lost, ended in connection.execute(
                statement, [silent]
            ).fetchall():
                now_offered, lives = alive.pop(process, (offered, not ended))
                open_ = max(now_offered - accounted, 0)
                missing += lost + (0 if lives else open_)
                waiting += open_ if lives else 0
            # what has not written anything yet
            waiting += sum(offered for offered, _ in alive.values())
            return LedgerCounts(missing, waiting)


class PostgresWriter(BufferedWriter):
    """``folder``: for the files of counts of the pairs called ``name``."""

    def __init__(
        self, options: PostgresLedgerOptions, folder: Path, name: str, count: Count
    ) -> None:
        super().__init__(options, folder, name, count)
        self._limits, self._counted = options, folder
        self._place = table_of(options, name)
        self._connection: psycopg.Connection[Any] | None = None
        self._known: dict[str, str] = {}
        self._days: set[date] = set()
        self._tidy = monotonic()

    def store(self, table: pa.Table | None, first: int, after: int, lost: int) -> None:
        try:
            connection = self._connected()
            with connection.transaction():
                if table is not None:
                    self._prepare(connection, table)
                    copy_in(connection, self._place, table)
                account(connection, self._place, (self.process, self._offered, after, lost))
        except psycopg.OperationalError as error:
            self._disconnect()
            raise LaterError(said(error)) from error
        except psycopg.Error as error:
            self._disconnect()  # what it knows of the table may be wrong
            raise FrameworkError(said(error)) from error

    def tidy(self) -> None:
        if monotonic() < self._tidy or self._connection is None:
            return
        self._tidy = monotonic() + _TIDY
        try:
            settle(self._connection, self._place, self._counted)
            forget(self._connection, self._place, self._limits)
        except psycopg.Error as error:
            self._disconnect()
            raise FrameworkError(said(error)) from error
        self._days.clear()

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.execute(
                    sql.SQL("UPDATE {} SET ended = true WHERE process = %s").format(
                        quoted(processes_of(self._place))
                    ),
                    [self.process],
                )
        self._disconnect()

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._limits)
            self._connection.execute(f"SET statement_timeout = {1000 * PATIENCE}")
            self._known, self._days = {}, set()
            create_processes(self._connection, self._place)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
        self._connection = None

    def _prepare(self, connection: psycopg.Connection[Any], table: pa.Table) -> None:
        """Make the table, its new columns, and the partitions of new days."""
        types = {field.name: type_of(field.type) for field in table.schema}
        days = {at.date() for at in table["at"].unique().to_pylist()}
        if types.items() <= self._known.items() and days <= self._days:
            return
        lock(connection, self._place)
        head = sql.SQL(", ").join(
            sql.SQL("{} {}").format(quoted(name), sql.SQL(kind)) for name, kind in types.items()
        )
        parent = quoted(self._place)
        connection.execute(
            sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}) PARTITION BY RANGE (at)").format(
                parent, head
            )
        )
        for name, kind in types.items():
            connection.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}").format(
                    parent, quoted(name), sql.SQL(kind)
                )
            )
        for day in days:
            connection.execute(
                sql.SQL(
                    "CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})"
                ).format(
                    quoted(f"{self._place}_{day:%Y%m%d}"),
                    parent,
                    sql.Literal(f"{day} 00:00:00+00"),
                    sql.Literal(f"{day + timedelta(days=1)} 00:00:00+00"),
                )
            )
        self._known, self._days = {**self._known, **types}, self._days | days


def forget(connection: psycopg.Connection[Any], table: str, options: PostgresLedgerOptions) -> None:
    """Drop the oldest days: those older than ``days``, and those above ``megabytes``. What a
    process lost is remembered for ``days``, too.
    """
    oldest = f"{datetime.now(UTC) - timedelta(days=options.days):%Y%m%d}"
    with connection.transaction():
        lock(connection, table)
        parts = connection.execute(
            "SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_inherits i "
            "JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent "
            "WHERE p.relname = %s ORDER BY c.relname DESC",
            [table],
        ).fetchall()
        total = 0
        for part, size in parts:
            total += size
            if total > options.megabytes * 1_000_000 or part.rpartition("_")[2] < oldest:
                connection.execute(sql.SQL("DROP TABLE {}").format(quoted(part)))
        connection.execute(
            sql.SQL("DELETE FROM {} WHERE seen < now() - %s").format(quoted(processes_of(table))),
            [timedelta(days=options.days)],
        )


def _folder(state: Path, name: str) -> Path:
    """Name the folder in which the processes of this machine count what they are offered."""
    return state / "serving" / "ledger-counts" / name


def table_of(options: PostgresLedgerOptions, name: str) -> str:
    """Name the table; PostgreSQL would cut a long name at 63 bytes."""
    table = f"{options.table}_{name}"
    if len(table.encode()) > 40:
        mark = hashlib.sha256(table.encode()).hexdigest()[:8]
        table = f"{table.encode()[:31].decode(errors='ignore')}_{mark}"
    return table


@contextlib.contextmanager
def _connected(options: PostgresLedgerOptions) -> Iterator[psycopg.Connection[Any]]:
    with connect(options) as connection:
        yield connection


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise DataError(f"ledger=postgresql cannot be read: {said(error)}") from error


def _means(column: str, name: str) -> bool:
    return name.startswith(column[:-1]) if column.endswith("*") else name == column
