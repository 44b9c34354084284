"""The ledger: the database whose commit is the moment at which a pair exists and an alias has
moved.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.schema import CreateTable

from framework.errors import RegistryError, one_line
from framework.files import PATIENCE, LockedError, exclusive, holder, this_process
from framework.interfaces.registry import PairVersion
from framework.pairs.manifest import HALVES
from framework_mlflow.home import Home
from framework_mlflow.ledger import queries, tables
from framework_mlflow.ledger.history import Link
from framework_mlflow.ledger.prepared_query import rows
from framework_mlflow.ledger.transaction import LedgerReader, LedgerWriter, version_of
from framework_mlflow.paths import sqlite_file

if TYPE_CHECKING:
    from framework_mlflow.keys import SigningKey

#: Sessions that hold PostgreSQL's lock of a key, but for the one that asks.
_HOLDERS = sa.text(
    "SELECT pid, application_name, xact_start FROM pg_stat_activity WHERE pid <> "
    "pg_backend_pid() AND pid IN ("
    "SELECT pid FROM pg_locks WHERE granted AND locktype = 'advisory' AND ((classid::bigint "
    "<< 32) | objid::bigint) = :key "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
)

#: PostgreSQL's code of a lock that was not free in time.
_NOT_AVAILABLE = "55P03"


def connect(uri: str) -> sa.Engine:
    """An engine whose SQLite transactions begin when they say so, and write-locked where
    ``immediate`` asks for it.
    """
    if not uri.startswith("sqlite"):
        return sa.create_engine(uri, pool_pre_ping=True)
    engine = sa.create_engine(uri, connect_args={"timeout": PATIENCE})

    def opened_by() -> tuple[int, int]:
        return os.getpid(), os.stat(str(engine.url.database)).st_ino

    @sa.event.listens_for(engine, "connect")
    def no_implicit_transactions(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        record.info["opened by"] = opened_by()

    @sa.event.listens_for(engine, "checkout")
    def only_the_file_that_is_there(_connection: Any, record: Any, _proxy: Any) -> None:
        """SQLite forbids a connection across a fork; and one to a deleted file would go on reading
        it.
        """
        try:
            same = record.info["opened by"] == opened_by()
        except FileNotFoundError:
            same = False
        if not same:
            raise sa.exc.DisconnectionError("another process or another file")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.connection.cursor().execute("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


@dataclass(frozen=True, slots=True)
class Registered:
    """A complete pair, and the artifact URI of each half: as it is now, and as it was recorded."""

    pair: PairVersion
    sources: dict[str, str]
    recorded: dict[str, str]


class Ledger:
    """One ledger database. Its tables are made when it is first used. ``home``: what is recorded
    relative to. ``key`` gives what signs the history, None: nothing does.
    """

    def __init__(
        self,
        uri: str,
        home: Home,
        key: Callable[[], SigningKey | None] = lambda: None,
    ) -> None:
        self._uri, self._home, self._key = uri, home, key

    @cached_property
    def _engine(self) -> sa.Engine:
        engine = connect(self._uri)
        present = sa.inspect(engine)
        if not present.has_table(tables.uploads.name):
            with self._transaction(engine, immediate=True) as connection:
                _lock(connection, "tables")
                new = not sa.inspect(connection).has_table(tables.pairs.name)
                for table in tables.metadata.sorted_tables:
                    if new or table is not tables.formats:
                        connection.execute(CreateTable(table, if_not_exists=True))
                if new:
                    LedgerWriter(connection, self._home).set_format()
        elif present.has_table(tables.formats.name):
            with self._transaction(engine, immediate=False) as connection:
                number = LedgerReader(connection, self._home).format()
            if number > tables.FORMAT:
                raise RegistryError(
                    f"registry.ledger: it has the form {number} of a ledger, this version "
                    f"reads {tables.FORMAT}; a later version wrote it, install that one."
                )
        return engine

    @contextmanager
    def _transaction(self, engine: sa.Engine, immediate: bool) -> Iterator[sa.Connection]:
        with (
            engine.connect().execution_options(immediate=immediate) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            reason = one_line(error.orig)
            place = sqlite_file(self._uri) or sa.make_url(self._uri).render_as_string(
                hide_password=True
            )
            if "database is locked" in reason:
                owner = holder(_queue_file(self._uri))
                raise LockedError(
                    f"the ledger {place} is locked by {owner}; it was not free within "
                    f"{PATIENCE:g} s."
                ) from error
            raise RegistryError(f"registry.ledger: {place} cannot be used: {reason}") from error

    @contextmanager
    def reading(self) -> Iterator[LedgerReader]:
        """A consistent look at the ledger. Raises RegistryError when the database cannot be
        used.
        """
        with self._errors(), self._transaction(self._engine, immediate=False) as connection:
            yield LedgerReader(connection, self._home)

    def newest(self, name: str) -> PairVersion | None:
        """The complete pair with the highest number."""
        return _version(self._matches(queries.NEWEST, name=name))

    def numbered(self, name: str, version: int) -> PairVersion | None:
        return _version(self._matches(queries.NUMBERED, name=name, version=version))

    def under(self, name: str, alias: str) -> PairVersion | None:
        """The pair that ``alias`` points at."""
        return _version(self._matches(queries.UNDER, name=name, alias=alias))

    def registered(self, name: str, version: int) -> Registered | None:
        """The pair with a number, and where its files are."""
        matches = self._matches(queries.NUMBERED, name=name, version=version)
        pair = _version(matches)
        if pair is None:
            return None
        texts = {half: matches[0][half] for half in HALVES}
        return Registered(pair, self.sources(texts), texts)

    def pointed_at(self, name: str, alias: str) -> tuple[PairVersion | None, Link | None]:
        """Give the pair that ``alias`` points at and its newest move, both of one moment."""
        with self.reading() as reader:
            return reader.under(name, alias), reader.last_move(name, alias)

    def _matches(self, query: sa.Select[Any], **values: Any) -> list[dict[str, Any]]:
        with self._errors():
            return rows(self._engine, query, values)

    def former_homes(self) -> tuple[Path, ...]:
        """List the folders that the ledger's was called before it was moved or copied."""
        with self._errors():
            stores = rows(self._engine, queries.STORES, {})
        return self._home.former(store["uri"] for store in stores)

    def sources(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Give sources, by half, that the ledger or MLflow recorded as what they mean now."""
        former = self.former_homes()
        return {half: self._home.source(text, former) for half, text in texts.items()}

    @contextmanager
    def locked(self, name: str) -> Iterator[LedgerWriter]:
        """The only writer of ``name`` (on SQLite: of the ledger) until the block ends; leaving it
        without an error is the commit.
        """
        key = self._key()
        with (
            self._errors(),
            _queue(self._uri),
            self._transaction(self._engine, immediate=True) as connection,
        ):
            _lock(connection, name)
            yield LedgerWriter(connection, self._home, key)


def _version(matches: Sequence[dict[str, Any]]) -> PairVersion | None:
    """The pair of a query's rows, one for each of its aliases."""
    if not matches:
        return None
    return version_of(matches[0], tuple(row["alias"] for row in matches if row["alias"]))


@contextmanager
def _queue(uri: str) -> Iterator[None]:
    """Wait in the kernel's queue for a SQLite ledger: SQLite itself polls, and was measured to let
    one of eight writers wait for 98 s.

    Only order and speed depend on it, and a killed process leaves it at once. Raises LockedError
    after the limit of a wait.
    """
    if not uri.startswith("sqlite"):
        yield
        return
    with exclusive(_queue_file(uri), "the ledger"):
        yield


def _queue_file(uri: str) -> Path:
    return Path(f"{sqlite_file(uri)}.lock")


def _lock(connection: sa.Connection, name: str) -> None:
    """PostgreSQL's lock of a name until the transaction ends. Raises LockedError after the limit of
    a wait.
    """
    if connection.dialect.name != "postgresql":
        return
    key = int.from_bytes(
        hashlib.sha256(f"framework.ledger:{name}".encode()).digest()[:8], "big", signed=True
    )
    connection.execute(
        sa.text("SELECT set_config('application_name', :who, true)"),
        {"who": f"{this_process()[:50]} {os.getpid()}"},
    )
    connection.execute(
        sa.text("SELECT set_config('lock_timeout', :limit, true)"), {"limit": f"{PATIENCE:g}s"}
    )
    try:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _NOT_AVAILABLE:
            raise
        with connection.engine.connect() as other:
            rows = other.execute(_HOLDERS, {"key": key}).all()
        owners = ", ".join(
            f"{who or 'a session'} (PostgreSQL's process {pid}) since {since}"
            for pid, who, since in rows
        )
        raise LockedError(
            f"the ledger is locked by {owners or 'another session'}; it was not free within "
            f"{PATIENCE:g} s."
        ) from error
