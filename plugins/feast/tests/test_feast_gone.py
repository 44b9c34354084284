"""Stores that are removed, replaced, restored or emptied under a process that goes on reading
them.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import numpy as np
import psycopg
import pytest
from feast_cases import DAY, FEATURES, FIRST, STORES, ask, everyone, ingest, options, rows, schema
from framework_feast.retrieval import FeastRetrieval
from redis import Redis

from framework.data.vocabulary import OK, TIME
from framework.errors import DataError

TABLES = rows(2, 12, gaps=False)
ENTITY = everyone(TABLES)[:1]


class Reader:
    """A strategy whose connections stay open from one question to the next, as a server's do."""

    def __init__(self, strategy: FeastRetrieval) -> None:
        self.strategy, self.loop = strategy, asyncio.new_event_loop()

    def origin(self, length: int = 1) -> str:
        context = self.loop.run_until_complete(
            self.strategy.context(FEATURES, schema(length), ENTITY, None)
        )
        assert context.status == [OK], context.detail
        return str(context.origins[0].astype("M8[D]"))

    def has_entities(self) -> bool:
        return self.loop.run_until_complete(self.strategy.has_entities(FEATURES))

    def is_empty(self) -> bool:
        """Whether it has no entities, or is no store, and says what makes it one."""
        try:
            return not self.has_entities()
        except DataError as error:
            return "run=materialize" in str(error)

    def close(self) -> None:
        self.loop.run_until_complete(self.strategy.close())
        self.loop.close()


def filled(
    root: Path, days: int = 12, kind: str = "sqlite", place: str = "", **changes: object
) -> FeastRetrieval:
    """Everything is ingested, and materialized up to a day."""
    strategy = FeastRetrieval(options(root, kind, place, **changes))
    ingest(strategy, TABLES)
    strategy.materialize(FEATURES, None, (FIRST + (days - 1) * DAY).to_pydatetime(), lambda _: None)
    return strategy


def files(root: Path) -> list[Path]:
    return sorted((root / "feast").glob("online*"))


@pytest.mark.parametrize("read", ["packed", "sdk"])
@pytest.mark.parametrize("which", ["online", "online.db", "folder"])
def test_a_removed_sqlite_store_is_gone_until_it_is_materialized_anew(
    tmp_path: Path, read: str, which: str
) -> None:
    reader = Reader(filled(tmp_path, read=read))
    assert reader.origin() == "2024-03-12"
    assert reader.has_entities()
    if which == "folder":
        shutil.rmtree(tmp_path / "feast")
    for path in files(tmp_path):
        if which in {"online", path.name}:
            path.unlink()
    with pytest.raises(DataError, match="retrieval=feast: "):
        reader.origin()
    filled(tmp_path, 8)
    assert reader.origin() == "2024-03-08"
    reader.close()


@pytest.mark.parametrize("length", [1, 3])
def test_another_file_in_its_place_is_read_at_once(tmp_path: Path, length: int) -> None:
    """Removed and written again between two questions, and what SQLite has left beside the old file
    is not taken for the new one's.
    """
    reader = Reader(filled(tmp_path, window=5))
    assert reader.origin(length) == "2024-03-12"
    next(path for path in files(tmp_path) if path.name.endswith(".packed.db")).unlink()
    filled(tmp_path, 7, window=5)
    assert reader.origin(length) == "2024-03-07"
    reader.close()


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_an_older_copy_that_is_restored_is_what_is_read(tmp_path: Path, how: str) -> None:
    reader = Reader(filled(tmp_path, 6))
    assert reader.origin() == "2024-03-06"
    packed = next(path for path in files(tmp_path) if path.name.endswith(".packed.db"))
    copy = tmp_path / "copy.db"
    shutil.copyfile(packed, copy)  # of a store that is being read: no other file belongs to it
    filled(tmp_path, 12)
    assert reader.origin() == "2024-03-12"
    if how == "moved":
        copy.replace(packed)
    else:
        shutil.copyfile(copy, packed)
    assert reader.origin() == "2024-03-06"
    filled(tmp_path, 9)
    assert reader.origin() == "2024-03-09"
    reader.close()


def test_a_replaced_registry_is_read_by_the_sdk(tmp_path: Path) -> None:
    reader = Reader(filled(tmp_path, read="sdk"))
    assert reader.origin() == "2024-03-12"
    registry = tmp_path / "feast" / "registry.db"
    content = registry.read_bytes()
    registry.unlink()
    with pytest.raises(DataError, match="retrieval=feast: "):
        reader.origin()
    registry.write_bytes(content)
    assert reader.origin() == "2024-03-12"
    reader.close()


def test_a_stream_goes_on_in_the_store_that_is_there(tmp_path: Path) -> None:
    """What Feast's SDK reads is written into the new file, too."""
    strategy = filled(tmp_path, 6)
    for path in files(tmp_path):
        path.unlink()
    for name, table in TABLES.items():
        strategy.push(FEATURES, name, table[table[TIME] == FIRST + 8 * DAY])
    for read in ("packed", "sdk"):
        assert ask(FeastRetrieval(options(tmp_path, read=read)), ENTITY).origins[
            0
        ] == np.datetime64("2024-03-09")


def empty(kind: str, place: str, root: Path) -> None:
    if kind == "redis":
        host, _, port = place.partition(":")
        with Redis(host, int(port)) as client:
            client.flushall()
    elif kind == "postgres":
        project = options(root).store["project"]
        with psycopg.connect(f"postgresql://tests:tests@{place}") as connection:
            connection.execute(f'TRUNCATE "{project}_packed_newest", "{project}_packed_window"')
    else:
        for path in files(root):
            path.unlink()


@pytest.mark.parametrize("kind", STORES)
def test_an_emptied_store_has_no_entities_and_says_so(
    kind: str, place: str, tmp_path: Path
) -> None:
    reader = Reader(filled(tmp_path, kind=kind, place=place))
    assert reader.has_entities()
    empty(kind, place, tmp_path)
    assert reader.is_empty()
    with pytest.raises(DataError, match="run=materialize"):
        reader.origin()
    filled(tmp_path, 7, kind, place)
    assert reader.has_entities()
    assert reader.origin() == "2024-03-07"
    reader.close()


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("read", ["packed", "sdk"])
def test_a_store_that_nothing_was_written_to_has_none(
    kind: str, place: str, read: str, tmp_path: Path
) -> None:
    strategy = FeastRetrieval(options(tmp_path, kind, place, read=read))
    ingest(strategy, TABLES)
    reader = Reader(strategy)
    assert reader.is_empty()
    filled(tmp_path, kind=kind, place=place)
    assert reader.has_entities()
    reader.close()


def test_records_of_an_earlier_version_are_found_without_its_note(
    redis_place: str, tmp_path: Path
) -> None:
    reader = Reader(filled(tmp_path, kind="redis", place=redis_place))
    host, _, port = redis_place.partition(":")
    with Redis(host, int(port)) as client:
        notes = list(client.scan_iter(match=f"{options(tmp_path).store['project']}:holds:*"))
        assert notes
        client.delete(*notes)
    assert reader.has_entities()
    reader.close()
