"""Packed records in PostgreSQL, in tables beside Feast's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from framework.errors import DataError
from framework.files import PATIENCE, LockedError, this_process
from framework_feast.records.records import Kind, Merge, RecordStore, key_range

#: Sessions that hold what writers of a project wait for: the lock of its name, or one on the table.
_HOLDERS = """
SELECT pid, application_name, xact_start FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND pid IN (
    SELECT pid FROM pg_locks WHERE granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND (
        (locktype = 'advisory' AND ((classid::bigint << 32) | objid::bigint) = hashtext(%s))
        OR (relation = to_regclass(%s) AND mode <> 'AccessShareLock')
    )
)
"""


class PostgresRecords(RecordStore):
    """Writers of a project take turns, readers never wait."""

    def __init__(
        self, project: str, online: Mapping[str, Any], timeout: float, connections: int
    ) -> None:
        super().__init__(project, online, timeout, connections)
        schema = str(online.get("db_schema", "public"))
        self._tables = {
            part: sql.Identifier(schema, f"{project}_packed_{part}")
            for part in ("newest", "window", "marks")
        }
        self._pool: AsyncConnectionPool | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def place(self) -> str:
        return (
            "the online store postgres at "
            f"{self.online['host']}:{self.online.get('port', 5432)}/{self.online['database']}"
        )

    def _arguments(self) -> dict[str, Any]:
        online = self.online
        arguments = {
            "host": online["host"],
            "port": int(online.get("port", 5432)),
            "dbname": online["database"],
            "user": online["user"],
            "password": online["password"],
            "sslmode": online.get("sslmode", "require"),
            "sslkey": online.get("sslkey_path"),
            "sslcert": online.get("sslcert_path"),
            "sslrootcert": online.get("sslrootcert_path"),
            "connect_timeout": max(2, round(self.timeout)),  # libpq takes less than 2 for 2
        }
        return {name: value for name, value in arguments.items() if value is not None}

    async def read(self, kind: Kind, keys: Sequence[bytes]) -> list[bytes | None]:
        query = sql.SQL("SELECT key, record FROM {} WHERE key = ANY(%s)").format(self._tables[kind])
        records = dict(await self._rows(query, (list(keys),)))
        return [records.get(key) for key in keys]

    async def holds(self, definition: str) -> bool:
        query = sql.SQL("SELECT 1 FROM {} WHERE key >= %s AND key < %s LIMIT 1").format(
            self._tables["newest"]
        )
        return bool(await self._rows(query, key_range(definition)))

    async def _rows(self, query: sql.Composed, values: Sequence[Any]) -> list[Any]:
        """Raises :class:`DataError` where nothing was ever materialized."""
        pool = await self._reader()
        try:
            return await self._fetched(pool, query, values)
        except psycopg.errors.UndefinedTable:
            raise DataError(
                f"retrieval=feast: {self.place} has no packed records; run=materialize writes them."
            ) from None
        except psycopg.OperationalError:
            await pool.check()  # the server may have been away; what broke then is replaced
            return await self._fetched(pool, query, values)

    async def _fetched(
        self, pool: AsyncConnectionPool, query: sql.Composed, values: Sequence[Any]
    ) -> list[Any]:
        async with (
            pool.connection(self.timeout) as connection,
            connection.cursor(binary=True) as cursor,
        ):
            await cursor.execute(query, values)
            return await cursor.fetchall()

    async def _reader(self) -> AsyncConnectionPool:
        """One pool per event loop: connections belong to the loop that made them."""
        loop = asyncio.get_running_loop()
        if self._pool is None or self._loop is not loop:
            pool = AsyncConnectionPool(
                kwargs={**self._arguments(), "autocommit": True},
                min_size=1,
                max_size=self.connections,
                open=False,
                reconnect_timeout=self.timeout,
            )
            self._pool, self._loop = pool, loop
            await pool.open()
        return self._pool

    @contextmanager
    def _writer(self) -> Iterator[psycopg.Connection]:
        """A transaction; the tables exist, made by one of those who come first together."""
        name = f"{this_process()[:50]} {os.getpid()}"
        with (
            psycopg.connect(**self._arguments(), application_name=name) as connection,
            self._telling(),
        ):
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{PATIENCE:g}s",))
            connection.commit()
            connection.execute(
                "SELECT pg_advisory_xact_lock(hashtext(%s))", (f"{self.project}_packed",)
            )
            for part in ("newest", "window"):
                table = self._tables[part]
                connection.execute(
                    sql.SQL(
                        "CREATE TABLE IF NOT EXISTS {} (key bytea PRIMARY KEY, record bytea "
                        "NOT NULL)"
                    ).format(table)
                )
            marks = sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (name text PRIMARY KEY, text text NOT NULL)"
            ).format(self._tables["marks"])
            connection.execute(marks)
            connection.commit()
            yield connection

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Say who has what was waited for in vain."""
        try:
            yield
        except psycopg.errors.LockNotAvailable as error:
            with psycopg.connect(**self._arguments()) as connection:
                rows = connection.execute(
                    _HOLDERS, (f"{self.project}_packed", self._tables["newest"].as_string())
                ).fetchall()
            owners = ", ".join(
                f"{name or 'a session'} (PostgreSQL's process {pid}) since {since}"
                for pid, name, since in rows
            )
            raise LockedError(
                f"{self.place} is locked by {owners or 'another session'}; it was not free "
                f"within {PATIENCE:g} s."
            ) from error

    def update(self, keys: Sequence[bytes], merge: Merge) -> None:
        with self._writer() as connection:
            connection.execute(
                sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(self._tables["newest"])
            )
            columns = []
            for kind in ("newest", "window"):
                query = sql.SQL("SELECT key, record FROM {} WHERE key = ANY(%s)").format(
                    self._tables[kind]
                )
                values = dict(connection.execute(query, (list(keys),), binary=True).fetchall())
                columns.append([values.get(key) for key in keys])
            pairs = merge(list(zip(*columns, strict=True)))
            for place, kind in enumerate(("newest", "window")):
                rows = [
                    (key, pair[place])
                    for key, pair in zip(keys, pairs, strict=True)
                    if pair[place] is not None
                ]
                text = (
                    "INSERT INTO {} VALUES (%b, %b) ON CONFLICT (key) DO UPDATE SET record = "
                    "EXCLUDED.record"
                )
                with connection.cursor() as cursor:
                    cursor.executemany(sql.SQL(text).format(self._tables[kind]), rows)

    def mark(self, name: str) -> str | None:
        with self._writer() as connection:
            row = connection.execute(
                sql.SQL("SELECT text FROM {} WHERE name = %s").format(self._tables["marks"]),
                (name,),
            ).fetchone()
        return None if row is None else str(row[0])

    def set_mark(self, name: str, text: str) -> None:
        query = sql.SQL(
            "INSERT INTO {} VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET text = EXCLUDED.text"
        ).format(self._tables["marks"])
        with self._writer() as connection:
            connection.execute(query, (name, text))

    async def close(self) -> None:
        pool, loop, self._pool = self._pool, self._loop, None
        if pool is not None and loop is asyncio.get_running_loop():
            await pool.close()
