"""The ledger: the database whose commit is the moment at which a pair exists and an alias has moved."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from framework.errors import RegistryError
from framework.interfaces.values import HistoryEntry, PairVersion
from framework.locks import exclusive
from framework.pairing import HALVES, canonical
from framework_mlflow import queries, tables
from framework_mlflow.history import GENESIS, Link, follow, now, who

#: Seconds that a writer waits for the others.
PATIENCE = 120


def connect(uri: str) -> sa.Engine:
    """An engine whose SQLite transactions begin when they say so, and write-locked where ``immediate`` asks for it."""
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
        """SQLite forbids a connection across a fork; and one to a deleted file would go on reading it."""
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


class Ledger:
    """One ledger database. Its tables are made when it is first used."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    @cached_property
    def _engine(self) -> sa.Engine:
        engine = connect(self._uri)
        if not sa.inspect(engine).has_table(tables.stores.name):
            with self._transaction(engine, immediate=True) as connection:
                _lock(connection, "tables")
                for table in tables.metadata.sorted_tables:
                    connection.execute(CreateTable(table, if_not_exists=True))
        return engine

    @contextmanager
    def _transaction(self, engine: sa.Engine, immediate: bool) -> Iterator[sa.Connection]:
        with engine.connect().execution_options(immediate=immediate) as connection, connection.begin():
            yield connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            reason = " ".join(str(error.orig).split())
            place = sa.make_url(self._uri).render_as_string(hide_password=True)
            raise RegistryError(f"registry.ledger: {place} cannot be used: {reason}") from error

    @contextmanager
    def reading(self) -> Iterator[View]:
        """A consistent look at the ledger. Raises RegistryError when the database cannot be used."""
        with self._errors(), self._transaction(self._engine, immediate=False) as connection:
            yield View(connection)

    @contextmanager
    def locked(self, name: str) -> Iterator[Pen]:
        """The only writer of ``name`` (on SQLite: of the ledger) until the block ends; leaving it without an error is the commit."""
        with self._errors(), _queue(self._uri), self._transaction(self._engine, immediate=True) as connection:
            _lock(connection, name)
            yield Pen(connection)


@contextmanager
def _queue(uri: str) -> Iterator[None]:
    """Wait in the kernel's queue for a SQLite ledger: SQLite itself polls, and was measured to let one of eight writers wait for 98 s.

    Only order and speed depend on it, and a killed process leaves it at once.
    """
    if not uri.startswith("sqlite"):
        yield
        return
    with exclusive(Path(f"{sa.make_url(uri).database}.lock")):
        yield


def _lock(connection: sa.Connection, name: str) -> None:
    if connection.dialect.name == "postgresql":
        key = int.from_bytes(hashlib.sha256(f"framework.ledger:{name}".encode()).digest()[:8], "big", signed=True)
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


class View:
    """Reads inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def _rows(self, query: sa.Select[Any]) -> list[Any]:
        return list(self._connection.execute(query).mappings())

    def pairs(self, name: str | None = None) -> list[PairVersion]:
        """Newest first."""
        query, aliases = sa.select(tables.pairs).where(~tables.pairs.c.removed), sa.select(tables.aliases).order_by(tables.aliases.c.alias)
        if name is None:
            query = query.order_by(tables.pairs.c.created.desc())
        else:
            query = query.where(tables.pairs.c.name == name).order_by(tables.pairs.c.version.desc())
            aliases = aliases.where(tables.aliases.c.name == name)
        owners: dict[tuple[str, int], list[str]] = {}
        for row in self._rows(aliases):
            owners.setdefault((row["name"], row["version"]), []).append(row["alias"])
        return [_version(row, tuple(owners.get((row["name"], row["version"]), ()))) for row in self._rows(query)]

    def newest(self, name: str) -> PairVersion | None:
        """The complete pair with the highest number."""
        return self._found(queries.NEWEST, name=name)

    def numbered(self, name: str, version: int) -> PairVersion | None:
        return self._found(queries.NUMBERED, name=name, version=version)

    def under(self, name: str, alias: str) -> PairVersion | None:
        """The pair that ``alias`` points at."""
        return self._found(queries.UNDER, name=name, alias=alias)

    def _found(self, query: sa.Select[Any], **values: Any) -> PairVersion | None:
        rows = self._connection.execute(query, values).mappings().all()
        return _version(rows[0], tuple(row["alias"] for row in rows if row["alias"])) if rows else None

    def sources(self, name: str, version: int) -> dict[str, str]:
        """``{half: artifact URI}`` of a complete pair; empty when there is none of that number."""
        row = self._connection.execute(queries.NUMBERED, {"name": name, "version": version}).mappings().first()
        return {half: row[half] for half in HALVES} if row else {}

    def names(self) -> list[str]:
        """Every name that something ever happened to."""
        return [row["name"] for row in self._rows(sa.select(tables.names.c.name).order_by(tables.names.c.name))]

    def removed(self, name: str) -> dict[int, dict[str, str]]:
        """The artifact URIs by half of pairs that are no more, by number: what is left of them is to be deleted."""
        found = self._rows(sa.select(tables.pairs).where(tables.pairs.c.name == name, tables.pairs.c.removed))
        return {row["version"]: {half: row[half] for half in HALVES} for row in found}

    def aliases(self, name: str) -> dict[str, int]:
        return {r["alias"]: r["version"] for r in self._rows(sa.select(tables.aliases).where(tables.aliases.c.name == name))}

    def level(self, name: str) -> int:
        found = self._rows(sa.select(tables.names).where(tables.names.c.name == name))
        return int(found[0]["level"]) if found else 0

    def links(self, name: str) -> list[Link]:
        query = sa.select(tables.history).where(tables.history.c.name == name).order_by(tables.history.c.number)
        return [_link(row) for row in self._rows(query)]

    def chain_end(self, name: str) -> tuple[int, str]:
        """How many entries the history of ``name`` has, and the hash of the last, as recorded beside it."""
        found = self._rows(sa.select(tables.names).where(tables.names.c.name == name))
        return (int(found[0]["entries"]), str(found[0]["head"])) if found else (0, GENESIS)

    def unmirrored_pairs(self, name: str) -> list[PairVersion]:
        query = sa.select(tables.pairs).where(tables.pairs.c.name == name, ~tables.pairs.c.mirrored, ~tables.pairs.c.removed)
        return [_version(row, ()) for row in self._rows(query)]

    def unmirrored_aliases(self, name: str) -> dict[str, int]:
        query = sa.select(tables.aliases).where(tables.aliases.c.name == name, ~tables.aliases.c.mirrored)
        return {row["alias"]: row["version"] for row in self._rows(query)}

    def store_is_set_up(self, uri: str) -> bool:
        return bool(self._rows(sa.select(tables.stores).where(tables.stores.c.uri == uri)))


class Pen(View):
    """Writes under the lock; nothing is there before the commit."""

    def add_pair(self, pair: PairVersion, sources: dict[str, str]) -> None:
        row = {"name": pair.name, "version": pair.version, "pair_id": pair.pair_id, "digest": pair.digest, "run_id": pair.run_id}
        self._connection.execute(tables.pairs.insert().values(**row, **sources, created=pair.created, mirrored=False, removed=False))
        self.set_level(pair.name, pair.version)

    def remove_pair(self, name: str, version: int) -> None:
        """It is no pair from the commit on; :meth:`View.removed` keeps what is to be deleted."""
        where = (tables.pairs.c.name == name) & (tables.pairs.c.version == version)
        self._connection.execute(tables.pairs.update().where(where).values(removed=True))

    def forget_removed(self, name: str, version: int) -> None:
        self._connection.execute(tables.pairs.delete().where(tables.pairs.c.name == name, tables.pairs.c.version == version))

    def set_level(self, name: str, level: int) -> None:
        self._name_row(name)
        self._connection.execute(tables.names.update().where(tables.names.c.name == name).values(level=level))

    def set_alias(self, name: str, alias: str, version: int) -> None:
        where = (tables.aliases.c.name == name) & (tables.aliases.c.alias == alias)
        changed = self._connection.execute(tables.aliases.update().where(where).values(version=version, mirrored=False))
        if changed.rowcount == 0:
            self._connection.execute(tables.aliases.insert().values(name=name, alias=alias, version=version, mirrored=False))

    def pair_is_mirrored(self, name: str, version: int) -> None:
        where = (tables.pairs.c.name == name) & (tables.pairs.c.version == version)
        self._connection.execute(tables.pairs.update().where(where).values(mirrored=True))

    def alias_is_mirrored(self, name: str, alias: str) -> None:
        where = (tables.aliases.c.name == name) & (tables.aliases.c.alias == alias)
        self._connection.execute(tables.aliases.update().where(where).values(mirrored=True))

    def remember(
        self,
        name: str,
        action: str,
        *,
        alias: str | None = None,
        before: int | None = None,
        after: int | None = None,
        reason: str | None = None,
        verdict: dict[str, Any] | None = None,
        digest: str | None = None,
    ) -> HistoryEntry:
        """Append to the history of ``name``."""
        self._name_row(name)
        count, head = self.chain_end(name)
        link = follow(count + 1, head, HistoryEntry(now(), who(), action, name, alias, before, after, reason, verdict, digest))
        entry = link.entry
        self._connection.execute(
            tables.history.insert().values(
                name=name,
                number=link.number,
                at=entry.at,
                who=entry.who,
                action=entry.action,
                alias=alias,
                before=before,
                after=after,
                reason=reason,
                verdict=None if entry.verdict is None else canonical(entry.verdict),
                digest=digest,
                previous=link.previous,
                hash=link.hash,
            )
        )
        end = {"entries": link.number, "head": link.hash}
        self._connection.execute(tables.names.update().where(tables.names.c.name == name).values(**end))
        return entry

    def store_was_set_up(self, uri: str, mlflow: str) -> None:
        self._connection.execute(tables.stores.insert().values(uri=uri, mlflow=mlflow))

    def _name_row(self, name: str) -> None:
        if not self._rows(sa.select(tables.names.c.name).where(tables.names.c.name == name)):
            self._connection.execute(tables.names.insert().values(name=name, level=0, entries=0, head=GENESIS))


def _version(row: Any, aliases: tuple[str, ...]) -> PairVersion:
    return PairVersion(row["name"], row["version"], row["pair_id"], row["digest"], row["run_id"], row["created"], aliases)


def _link(row: Any) -> Link:
    verdict = None if row["verdict"] is None else json.loads(row["verdict"])
    fields = ("at", "who", "action", "name", "alias", "before", "after", "reason")
    entry = HistoryEntry(**{field: row[field] for field in fields}, verdict=verdict, digest=row["digest"])
    return Link(row["number"], entry, row["previous"], row["hash"])
