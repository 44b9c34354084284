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
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv as pacsv
from psycopg import sql

from framework.errors import DataError, FrameworkError, one_line
from framework.interfaces.ledger import Count, Ledger, LedgerCounts, LedgerWriter
from framework.monitoring.ledger_buffer import BufferedWriter, LaterError
from framework.monitoring.ledger_counts import read_counts
from framework.secrets import masked
from framework_sql.options import PostgresLedgerOptions

#: Seconds that a connection, and any one statement of a writer, may take.
_PATIENCE = 10
#: Seconds between two looks at what is too old or too much.
_TIDY = 600.0
#: Flushes that a process may miss before it is taken for dead, and a server's own patience.
_MISSED, _SILENCE = 3, 60.0
#: Bytes of text that are parsed at a time.
_BLOCK = 8 << 20
_MICROSECONDS = "(extract(epoch FROM {}) * 1000000)::bigint"


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
        table = _table(self.options, name)
        with _reading(), _connected(self.options) as connection:
            types = {
                column: kind
                for column, kind in _columns(connection, table).items()
                if any(_means(pattern, column) for pattern in columns)
            }
            if types:
                yield from _pieces(connection, table, types, since)

    def counts(self, name: str, state: Path) -> LedgerCounts:
        table = _table(self.options, name)
        folder = _folder(state, name)
        with _reading(), _connected(self.options) as connection:
            if not _columns(connection, _processes(table)):
                return _counted(folder)
            alive = _settle(connection, table, folder)
            missing = waiting = 0
            statement = sql.SQL(
                "SELECT process, offered, accounted, lost, ended OR seen < now() - %s FROM {}"
            ).format(_quoted(_processes(table)))
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
        self._place = _table(options, name)
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
                    _copy(connection, self._place, table)
                _account(connection, self._place, (self.process, self._offered, after, lost))
        except psycopg.OperationalError as error:
            self._disconnect()
            raise LaterError(_said(error)) from error
        except psycopg.Error as error:
            self._disconnect()  # what it knows of the table may be wrong
            raise FrameworkError(_said(error)) from error

    def tidy(self) -> None:
        if monotonic() < self._tidy or self._connection is None:
            return
        self._tidy = monotonic() + _TIDY
        try:
            _settle(self._connection, self._place, self._counted)
            forget(self._connection, self._place, self._limits)
        except psycopg.Error as error:
            self._disconnect()
            raise FrameworkError(_said(error)) from error
        self._days.clear()

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.execute(
                    sql.SQL("UPDATE {} SET ended = true WHERE process = %s").format(
                        _quoted(_processes(self._place))
                    ),
                    [self.process],
                )
        self._disconnect()

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = _connect(self._limits)
            self._connection.execute(f"SET statement_timeout = {1000 * _PATIENCE}")
            self._known, self._days = {}, set()
            _create_processes(self._connection, self._place)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
        self._connection = None

    def _prepare(self, connection: psycopg.Connection[Any], table: pa.Table) -> None:
        """Make the table, its new columns, and the partitions of new days."""
        types = {field.name: _type(field.type) for field in table.schema}
        days = {at.date() for at in table["at"].unique().to_pylist()}
        if types.items() <= self._known.items() and days <= self._days:
            return
        _lock(connection, self._place)
        head = sql.SQL(", ").join(
            sql.SQL("{} {}").format(_quoted(name), sql.SQL(kind)) for name, kind in types.items()
        )
        parent = _quoted(self._place)
        connection.execute(
            sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}) PARTITION BY RANGE (at)").format(
                parent, head
            )
        )
        for name, kind in types.items():
            connection.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}").format(
                    parent, _quoted(name), sql.SQL(kind)
                )
            )
        for day in days:
            connection.execute(
                sql.SQL(
                    "CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})"
                ).format(
                    _quoted(f"{self._place}_{day:%Y%m%d}"),
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
        _lock(connection, table)
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
                connection.execute(sql.SQL("DROP TABLE {}").format(_quoted(part)))
        connection.execute(
            sql.SQL("DELETE FROM {} WHERE seen < now() - %s").format(_quoted(_processes(table))),
            [timedelta(days=options.days)],
        )


def _folder(state: Path, name: str) -> Path:
    """Name the folder in which the processes of this machine count what they are offered."""
    return state / "serving" / "ledger-counts" / name


def _table(options: PostgresLedgerOptions, name: str) -> str:
    """Name the table; PostgreSQL would cut a long name at 63 bytes."""
    table = f"{options.table}_{name}"
    if len(table.encode()) > 40:
        mark = hashlib.sha256(table.encode()).hexdigest()[:8]
        table = f"{table.encode()[:31].decode(errors='ignore')}_{mark}"
    return table


def _processes(table: str) -> str:
    return f"{table}_processes"


def _quoted(name: str) -> sql.Identifier:
    return sql.Identifier(name)


def _said(error: Exception) -> str:
    return masked(f"PostgreSQL: {one_line(error)}")


def _connect(options: PostgresLedgerOptions) -> psycopg.Connection[Any]:
    return psycopg.connect(
        options.url,
        autocommit=True,
        connect_timeout=_PATIENCE,
        application_name="framework ledger",
        keepalives_idle=_PATIENCE,
        tcp_user_timeout=1000 * _PATIENCE,
    )


@contextlib.contextmanager
def _connected(options: PostgresLedgerOptions) -> Iterator[psycopg.Connection[Any]]:
    with _connect(options) as connection:
        yield connection


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise DataError(f"ledger=postgresql cannot be read: {_said(error)}") from error


def _lock(connection: psycopg.Connection[Any], table: str) -> None:
    """Keep everybody else from changing the form of the table until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [table])


def _create_processes(connection: psycopg.Connection[Any], table: str) -> None:
    with connection.transaction():
        _lock(connection, table)
        connection.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (process text PRIMARY KEY, offered bigint NOT NULL, "
                "accounted bigint NOT NULL, lost bigint NOT NULL, seen timestamptz NOT NULL, "
                "ended boolean NOT NULL)"
            ).format(_quoted(_processes(table)))
        )


def _account(
    connection: psycopg.Connection[Any], table: str, counts: tuple[str, int, int, int]
) -> None:
    connection.execute(
        sql.SQL(
            "INSERT INTO {} AS p VALUES (%s, %s, %s, %s, now(), false) ON CONFLICT (process) "
            "DO UPDATE SET offered = greatest(p.offered, excluded.offered), "
            "accounted = greatest(p.accounted, excluded.accounted), "
            "lost = greatest(p.lost, excluded.lost), seen = now()"
        ).format(_quoted(_processes(table))),
        counts,
    )


def _settle(
    connection: psycopg.Connection[Any], table: str, folder: Path
) -> dict[str, tuple[int, bool]]:
    """Tell the database of this machine's processes that have ended; their files go.

    Returns:
        Of those that are alive how many forecasts were offered, and True.
    """
    alive = {}
    for one in read_counts(folder):
        if one.alive:
            alive[one.process] = one.offered, True
            continue
        # what is accounted for is in the database; this file may be older
        _account(connection, table, (one.process, one.offered, 0, one.lost))
        connection.execute(
            sql.SQL("UPDATE {} SET ended = true WHERE process = %s").format(
                _quoted(_processes(table))
            ),
            [one.process],
        )
        one.path.unlink(missing_ok=True)
    return alive


def _counted(folder: Path) -> LedgerCounts:
    """Count by the files alone, where the database has no table yet."""
    missing = waiting = 0
    for one in read_counts(folder):
        open_ = max(one.offered - one.accounted, 0)
        missing += one.lost + (0 if one.alive else open_)
        waiting += open_ if one.alive else 0
    return LedgerCounts(missing, waiting)


def _type(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "timestamptz"
    if pa.types.is_floating(kind):
        return "double precision"
    if pa.types.is_boolean(kind):
        return "boolean"
    return "bigint" if pa.types.is_integer(kind) else "text"


#: Of each type of PostgreSQL what it is in Arrow.
_ARROW = {
    "timestamp with time zone": pa.int64(),  # microseconds, as text would be slow to read
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "bigint": pa.int64(),
    "text": pa.string(),
}


def _columns(connection: psycopg.Connection[Any], table: str) -> dict[str, str]:
    rows = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_name = %s AND table_schema = ANY (current_schemas(false))",
        [table],
    )
    return {name: kind for name, kind in rows.fetchall() if kind in _ARROW}


def _means(column: str, name: str) -> bool:
    return name.startswith(column[:-1]) if column.endswith("*") else name == column


def _copy(connection: psycopg.Connection[Any], place: str, table: pa.Table) -> None:
    text = io.BytesIO()
    pacsv.write_csv(table, text, pacsv.WriteOptions(include_header=False))
    names = sql.SQL(", ").join(map(_quoted, table.column_names))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(_quoted(place), names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(text.getbuffer())


class _Text(io.RawIOBase):
    """A file of what PostgreSQL copies out."""

    def __init__(self, parts: Iterator[Any]) -> None:
        self._parts, self._left = parts, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._left = memoryview(part)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _pieces(
    connection: psycopg.Connection[Any],
    table: str,
    types: dict[str, str],
    since: datetime | None,
) -> Iterator[pa.Table]:
    times = [name for name, kind in types.items() if kind == "timestamp with time zone"]
    column_list = sql.SQL(", ").join(
        sql.SQL(_MICROSECONDS).format(_quoted(name)) if name in times else _quoted(name)
        for name in types
    )
    where = (
        sql.SQL("")
        if since is None
        else sql.SQL(" WHERE at >= {}").format(sql.Literal(since.astimezone(UTC).isoformat()))
    )
    statement = sql.SQL("COPY (SELECT {} FROM {}{}) TO STDOUT (FORMAT csv)").format(
        column_list, _quoted(table), where
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        stream = io.BufferedReader(_Text(iter(copy)), _BLOCK)
        if not stream.peek(1):
            return
        reader = pacsv.open_csv(
            stream,
            pacsv.ReadOptions(column_names=list(types), block_size=_BLOCK),
            pacsv.ParseOptions(newlines_in_values=True),
            pacsv.ConvertOptions(
                column_types={name: _ARROW[kind] for name, kind in types.items()},
                null_values=[""],
                true_values=["t"],
                false_values=["f"],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        for batch in reader:
            piece = pa.Table.from_batches([batch])
            for name in times:
                column = piece[name].cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
                piece = piece.set_column(piece.column_names.index(name), name, column)
            yield piece
