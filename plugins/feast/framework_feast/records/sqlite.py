"""Packed records in a SQLite file of their own beside Feast's; readers never wait for a writer.

A reader looks at the file each time: one that was removed is no store, and one that took its place
is opened anew.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, local
from typing import Any, TypeVar

from framework.errors import DataError
from framework.files import exclusive
from framework_feast.records.records import Kind, Merge, RecordStore, chunks, key_range

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS newest (key BLOB PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS window (key BLOB PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, text TEXT NOT NULL);
"""
#: Keys of one statement; SQLite allows 32,766 at least.
_AT_ONCE = 10_000
#: Newest rows, and bytes of windows, that are read without a thread.
_INLINE, _INLINE_BYTES = 256, 4 * 1024 * 1024
#: KiB of the file that a connection keeps at most. With SQLite's own 2,000 the windows of 100
#: entities were read from the file each time.
_CACHE = 16_384
#: How long a writer waits for another one, in seconds.
_PATIENCE = 60.0


#: What tells one state of a file from another: device, inode, time of the last change, size.
Stamp = tuple[int, int, int, int]


class SqliteRecords(RecordStore):
    """Each thread that reads has a connection of its own."""

    def __init__(
        self, project: str, online: Mapping[str, Any], timeout: float, connections: int
    ) -> None:
        super().__init__(project, online, timeout, connections)
        self._feast_path = Path(online.get("path", "data/online.db")).absolute()
        self._path = self._feast_path.with_name(f"{self._feast_path.stem}-{project}.packed.db")
        self._lock = Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._opened: dict[int, sqlite3.Connection] = {}
        self._own = local()
        self._longest = _INLINE_BYTES  # bytes of a window, as of the last read

    @property
    def place(self) -> str:
        return f"the online store {self._path}"

    async def read(self, kind: Kind, keys: Sequence[bytes]) -> list[bytes | None]:
        """A small read takes less time than handing it to a thread: it waits for no lock and, as a
        rule, for no disk.
        """
        if kind == "newest":
            if len(keys) <= _INLINE:
                return self._read(kind, keys)
            return await self._in_thread(self._read, kind, keys)
        records = (
            self._read(kind, keys)
            if len(keys) * self._longest < _INLINE_BYTES
            else await self._in_thread(self._read, kind, keys)
        )
        self._longest = max(map(len, filter(None, records)), default=_INLINE_BYTES)
        return records

    async def holds(self, definition: str) -> bool:
        return await self._in_thread(self._holds, definition)

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self.connections, thread_name_prefix="records")
            threads = self._threads
        return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)

    def _read(self, kind: Kind, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._select(self._reader(), kind, keys)

    def _holds(self, definition: str) -> bool:
        query = "SELECT 1 FROM newest WHERE key >= ? AND key < ? LIMIT 1"
        return self._reader().execute(query, key_range(definition)).fetchone() is not None

    def _reader(self) -> sqlite3.Connection:
        """This thread's connection to the file that is there now. Raises :class:`DataError` when
        there is none.
        """
        stamp = self._stamp()
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is not None and self._own.stamp == stamp:
            return connection
        if connection is not None:
            del self._own.connection
            with self._lock:
                self._opened.pop(id(connection), None)
            connection.close()
        connection = self._connect(self._path, "ro")
        connection.execute(f"PRAGMA cache_size = -{_CACHE}")
        self._own.connection, self._own.stamp = connection, stamp
        with self._lock:
            self._opened[id(connection)] = connection
        return connection

    def _stamp(self) -> Stamp:
        """Of the records' file. It goes with Feast's own: without that the store is gone as
        well.
        """
        try:
            stat = os.stat(self._path)
            os.stat(self._feast_path)
        except FileNotFoundError as error:
            raise DataError(
                f"retrieval=feast: there is no online store: {error.filename} is missing; "
                "run=materialize writes it."
            ) from None
        return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size

    @staticmethod
    def _select(
        connection: sqlite3.Connection, kind: Kind, keys: Sequence[bytes]
    ) -> list[bytes | None]:
        values: dict[bytes, bytes] = {}
        for part in chunks(keys, _AT_ONCE):
            places = ",".join("?" * len(part))
            values.update(
                connection.execute(f"SELECT key, record FROM {kind} WHERE key IN ({places})", part)  # noqa: S608
            )
        return [values.get(key) for key in keys]

    @staticmethod
    def _connect(path: Path, mode: str) -> sqlite3.Connection:
        uri = f"{path.as_uri()}?mode={mode}"
        return sqlite3.connect(
            uri, uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )

    def _create(self) -> None:
        """Make the file beside its place and link it there whole, one writer at a time.

        What SQLite has left beside a file that was removed belongs to that file: it must not be
        taken for the new one's.
        """
        with exclusive(self._path.with_suffix(".lock"), self.place):
            if self._path.is_file():
                return
            self._unlink("-wal", "-shm")
            with TemporaryDirectory(prefix=".records-", dir=self._path.parent) as folder:
                new = Path(folder) / self._path.name
                connection = self._connect(new, "rwc")
                try:
                    connection.execute("PRAGMA journal_mode = WAL")
                    connection.executescript(_SCHEMA)
                finally:
                    connection.close()
                new.replace(self._path)

    def _unlink(self, *suffixes: str) -> None:
        for suffix in suffixes:
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def clear_remains(self) -> None:
        if self._path.is_file() and not self._feast_path.is_file():
            with exclusive(self._path.with_suffix(".lock"), self.place):
                self._unlink("", "-wal", "-shm")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        if not self._path.is_file():
            self._create()
        connection = self._connect(self._path, "rw")
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
            # All in one file, so that a copy of it is a copy of the store; put off while a reader
            # is at work.
            connection.execute("PRAGMA busy_timeout = 500")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()  # what is not committed is undone

    def update(self, keys: Sequence[bytes], merge: Merge) -> None:
        with self._writing() as connection:
            columns = [self._select(connection, kind, keys) for kind in ("newest", "window")]
            pairs = merge(list(zip(*columns, strict=True)))
            for place, kind in enumerate(("newest", "window")):
                rows = [
                    (key, pair[place])
                    for key, pair in zip(keys, pairs, strict=True)
                    if pair[place] is not None
                ]
                connection.executemany(f"INSERT OR REPLACE INTO {kind} VALUES (?, ?)", rows)  # noqa: S608

    def mark(self, name: str) -> str | None:
        if not (self._path.is_file() and self._feast_path.is_file()):
            return None
        with closing(self._connect(self._path, "ro")) as connection:
            row = connection.execute("SELECT text FROM marks WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_mark(self, name: str, text: str) -> None:
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, text))

    async def close(self) -> None:
        with self._lock:
            threads, self._threads = self._threads, None
            connections, self._opened, self._own = self._opened, {}, local()
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
        for connection in connections.values():
            connection.close()
