"""Packed records in a SQLite file of their own beside Feast's; readers never wait for a writer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, local
from typing import Any

from framework_feast.records import Kind, Merge, RecordStore, chunks

_SCHEMA = """
CREATE TABLE IF NOT EXISTS newest (key BLOB PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS window (key BLOB PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, text TEXT NOT NULL);
"""
#: Keys of one statement; SQLite allows 32,766 at least.
_AT_ONCE = 10_000
#: Newest rows that are read without a thread.
_INLINE = 256
#: How long a writer waits for another one, in seconds.
_PATIENCE = 60.0


class SqliteRecords(RecordStore):
    """Each thread that reads has a connection of its own."""

    def __init__(self, project: str, online: Mapping[str, Any], timeout: float, connections: int) -> None:
        super().__init__(project, online, timeout, connections)
        path = Path(online.get("path", "data/online.db"))
        self._path = path.with_name(f"{path.stem}-{project}.packed.db").absolute()
        self._lock = Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._opened: list[sqlite3.Connection] = []
        self._own = local()

    @property
    def place(self) -> str:
        return f"the online store {self._path}"

    async def read(self, kind: Kind, keys: Sequence[bytes]) -> list[bytes | None]:
        """A small read takes less time than handing it to a thread: it waits for no lock and, as a rule, for no disk."""
        if kind == "newest" and len(keys) <= _INLINE:
            return self._read(kind, keys)
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self.connections, thread_name_prefix="records")
            threads = self._threads
        return await asyncio.get_running_loop().run_in_executor(threads, self._read, kind, keys)

    def _read(self, kind: Kind, keys: Sequence[bytes]) -> list[bytes | None]:
        if not hasattr(self._own, "connection"):
            if not self._path.is_file():
                return [None] * len(keys)  # nothing has been materialized yet
            self._own.connection = self._connect(self._path, "ro")
            with self._lock:
                self._opened.append(self._own.connection)
        return self._select(self._own.connection, kind, keys)

    @staticmethod
    def _select(connection: sqlite3.Connection, kind: Kind, keys: Sequence[bytes]) -> list[bytes | None]:
        found: dict[bytes, bytes] = {}
        for part in chunks(keys, _AT_ONCE):
            places = ",".join("?" * len(part))
            found.update(connection.execute(f"SELECT key, record FROM {kind} WHERE key IN ({places})", part))  # noqa: S608
        return [found.get(key) for key in keys]

    @staticmethod
    def _connect(path: Path, mode: str) -> sqlite3.Connection:
        uri = f"{path.as_uri()}?mode={mode}"
        return sqlite3.connect(uri, uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)

    def _create(self) -> None:
        """Made beside its place and linked into it whole: SQLite refuses some of the writers that switch one file to WAL at once."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".records-", dir=self._path.parent) as folder:
            made = Path(folder) / self._path.name
            connection = self._connect(made, "rwc")
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_SCHEMA)
            finally:
                connection.close()
            with suppress(FileExistsError):  # another writer was first
                self._path.hardlink_to(made)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        if not self._path.is_file():
            self._create()
        connection = self._connect(self._path, "rw")
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()  # what is not committed is undone

    def update(self, keys: Sequence[bytes], merge: Merge) -> None:
        with self._writing() as connection:
            held = [self._select(connection, kind, keys) for kind in ("newest", "window")]
            made = merge(list(zip(*held, strict=True)))
            for place, kind in enumerate(("newest", "window")):
                rows = [(key, pair[place]) for key, pair in zip(keys, made, strict=True) if pair[place] is not None]
                connection.executemany(f"INSERT OR REPLACE INTO {kind} VALUES (?, ?)", rows)  # noqa: S608

    def mark(self, name: str) -> str | None:
        if not self._path.is_file():
            return None
        with self._writing() as connection:
            row = connection.execute("SELECT text FROM marks WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_mark(self, name: str, text: str) -> None:
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, text))

    async def close(self) -> None:
        with self._lock:
            threads, self._threads = self._threads, None
            opened, self._opened, self._own = self._opened, [], local()
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
        for connection in opened:
            connection.close()
