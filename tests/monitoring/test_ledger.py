"""The ledger of what was answered, how much of it is missing, and ``run=compare`` that reads it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framework.cli.overrides import explain_override
from framework.config.sections import PanelConfig
from framework.data.buckets import bucket_of
from framework.data.forecast import Forecast
from framework.data.vocabulary import OK, TIME
from framework.errors import DataError
from framework.interfaces.ledger import FilesLedgerOptions, LedgerCounts
from framework.interfaces.observer import ServedArm, ServedRequest
from framework.interfaces.registry import PairVersion
from framework.monitoring.ledger_counts import OFFERED, Counts, read_counts
from framework.monitoring.ledger_files import FilesLedger
from framework.monitoring.ledger_rows import ServedForecast
from framework.monitoring.ledger_segments import folder_of, segments
from framework.monitoring.ledger_writer import FilesWriter, forget
from framework.plugins.discovery import load_plugins
from framework.runs.compare import compare
from framework.serving.http.asgi import Call
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing import fakes
from framework.testing.contracts.ledger import LedgerContract
from framework.testing.folder_registry import FolderRegistry
from framework.testing.servers.fake_server import (
    make_deployment,
    make_features,
    make_row,
    server_process,
)
from framework.testing.servers.killed_writers import kill_writers

LEDGER = FilesLedger(FilesLedgerOptions())


class TestFiles(LedgerContract):
    name = "files"


DAYS = ("2020-01-01", f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}")
ENTITIES = [f"A{i}" for i in range(40)]


def answer(directory: Path, alias: str | None = None, **ledger: Any) -> Service:
    """A service that answers every entity once, by the arm that is asked for or its own, and
    ends.
    """
    make_deployment(directory)
    registry = FolderRegistry(directory)
    if not registry.has("candidate"):
        registry.add(4)
        registry.point("candidate", 4)
    options = ServingOptions.model_validate({"split": {"candidate": 50}})
    service = Service(make_deployment(directory, ledger=ledger), options)
    service.start()
    headers = {} if alias is None else {b"x-framework-arm": alias.encode()}
    body = orjson.dumps({"rows": [make_row(airport=name) for name in ENTITIES]})

    async def ask() -> None:
        await service.answers.payload(body, Call("POST", "/predict", b"", headers, b"id-1"))
        await service.close()

    asyncio.run(ask())
    return service


def read(directory: Path) -> pd.DataFrame:
    pieces = list(LEDGER.read("fake", directory / "state", ["*"], None))
    return pa.concat_tables(pieces, promote_options="default").to_pandas()


def make_run(directory: Path, actuals: pd.DataFrame | None = None) -> Any:
    plugins = load_plugins()
    retrieval = plugins.load("retrieval", "file")(
        plugins.find("retrieval", "file").options(state=directory / "store")
    )
    features = make_features()
    if actuals is not None:
        retrieval.ingest(features, "daily", actuals)
    panel = PanelConfig(targets=("departures", "delay"), frequency="D", horizon=3, season_length=7)
    paths = SimpleNamespace(state=directory / "state")
    config = SimpleNamespace(name="fake", start=None, features=features, panel=panel, paths=paths)
    said: list[str] = []
    return SimpleNamespace(
        config=config,
        make={"retrieval": retrieval, "ledger": LEDGER}.get,
        say=said.append,
        said=said,
    )


def test_nothing_is_kept_with_a_share_of_zero(tmp_path: Path) -> None:
    answer(tmp_path, share=0)
    assert not (tmp_path / "state" / "serving" / "ledger").exists()
    with pytest.raises(DataError, match=r"the ledger has no forecasts of 'fake'"):
        compare(make_run(tmp_path))


def test_every_forecast_is_kept_with_its_arm(tmp_path: Path) -> None:
    answer(tmp_path)
    table = read(tmp_path)
    assert len(table) == 40 * 3 * 2
    assert set(zip(table["arm"], table["version"], strict=True)) == {
        ("production", 3),
        ("candidate", 4),
    }
    assert table["at"].dt.tz is not None
    assert not table["shadow"].any()
    assert LEDGER.counts("fake", tmp_path / "state") == LedgerCounts(0, 0)


def test_a_share_keeps_the_same_entities_in_every_arm(tmp_path: Path) -> None:
    for alias in ("production", "candidate"):
        answer(tmp_path, alias, share=50)
    table = read(tmp_path)
    kept = {arm: set(rows["airport"]) for arm, rows in table.groupby("arm")}
    assert kept["production"] == kept["candidate"]
    assert kept["production"] == {
        name for name in ENTITIES if bucket_of("records of fake", (name, "DL")) < 5000
    }
    assert 0 < len(kept["production"]) < 40


def test_the_oldest_segments_go(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "state", "fake")
    old, newer = (folder / day / f"{day}.{0:012d}-{9:012d}-0.parquet" for day in DAYS)
    for path, size in ((old, 10), (newer, 1_000_000)):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * size)
    forget(folder, FilesLedgerOptions(megabytes=1))
    assert not old.exists()
    assert newer.exists()
    answer(tmp_path, megabytes=1)
    assert not newer.exists()
    assert len(read(tmp_path)) == 240


def test_small_segments_become_one_and_nothing_counts_twice(tmp_path: Path) -> None:
    for _ in range(3):
        answer(tmp_path)
    paths = sorted(folder_of(tmp_path / "state", "fake").glob("*/*.parquet"))
    assert len(paths) == 3
    writer = FilesWriter(
        FilesLedgerOptions(), folder_of(tmp_path / "state", "fake"), "fake", lambda *_: None
    )
    parts = [
        writer._write(pq.read_table(path), 40 * i, 40 * (i + 1), i) for i, path in enumerate(paths)
    ]
    for path in paths:
        path.unlink()
    writer._small = parts + [tmp_path / "no segment"] * 60
    writer._merge()
    (segment,) = segments(folder_of(tmp_path / "state", "fake"))
    assert (segment.first, segment.after, segment.lost) == (0, 120, 2)
    assert len(read(tmp_path)) == 3 * 240
    forget(folder_of(tmp_path / "state", "fake"), FilesLedgerOptions())
    assert all(part.exists() for part in parts)  # somebody may be reading them
    os.utime(segment.path, (0, 0))
    forget(folder_of(tmp_path / "state", "fake"), FilesLedgerOptions())
    assert [part.exists() for part in parts] == [False] * 3
    assert len(read(tmp_path)) == 3 * 240


def test_a_reader_sees_every_forecast_while_segments_are_merged(tmp_path: Path) -> None:
    answer(tmp_path)
    folder = folder_of(tmp_path / "state", "fake")
    (path,) = folder.glob("*/*.parquet")
    writer = FilesWriter(FilesLedgerOptions(), folder, "fake", lambda *_: None)
    table = pq.read_table(path)
    parts = [writer._write(table, 40 * i, 40 * (i + 1), 0) for i in range(3)]
    pieces = LEDGER.read("fake", tmp_path / "state", ["at"], None)
    next(pieces)
    writer._small = parts + [tmp_path / "no segment"] * 60
    writer._merge()
    assert sum(map(len, pieces)) == 3 * 240  # and the first one, of the server
    pieces = LEDGER.read("fake", tmp_path / "state", ["at"], None)
    next(pieces)
    (merged,) = (s.path for s in segments(folder) if s.after == 120)
    content = merged.read_bytes()
    merged.unlink()
    pieces = LEDGER.read("fake", tmp_path / "state", ["at"], None)
    next(pieces)
    merged.write_bytes(content)
    for part in parts:
        part.unlink()
    with pytest.raises(DataError, match="merged into another while the ledger was read"):
        list(pieces)


def test_what_was_lost_is_remembered_as_long_as_forecasts_are(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "state", "fake")
    writer = FilesWriter(FilesLedgerOptions(), folder, "fake", lambda *_: None)
    writer.offered(7)
    writer.drop(7)
    writer.stop()
    (path,) = (folder / "counts").iterdir()
    for age, missing in ((2, 7), (4, 0)):
        then = datetime.now(UTC).timestamp() - age * 86_400
        os.utime(path, (then, then))
        forget(folder, FilesLedgerOptions(days=3))
        assert LEDGER.counts("fake", tmp_path / "state") == LedgerCounts(missing, 0)


def test_a_reader_of_counts_keeps_no_server_from_counting(tmp_path: Path) -> None:
    path = tmp_path / "process"
    path.touch()
    with path.open("rb") as reader, ThreadPoolExecutor() as pool:
        fcntl.flock(reader, fcntl.LOCK_SH)
        counting = pool.submit(Counts, path)
        time.sleep(0.05)
        fcntl.flock(reader, fcntl.LOCK_UN)
        counts = counting.result(10)
    counts.write(OFFERED, 3)
    (of_process,) = read_counts(tmp_path)
    assert (of_process.offered, of_process.alive) == (3, True)
    counts.close()


def test_what_a_killed_server_had_not_written_is_missing(tmp_path: Path) -> None:
    options = {"port": 0}
    with server_process("fastapi", options, tmp_path, ledger={"seconds": 3600}) as (process, url):
        for _ in range(3):
            body = {"rows": [make_row(airport=name) for name in ENTITIES[:7]]}
            assert httpx.post(f"{url}/predict", json=body, timeout=30).status_code == 200
        assert LEDGER.counts("fake", tmp_path / "state") == LedgerCounts(0, 21)
        process.kill()
        process.wait()
        assert LEDGER.counts("fake", tmp_path / "state") == LedgerCounts(21, 0)


@pytest.mark.stress
def test_the_loss_of_twenty_killed_workers_is_exact(tmp_path: Path) -> None:
    state, options = tmp_path / "state", {"port": 0, "workers": 2}
    with server_process("fastapi", options, tmp_path, ledger={"seconds": 1}) as (_, url):
        counts = folder_of(state, "fake") / "counts"
        losses = kill_writers(url, LEDGER, state, counts, kills=20, seed=17)
    assert losses.costly > 5


def test_arms_beside_each_other_and_the_actual_values(tmp_path: Path) -> None:
    for alias in ("production", "candidate", "candidate"):  # what is asked twice counts once
        answer(tmp_path, alias)
    steps = pd.date_range("2024-03-01", periods=3, freq="D", tz="UTC")
    rows = pd.DataFrame(
        {
            "airport": np.repeat(ENTITIES[:10], 3),
            "carrier": "DL",
            "season": "spring",
            TIME: np.tile(steps, 10),
        }
    )
    rows = rows.assign(departures=9.0, delay=3.0, temp=1.0, **{"wind gust": 1.0})
    run = make_run(tmp_path, rows)
    result = compare(run)
    assert result["records"] == 3 * 240
    table = read(tmp_path).drop_duplicates(["arm", "airport", TIME, "target"])
    assert [(a["arm"], a["version"], a["target"]) for a in result["arms"]] == [
        ("candidate", 4, "delay"),
        ("candidate", 4, "departures"),
        ("production", 3, "delay"),
        ("production", 3, "departures"),
    ]
    for found in result["arms"]:
        its = table[(table["arm"] == found["arm"]) & (table["target"] == found["target"])]
        known = its[its["airport"].isin(ENTITIES[:10]) & (its[TIME] <= steps[-1])]
        assert (found["forecasts"], found["failed"], found["actuals"]) == (120, 0, len(known))
        assert found["MAE"] == pytest.approx(
            (known["mean"] - (9.0 if found["target"] == "departures" else 3.0)).abs().mean()
        )
        assert found["common"]["MAE"] == found["MAE"]
        assert "MASE" not in found  # the store has no season before the first origin
    assert "candidate" in run.said[0]


def test_mase_has_the_scale_of_what_was_known_at_the_first_origin(tmp_path: Path) -> None:
    """Departures of every series change by 4 a week up to the origin; later rows, which are 100
    higher, do not count in the scale.
    """
    answer(tmp_path)
    origin = read(tmp_path)["origin"].iloc[0]
    steps = pd.date_range(origin - pd.Timedelta(days=20), periods=24, freq="D")
    values = np.repeat([2.0, 6.0, 10.0], 7).tolist() + [100.0] * 3
    rows = pd.DataFrame({"airport": "A1", "carrier": "DL", "season": "spring", TIME: steps})
    rows = rows.assign(departures=values, delay=3.0, temp=1.0, **{"wind gust": 1.0})
    by_target = {arm["target"]: arm for arm in compare(make_run(tmp_path, rows))["arms"]}
    assert by_target["departures"]["actuals"] == 3
    assert by_target["departures"]["MASE"] == pytest.approx(by_target["departures"]["MAE"] / 4)
    assert "MASE" not in by_target["delay"]  # its season never changes: no scale


def test_a_disk_that_refuses_loses_forecasts_and_nothing_else(tmp_path: Path) -> None:
    folder_of(tmp_path / "state", "fake").mkdir(parents=True)
    day = folder_of(tmp_path / "state", "fake") / f"{datetime.now(UTC):%Y-%m-%d}"
    day.write_text("a file where the folder should be")
    service = answer(tmp_path)
    assert b'framework_records_total{outcome="lost"} 40.0' in service.metrics.render()
    assert LEDGER.counts("fake", tmp_path / "state") == LedgerCounts(40, 0)


def test_what_arrow_refuses_is_lost_and_counted(tmp_path: Path) -> None:
    folder, outcomes = folder_of(tmp_path / "state", "fake"), list[tuple[Any, ...]]()
    writer = FilesWriter(
        FilesLedgerOptions(), folder, "fake", lambda *outcome: outcomes.append(outcome)
    )
    pair, schema = PairVersion("fake", 3, "id", "d", "run", "2024-05-01"), fakes.make_schema()
    origin = np.array(["2024-05-01"], "M8[us]")
    entities = np.array([["\ud800", "DL"]], dtype=object)  # no Unicode text: half of a character
    forecast = Forecast(
        origin, origin[:, None], entities, np.ones((1, 1, 1, 1)), ("y",), (), [OK], [None]
    )
    writer.offered(1)
    arm = ServedArm("production", "production", pair, schema, False)
    writer.take(ServedForecast(arm, forecast, ServedRequest("id", datetime.now(UTC), 1), None))
    writer.stop()
    assert outcomes == [("lost", 1)]
    assert LEDGER.counts("fake", tmp_path / "state") == LedgerCounts(1, 0)


def test_without_a_folder_answers_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "state" / "serving").mkdir(parents=True)
    (tmp_path / "state" / "serving" / "ledger").write_text("a file where the folder should be")
    service = answer(tmp_path)
    assert b'framework_records_total{outcome="lost"} 40.0' in service.metrics.render()


def test_the_key_of_earlier_versions_says_what_it_is_called_today() -> None:
    hydra = "Could not override 'serving.records.share'."
    assert explain_override(hydra, [], load_plugins()) == (
        "serving.records.share: this key is ledger.share today."
    )
