"""Reading the ledger and writing into it, inside a transaction of
:mod:`framework_mlflow.ledger.ledger`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from framework.interfaces.registry import HistoryEntry, PairVersion
from framework.pairs.manifest import HALVES, canonical
from framework_mlflow.home import Home
from framework_mlflow.ledger import queries, tables
from framework_mlflow.ledger.history import GENESIS, EntrySignature, Link, follow, now, who
from framework_mlflow.ledger.signed_entries import sign_entry

if TYPE_CHECKING:
    from framework_mlflow.keys import SigningKey


@dataclass(frozen=True, slots=True)
class Upload:
    """Files of a registration that is under way, or was when its process ended. ``begun``: ISO
    8601, UTC; ``sources``: URI by half.
    """

    pair_id: str
    sources: dict[str, str]
    begun: str
    who: str
    abandoned: bool


class LedgerReader:
    """Reads inside one transaction."""

    def __init__(self, connection: sa.Connection, home: Home) -> None:
        self._connection, self._home = connection, home

    def _rows(self, query: sa.Select[Any]) -> list[Any]:
        return list(self._connection.execute(query).mappings())

    def pairs(self, name: str | None = None) -> list[PairVersion]:
        """Newest first."""
        query, aliases = (
            sa.select(tables.pairs).where(~tables.pairs.c.removed),
            sa.select(tables.aliases).order_by(tables.aliases.c.alias),
        )
        if name is None:
            query = query.order_by(tables.pairs.c.created.desc())
        else:
            query = query.where(tables.pairs.c.name == name).order_by(tables.pairs.c.version.desc())
            aliases = aliases.where(tables.aliases.c.name == name)
        owners: dict[tuple[str, int], list[str]] = {}
        for row in self._rows(aliases):
            owners.setdefault((row["name"], row["version"]), []).append(row["alias"])
        return [
            version_of(row, tuple(owners.get((row["name"], row["version"]), ())))
            for row in self._rows(query)
        ]

    def under(self, name: str, alias: str) -> PairVersion | None:
        """Give the pair that ``alias`` points at."""
        query = queries.UNDER.params(name=name, alias=alias)
        matches = self._rows(query)
        aliases = tuple(row["alias"] for row in matches if row["alias"])
        return version_of(matches[0], aliases) if matches else None

    def names(self) -> list[str]:
        """Every name that something ever happened to."""
        return [
            row["name"]
            for row in self._rows(sa.select(tables.names.c.name).order_by(tables.names.c.name))
        ]

    def removed(self, name: str) -> dict[int, dict[str, str]]:
        """The artifact URIs by half of pairs that are no more, by number: what is left of them is
        to be deleted.
        """
        matches = self._rows(
            sa.select(tables.pairs).where(tables.pairs.c.name == name, tables.pairs.c.removed)
        )
        return {row["version"]: self._sources(row) for row in matches}

    def aliases(self, name: str) -> dict[str, int]:
        return {
            r["alias"]: r["version"]
            for r in self._rows(sa.select(tables.aliases).where(tables.aliases.c.name == name))
        }

    def level(self, name: str) -> int:
        matches = self._rows(sa.select(tables.names).where(tables.names.c.name == name))
        return int(matches[0]["level"]) if matches else 0

    def links(self, name: str) -> list[Link]:
        query = (
            sa.select(tables.history)
            .where(tables.history.c.name == name)
            .order_by(tables.history.c.number)
        )
        signatures = self._signatures(tables.signatures.c.name == name)
        return [_link(row, signatures.get(row["number"])) for row in self._rows(query)]

    def last_move(self, name: str, alias: str) -> Link | None:
        """Give the newest move of an alias, None when it never moved."""
        columns = tables.history.c
        query = (
            sa.select(tables.history)
            .where(columns.name == name, columns.alias == alias, columns.action == "move")
            .order_by(columns.number.desc())
            .limit(1)
        )
        matches = self._rows(query)
        if not matches:
            return None
        number = matches[0]["number"]
        of_entry = tables.signatures.c.number == number
        signatures = self._signatures((tables.signatures.c.name == name) & of_entry)
        return _link(matches[0], signatures.get(number))

    def _signatures(self, where: sa.ColumnElement[bool]) -> dict[int, EntrySignature]:
        if not sa.inspect(self._connection).has_table(tables.signatures.name):
            return {}
        return {
            row["number"]: EntrySignature(row["key"], row["signature"])
            for row in self._rows(sa.select(tables.signatures).where(where))
        }

    def chain_end(self, name: str) -> tuple[int, str]:
        """Count the entries of the history of ``name``, and the hash of the last, as recorded
        beside it.
        """
        matches = self._rows(sa.select(tables.names).where(tables.names.c.name == name))
        return (int(matches[0]["entries"]), str(matches[0]["head"])) if matches else (0, GENESIS)

    def unmirrored_pairs(self, name: str) -> list[PairVersion]:
        query = sa.select(tables.pairs).where(
            tables.pairs.c.name == name, ~tables.pairs.c.mirrored, ~tables.pairs.c.removed
        )
        return [version_of(row, ()) for row in self._rows(query)]

    def unmirrored_aliases(self, name: str) -> dict[str, int]:
        query = sa.select(tables.aliases).where(
            tables.aliases.c.name == name, ~tables.aliases.c.mirrored
        )
        return {row["alias"]: row["version"] for row in self._rows(query)}

    def uploads(self, name: str) -> list[Upload]:
        """List what was announced and is no pair yet, the oldest first."""
        query = (
            sa.select(tables.uploads)
            .where(tables.uploads.c.name == name)
            .order_by(tables.uploads.c.begun)
        )
        return [
            Upload(
                row["pair_id"],
                self._sources(row),
                row["begun"],
                row["who"],
                bool(row["abandoned"]),
            )
            for row in self._rows(query)
        ]

    def _sources(self, row: Any) -> dict[str, str]:
        source = self.reader_of_sources()
        return {half: source(row[half]) for half in HALVES}

    def reader_of_sources(self) -> Callable[[str], str]:
        """Give a function from what was recorded to what it means now."""
        return partial(self._home.source, former=self.former_homes())

    def former_homes(self) -> tuple[Path, ...]:
        """List the folders that the ledger's was called before it was moved or copied."""
        return self._home.former(row["uri"] for row in self._rows(sa.select(tables.stores)))

    def format(self) -> int:
        """Give the number of the form in which the ledger is written."""
        if not sa.inspect(self._connection).has_table(tables.formats.name):
            return 1
        return int(self._rows(sa.select(tables.formats.c.number))[0]["number"])

    def store_is_set_up(self, uri: str) -> bool:
        return bool(self._rows(sa.select(tables.stores).where(tables.stores.c.uri == uri)))


class LedgerWriter(LedgerReader):
    """Writes under the lock; nothing is there before the commit. ``key`` signs what is remembered,
    None: nothing does.
    """

    def __init__(
        self, connection: sa.Connection, home: Home, key: SigningKey | None = None
    ) -> None:
        super().__init__(connection, home)
        self._key = key

    def add_pair(self, pair: PairVersion, sources: dict[str, str]) -> None:
        row = {
            "name": pair.name,
            "version": pair.version,
            "pair_id": pair.pair_id,
            "digest": pair.digest,
            "run_id": pair.run_id,
        }
        self._connection.execute(
            tables.pairs.insert().values(
                **row,
                **self._recorded(sources),
                created=pair.created,
                mirrored=False,
                removed=False,
            )
        )
        self.set_level(pair.name, pair.version)

    def announce_upload(self, name: str, pair_id: str, sources: Mapping[str, str]) -> None:
        """Before the first byte is stored: what is under way is known, and found when its process
        dies.
        """
        self._name_row(name)
        row = {"name": name, "pair_id": pair_id, "begun": now(), "who": who(), "abandoned": False}
        self._connection.execute(tables.uploads.insert().values(**row, **self._recorded(sources)))

    def _recorded(self, sources: Mapping[str, str]) -> dict[str, str]:
        return {half: self._home.recorded(source) for half, source in sources.items()}

    def claim_upload(self, pair_id: str) -> bool:
        """The upload becomes a pair. False when it was given up meanwhile: its files may be
        gone.
        """
        where = (tables.uploads.c.pair_id == pair_id) & ~tables.uploads.c.abandoned
        return self._connection.execute(tables.uploads.delete().where(where)).rowcount == 1

    def abandon_upload(self, pair_id: str) -> None:
        """It never becomes a pair from the commit on; its files are to be deleted."""
        self._connection.execute(
            tables.uploads.update()
            .where(tables.uploads.c.pair_id == pair_id)
            .values(abandoned=True)
        )

    def forget_upload(self, pair_id: str) -> None:
        self._connection.execute(tables.uploads.delete().where(tables.uploads.c.pair_id == pair_id))

    def remove_pair(self, name: str, version: int) -> None:
        """Make it no pair from the commit on; :meth:`LedgerReader.removed` lists what to delete."""
        where = (tables.pairs.c.name == name) & (tables.pairs.c.version == version)
        self._connection.execute(tables.pairs.update().where(where).values(removed=True))

    def forget_removed(self, name: str, version: int) -> None:
        self._connection.execute(
            tables.pairs.delete().where(
                tables.pairs.c.name == name, tables.pairs.c.version == version
            )
        )

    def set_level(self, name: str, level: int) -> None:
        self._name_row(name)
        self._connection.execute(
            tables.names.update().where(tables.names.c.name == name).values(level=level)
        )

    def set_alias(self, name: str, alias: str, version: int) -> None:
        where = (tables.aliases.c.name == name) & (tables.aliases.c.alias == alias)
        changed = self._connection.execute(
            tables.aliases.update().where(where).values(version=version, mirrored=False)
        )
        if changed.rowcount == 0:
            self._connection.execute(
                tables.aliases.insert().values(
                    name=name, alias=alias, version=version, mirrored=False
                )
            )

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
        link = follow(
            count + 1,
            head,
            HistoryEntry(now(), who(), action, name, alias, before, after, reason, verdict, digest),
        )
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
        if self._key is not None:
            signature = sign_entry(link, self._key)
            self._connection.execute(CreateTable(tables.signatures, if_not_exists=True))
            self._connection.execute(
                tables.signatures.insert().values(
                    name=name, number=link.number, key=signature.key, signature=signature.value
                )
            )
        end = {"entries": link.number, "head": link.hash}
        self._connection.execute(
            tables.names.update().where(tables.names.c.name == name).values(**end)
        )
        return entry

    def set_format(self) -> None:
        """Record that the ledger is written in the form of this version."""
        tables.formats.create(self._connection, checkfirst=True)
        self._connection.execute(tables.formats.delete())
        self._connection.execute(
            tables.formats.insert().values(what="ledger", number=tables.FORMAT)
        )

    def upgrade(self) -> int:
        """Record every source as this version does. Returns the number of pairs and uploads that
        changed.
        """
        count = 0
        for table in (tables.pairs, tables.uploads):
            for row in self._rows(sa.select(table)):
                sources = self._recorded(self._sources(row))
                if any(row[half] != sources[half] for half in HALVES):
                    where = table.c.pair_id == row["pair_id"]
                    self._connection.execute(table.update().where(where).values(**sources))
                    count += 1
        self.set_format()
        return count

    def store_was_set_up(self, uri: str, mlflow: str) -> None:
        self._connection.execute(tables.stores.insert().values(uri=uri, mlflow=mlflow))

    def _name_row(self, name: str) -> None:
        if not self._rows(sa.select(tables.names.c.name).where(tables.names.c.name == name)):
            self._connection.execute(
                tables.names.insert().values(name=name, level=0, entries=0, head=GENESIS)
            )


def version_of(row: Any, aliases: tuple[str, ...]) -> PairVersion:
    return PairVersion(
        row["name"],
        row["version"],
        row["pair_id"],
        row["digest"],
        row["run_id"],
        row["created"],
        aliases,
    )


def _link(row: Any, signature: EntrySignature | None) -> Link:
    verdict = None if row["verdict"] is None else json.loads(row["verdict"])
    fields = ("at", "who", "action", "name", "alias", "before", "after", "reason")
    entry = HistoryEntry(
        **{field: row[field] for field in fields}, verdict=verdict, digest=row["digest"]
    )
    return Link(row["number"], entry, row["previous"], row["hash"], signature)
