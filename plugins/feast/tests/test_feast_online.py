"""The packed records against Feast's SDK, late and racing writers, a killed one, and readers
meanwhile; on real servers.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feast_cases import (
    DAY,
    FEATURES,
    FIRST,
    STORES,
    ask,
    everyone,
    ingest,
    options,
    rows,
    same,
    schema,
)
from framework_feast import FeastOptions
from framework_feast.records.packed import (
    NewestRows,
    Rows,
    columns,
    decode,
    decode_newest,
    definition,
    merge,
    record_keys,
    single,
)
from framework_feast.records.records import open_records
from framework_feast.retrieval import FeastRetrieval

from framework.data.vocabulary import OK, TIME, UNKNOWN_ENTITY
from framework.errors import DataError
from framework.features.views import FeatureSet


def quiet(_: str) -> None:
    pass


@pytest.mark.parametrize("kind", STORES)
def test_packed_records_hold_what_feast_holds(kind: str, place: str, tmp_path: Path) -> None:
    strategy, tables = FeastRetrieval(options(tmp_path, kind, place)), rows(7, 20)
    ingest(strategy, tables)
    strategy.materialize(FEATURES, None, None, quiet)
    reference = FeastRetrieval(options(tmp_path, kind, place, read="sdk"))
    packed, sdk = ask(strategy, everyone(tables)), ask(reference, everyone(tables))
    assert packed.status[-1] == UNKNOWN_ENTITY
    assert packed.detail == sdk.detail
    same(packed, sdk)
    assert packed.freshness is not None
    assert sdk.freshness is not None
    for view, times in packed.freshness.times.items():
        np.testing.assert_array_equal(times, sdk.freshness.times[view])
    last = tables["weather"].groupby("shop")[TIME].max()
    assert packed.freshness.times["weather"][0] == last["s0"].tz_localize(None).to_numpy()


@pytest.mark.parametrize("kind", STORES)
def test_no_older_row_replaces_a_newer_one_and_a_correction_does(
    kind: str, place: str, tmp_path: Path
) -> None:
    strategy, tables = (
        FeastRetrieval(options(tmp_path, kind, place, window=4)),
        rows(2, 10, gaps=False),
    )
    ingest(strategy, tables)
    strategy.materialize(FEATURES, None, None, quiet)
    before = ask(strategy, everyone(tables))
    strategy.materialize(FEATURES, None, (FIRST + 3 * DAY).to_pydatetime(), quiet)
    strategy.push(FEATURES, "sales", tables["sales"].iloc[[2]].assign(y=-1.0))
    for read in ("packed", "sdk"):
        same(
            ask(FeastRetrieval(options(tmp_path, kind, place, read=read)), everyone(tables)), before
        )
    newest = tables["sales"].iloc[[9]].assign(y=123.0)
    assert newest[TIME].iloc[0] == FIRST + 9 * DAY
    strategy.push(FEATURES, "sales", newest)
    for read in ("packed", "sdk"):
        assert (
            ask(FeastRetrieval(options(tmp_path, kind, place, read=read)), everyone(tables)).past[
                0, 0, 0
            ]
            == 123.0
        )


@pytest.mark.parametrize("kind", STORES)
def test_writers_that_race_lose_no_row(kind: str, place: str, tmp_path: Path) -> None:
    given = options(tmp_path, kind, place)
    (tmp_path / "feast").mkdir()
    (
        tmp_path / "feast" / "online.db"
    ).touch()  # Feast's own; the SQLite records are read beside it only
    keys, rounds = record_keys("v", [(str(i),) for i in range(5)]), 12

    def write(writer: int) -> None:
        records = open_records(given.store, 30, 2)
        assert records is not None
        for i in range(rounds):
            new = Rows(
                np.array([i * 4 + writer]),
                np.array([[float(writer)]]),
                np.empty((1, 0), dtype=object),
                False,
            )

            def add(
                held: list[tuple[bytes | None, bytes | None]], new: Rows = new
            ) -> list[tuple[bytes | None, bytes | None]]:
                made = [merge(None if w is None else decode(w, 1, 0), new) for _, w in held]
                return [(m.last(1).encode(), m.encode()) for m in made]

            records.update(keys, add)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    reader = open_records(given.store, 30, 2)
    assert reader is not None

    async def read() -> tuple[list[bytes | None], list[bytes | None]]:
        found = await reader.read("window", keys), await reader.read("newest", keys)
        await reader.close()
        return found

    windows, newest = asyncio.run(read())
    for window in windows:
        assert window is not None
        held = decode(window, 1, 0)
        assert held.times.tolist() == list(range(4 * rounds))
        assert held.numbers[:, 0].tolist() == [float(i % 4) for i in range(4 * rounds)]
    assert {int(decode(n, 1, 0).times[0]) for n in newest if n is not None} == {4 * rounds - 1}


def test_the_first_writers_that_make_the_file_at_once_wait_for_each_other(tmp_path: Path) -> None:
    for i in range(20):
        given, keys = options(tmp_path / str(i), "sqlite", ""), record_keys("v", [("a",)])
        new = Rows(np.array([i]), np.array([[1.0]]), np.empty((1, 0), dtype=object), False)

        def write(
            writer: int, given: FeastOptions = given, keys: list[bytes] = keys, new: Rows = new
        ) -> None:
            records = open_records(given.store, 30, 2)
            assert records is not None
            records.update(keys, lambda _: [(new.last(1).encode(), new.encode())])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))


@pytest.mark.parametrize("kind", STORES)
def test_reads_succeed_while_rows_are_written(kind: str, place: str, tmp_path: Path) -> None:
    writer, tables = FeastRetrieval(options(tmp_path, kind, place)), rows(6, 12)
    ingest(writer, tables)
    writer.materialize(FEATURES, None, (FIRST + 5 * DAY).to_pydatetime(), quiet)
    stop, answers, problems = threading.Event(), [0], list[str]()

    async def read() -> None:
        readers = [
            FeastRetrieval(options(tmp_path, kind, place, read=how)) for how in ("packed", "sdk")
        ]
        while not stop.is_set():
            for reader in readers:
                context = await reader.context(FEATURES, schema(), everyone(tables)[:-1], None)
                answers[0] += 1
                problems.extend(s for s in context.status if s == UNKNOWN_ENTITY)
        for reader in readers:
            await reader.close()

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(asyncio.run, read())
        while answers[0] < 2 and not reading.done():
            stop.wait(0.01)
        for _ in range(3):
            writer.materialize(FEATURES, None, None, quiet)
        seen = answers[0]
        while answers[0] < seen + 2 and not reading.done():
            stop.wait(0.01)
        stop.set()
        reading.result()
    assert not problems


def test_incremental_begins_before_what_is_online_and_is_whole_for_a_longer_window(
    tmp_path: Path,
) -> None:
    strategy, tables = FeastRetrieval(options(tmp_path)), rows(1, 10, gaps=False)
    ingest(strategy, tables)
    late = rows(1, 12, seed=4, gaps=False)
    said: list[str] = []
    strategy.materialize(FEATURES, None, None, said.append, overlap=2 * DAY)
    assert "2024-03-01T00:00:00.000000 to 2024-03-10" in said[0]  # nothing was online yet
    ingest(strategy, {"sales": late["sales"].assign(shop="late").iloc[[6, 8]]})
    said.clear()
    assert strategy.materialize(
        FEATURES, None, None, said.append, overlap=2 * DAY, views=["sales"]
    ) == {"sales": 3}
    assert "2024-03-08T00:00:00.000000 to 2024-03-10" in said[0]
    assert ask(strategy, [{"shop": "late", "item": "x"}]).origins[0] == np.datetime64("2024-03-09")
    longer = FeastRetrieval(options(tmp_path, window=6))
    said.clear()
    longer.materialize(FEATURES, None, None, said.append, overlap=2 * DAY)
    assert "2024-03-01T00:00:00.000000 to 2024-03-10" in said[0]
    assert ask(longer, everyone(tables)[:1], 6).status == [OK]


def test_a_range_that_leaves_a_hole_is_not_what_incremental_goes_on_from(tmp_path: Path) -> None:
    strategy, tables = FeastRetrieval(options(tmp_path)), rows(1, 10, gaps=False)
    ingest(strategy, tables)
    strategy.materialize(FEATURES, None, (FIRST + 2 * DAY).to_pydatetime(), quiet)
    strategy.materialize(FEATURES, (FIRST + 8 * DAY).to_pydatetime(), None, quiet)
    said: list[str] = []
    strategy.materialize(FEATURES, None, None, said.append, overlap=DAY, views=["sales"])
    assert "2024-03-02T00:00:00.000000 to 2024-03-10" in said[0]


_KILLED = """
import sys
from pathlib import Path
from feast_cases import FEATURES, options
from framework_feast.online import materialize
from framework_feast.retrieval import FeastRetrieval

materialize._BATCH = 4
def progress(text):
    print(text, flush=True)
    if ": 8 of" in text:
        sys.stdin.read()  # until it is killed
FeastRetrieval(options(Path(sys.argv[1]), window=5)).materialize(FEATURES, None, None, progress)
"""


def test_a_killed_materialize_is_made_good_without_holes_or_duplicates(tmp_path: Path) -> None:
    strategy, tables = FeastRetrieval(options(tmp_path, window=5)), rows(10, 15)
    ingest(strategy, tables)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", _KILLED, str(tmp_path)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any(": 8 of 20" in line for line in process.stdout)
        process.send_signal(signal.SIGKILL)
        process.wait()
    some = ask(strategy, everyone(tables)).status
    assert 0 < some.count(UNKNOWN_ENTITY) - 1 < 20
    strategy.materialize(FEATURES, None, None, quiet, overlap=DAY)
    again = FeastRetrieval(options(tmp_path / "again", window=5))
    ingest(again, tables)
    again.materialize(FEATURES, None, None, quiet)
    for length in (1, 4):
        same(ask(strategy, everyone(tables), length), ask(again, everyone(tables), length))


def test_a_definition_that_changes_reads_no_record_of_the_old_one(tmp_path: Path) -> None:
    strategy, tables = FeastRetrieval(options(tmp_path)), rows(1, 4, gaps=False)
    ingest(strategy, tables)
    strategy.materialize(FEATURES, None, None, quiet)
    body = FEATURES.model_dump()
    body["views"]["sales"]["engineer"] = [{"op": "lag", "columns": ["y"], "steps": [1]}]
    changed = FeatureSet.model_validate(body)
    with pytest.raises(DataError, match="has no entity of view 'sales'; run=materialize"):
        ask(strategy, everyone(tables)[:1], features=changed)


def test_serving_and_training_import_no_feast(tmp_path: Path) -> None:
    strategy, tables = FeastRetrieval(options(tmp_path)), rows(1, 4, gaps=False)
    ingest(strategy, tables)
    strategy.materialize(FEATURES, None, None, quiet)
    code = """
import sys
from pathlib import Path
from feast_cases import FEATURES, ask, options
from framework_feast.retrieval import FeastRetrieval
strategy = FeastRetrieval(options(Path(sys.argv[1])))
assert ask(strategy, [{"shop": "s0", "item": "x"}]).status == ["ok"]
print([m for m in ("feast", "duckdb", "ibis", "torch") if m in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_records_read_back_bit_for_bit() -> None:
    numbers = np.array([[1 / 3, -0.0], [np.nan, 5e-324]])
    held = Rows(np.array([-5, 7]), numbers, np.array([["ü", None], ["", "b"]], dtype=object), True)
    found = decode(held.encode(), 2, 2)
    assert found.times.tolist() == [-5, 7]
    assert found.numbers.tobytes() == numbers.tobytes()
    assert found.categories.tolist() == [["ü", None], ["", "b"]]
    assert found.cut
    newest: NewestRows = decode_newest([None, held.last(1).encode()], 2, 2)
    assert np.isnat(newest.times).tolist() == [True, False]
    assert newest.numbers[1].tobytes() == numbers[1].tobytes()
    assert newest.categories.tolist() == [[None, None], ["", "b"]]
    assert single([None, held.last(1).encode()])
    assert not single([held.last(1).encode(), held.encode()])
    ahead = replace(held, ahead=1)
    assert decode(ahead.encode(), 2, 2).ahead == 1
    earlier = (
        b"\1" + held.encode()[1:10] + held.encode()[14:]
    )  # the first version did not say what is ahead
    assert decode(earlier, 2, 2).numbers.tobytes() == numbers.tobytes()
    assert not single([b"\1" + held.last(1).encode()[1:]])
    for record in (b"\3" + held.last(1).encode()[1:], held.encode()):
        with pytest.raises(DataError, match="another layout"):
            decode_newest([record], 2, 2)
    with pytest.raises(DataError, match="another layout"):
        decode(held.encode(), 3, 2)
    assert len(set(record_keys("v", [("a", "b"), ("ab", ""), ("a/1:b", ""), ("", "ab")]))) == 4
    assert definition("sales", FEATURES.views["sales"]) != definition(
        "sale", FEATURES.views["sales"]
    )
    assert columns(FEATURES.views["sales"]) == (("y", "price"), ("kind",))
    assert pd.isna(found.numbers[1, 0])


def test_a_look_up_of_many_entities_leaves_the_event_loop_free(tmp_path: Path) -> None:
    strategy = FeastRetrieval(options(tmp_path))
    ingest(strategy, rows(7, 20))
    strategy.materialize(FEATURES, None, None, quiet)
    many = [{"shop": f"s{i % 9}", "item": "x"} for i in range(20_000)]

    async def measured() -> tuple[float, float]:
        """Seconds of the look-up, and the longest in which nothing else was done."""
        loop, ended, longest = asyncio.get_running_loop(), asyncio.Event(), 0.0

        async def tick() -> None:
            nonlocal longest
            before = loop.time()
            while not ended.is_set():
                await asyncio.sleep(0.001)
                longest, before = max(longest, loop.time() - before), loop.time()

        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0)
        started = loop.time()
        context = await strategy.context(FEATURES, schema(), many, None)
        seconds = loop.time() - started
        ended.set()
        await ticking
        await strategy.close()
        assert len(context) == len(many)
        return seconds, longest

    seconds, longest = asyncio.run(measured())
    assert longest < seconds / 3
