"""``source=redis_stream`` on a real server: at least once, the same rows when replayed, consumers
killed, bad entries parked.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import redis
from framework_redis_stream import RedisStreamOptions
from framework_redis_stream.source import RedisStreamSource

from framework.errors import ConfigError, DataError
from framework.features.views import View
from framework.interfaces.source import Batch
from framework.testing.servers import command
from framework.testing.servers.redis import RedisServer, server

VIEW = View.model_validate(
    {"entity": ["shop"], "columns": ["y", "kind"], "categories": ["kind"], "ttl": "1d"}
)
FIRST = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with server() as started:
        yield started


@pytest.fixture
def client(running: RedisServer) -> Iterator[Any]:
    made = redis.Redis.from_url(running.url, decode_responses=True)
    made.flushall()
    yield made
    made.close()


def entry(shop: str, day: int, y: object, **changed: str) -> dict[str, str]:
    fields = {
        "shop": shop,
        "event_timestamp": (FIRST + timedelta(days=day)).isoformat(),
        "y": str(y),
        "kind": "k",
    }
    return {**fields, **changed}


def source(running: RedisServer, **options: Any) -> RedisStreamSource:
    return RedisStreamSource(RedisStreamOptions.model_validate({"url": running.url, **options}))


def values(batch: Batch) -> list[tuple[str, float]]:
    return list(zip(batch.rows["shop"], batch.rows["y"], strict=True))


def drain(reader: RedisStreamSource, position: str | None = None) -> list[list[tuple[str, float]]]:
    """Store everything."""
    found = []
    for batch in reader.batches("sales", VIEW, position):
        found.append(values(batch))
        if batch.stored is not None:
            batch.stored()
    reader.close()
    return found


def pending(client: Any) -> int:
    return int(client.xpending("sales", "framework")["pending"])


def test_entries_are_rows_in_batches_and_acknowledged_when_they_are_stored(
    running: RedisServer, client: Any
) -> None:
    for day in range(3):
        client.xadd("sales", entry("a", day, day if day else "", kind="" if day else "x"))
    batches = source(running, batch=2).batches("sales", VIEW, None)
    first = next(batches)
    assert first.rows["y"].isna().tolist() == [True, False]
    assert first.rows["kind"].tolist() == ["x", None]
    assert first.rows["event_timestamp"].tolist() == [
        pd.Timestamp(FIRST),
        pd.Timestamp(FIRST + timedelta(days=1)),
    ]
    assert not first.whole
    assert pending(client) == 2
    assert first.stored is not None
    first.stored()
    assert pending(client) == 0
    assert values(next(batches)) == [("a", 2.0)]


def test_what_was_not_stored_comes_again_with_everything_behind_it(
    running: RedisServer, client: Any
) -> None:
    """The first entry was delivered and never stored, its correction was: read again in order, the
    correction stays the last word.
    """
    client.xadd("sales", entry("a", 0, 1))
    next(source(running, batch=1).batches("sales", VIEW, "0"))  # dies before it stores
    client.xadd("sales", entry("a", 0, 2))
    other = source(running, consumer="other", claim_idle="PT1H")
    assert drain(other, "0") == [[("a", 2.0)]]
    assert pending(client) == 1
    assert drain(source(running), "0") == [[("a", 1.0), ("a", 2.0)]]
    assert pending(client) == 0


def test_a_replay_that_dies_is_done_again_from_its_beginning(
    running: RedisServer, client: Any
) -> None:
    for y in range(4):
        client.xadd("sales", entry("a", 0, y))
    batches = source(running, batch=4).batches("sales", VIEW, "0")
    next(batches)
    batches = source(running, batch=2).batches("sales", VIEW, "0")
    assert values(next(batches)) == [("a", 0.0), ("a", 1.0)]
    next(batches)  # the first half is stored now; dies before the second is
    assert pending(client) == 4
    assert drain(source(running, batch=2), "0") == [
        [("a", 0.0), ("a", 1.0)],
        [("a", 2.0), ("a", 3.0)],
    ]
    assert pending(client) == 0


def test_entries_of_a_consumer_that_has_gone_are_taken_over_after_a_while(
    running: RedisServer, client: Any
) -> None:
    client.xadd("sales", entry("a", 0, 1))
    next(source(running, consumer="gone").batches("sales", VIEW, "0"))
    assert drain(source(running), "0") == []
    assert drain(source(running, claim_idle="PT0S"), "0") == [[("a", 1.0)]]
    assert pending(client) == 0


def test_entries_that_were_trimmed_before_they_were_stored_are_named(
    running: RedisServer, client: Any
) -> None:
    names = [client.xadd("sales", entry("a", day, 1)) for day in range(2)]
    next(source(running).batches("sales", VIEW, "0"))
    client.xdel("sales", names[0])
    with pytest.raises(
        DataError, match=f"1 entries were trimmed before they were stored, the first {names[0]}"
    ):
        drain(source(running), "0")
    assert drain(source(running), "0") == []


BAD = [
    ({"y": "many"}, "field 'y': 'many' is not a number"),
    ({"y": "inf"}, "field 'y': 'inf' is not finite"),
    ({"shop": " "}, "field 'shop': empty"),
    ({"event_timestamp": "soon"}, "field 'event_timestamp': 'soon' is not an ISO 8601 time"),
]


def test_bad_entries_are_parked_once_and_the_others_stored(
    running: RedisServer, client: Any
) -> None:
    client.xadd("sales", entry("a", 0, 1))
    names = [client.xadd("sales", {**entry("a", 1, 2), **change}) for change, _ in BAD]
    names.append(client.xadd("sales", {"shop": "a"}))
    client.xadd("sales", entry("a", 2, 3))
    for _ in range(2):  # the second time everything comes from the beginning
        reader = source(running)
        assert drain(reader) == [[("a", 1.0), ("a", 3.0)]]
        (line,) = reader.warnings()  # one, however many there are
        assert f"first entry {names[0]}: {BAD[0][1]}" in line
        assert line.endswith("kept in 'sales:dead'")
        dead = client.xrange("sales:dead")
        assert (
            [name for name, _ in dead] == names == [fields["framework.entry"] for _, fields in dead]
        )
        for (_, fields), (_, why) in zip(dead, BAD, strict=False):
            assert fields["framework.error"].startswith(why)
        assert "field 'event_timestamp': missing" in dead[-1][1]["framework.error"]
        assert pending(client) == 0


def test_a_fault_of_every_entry_is_one_of_the_configuration(
    running: RedisServer, client: Any
) -> None:
    """Nothing is parked; the entries come again when it is mended."""
    for at in range(2):
        client.xadd("sales", entry("a", at, 1))
    wrong = {"sales": {"date_format": "epoch_s"}}
    with pytest.raises(ConfigError, match=r"^source\.streams\.sales\.date_format: none of the f"):
        drain(source(running, streams=wrong))
    assert client.xlen("sales:dead") == 0
    assert drain(source(running)) == [[("a", 1.0), ("a", 1.0)]]


def test_a_bad_entry_stops_the_ingestion_where_the_policy_says_so(
    running: RedisServer, client: Any
) -> None:
    name = client.xadd("sales", entry("a", 0, "many"))
    with pytest.raises(
        DataError,
        match=rf"stream 'sales': entry {name}: field 'y': 'many' is not a number; .*bad_entries=park",  # noqa: E501
    ):
        drain(source(running, bad_entries="refuse"))
    assert pending(client) == 1
    assert client.xlen("sales:dead") == 0


def test_keys_and_fields_have_names_of_their_own(running: RedisServer, client: Any) -> None:
    fields = entry("a", 0, 5)
    client.xadd(
        "tills",
        {"ts": fields["event_timestamp"], "till": "a", "y": "5", "kind": "k", "unused": "1"},
    )
    reader = source(
        running,
        streams={"sales": {"key": "tills", "rename": {"ts": "event_timestamp", "till": "shop"}}},
    )
    assert reader.read("sales")["shop"].tolist() == ["a"]
    assert drain(reader) == [[("a", 5.0)]]
    assert list(reader.fingerprint()) == ["tills (entries)"]


def test_an_absent_server_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_URL", "redis://:hunter2@127.0.0.1:1/0")
    with pytest.raises(DataError) as caught:
        drain(RedisStreamSource(RedisStreamOptions(url_env="STREAM_URL")))
    assert "redis://:***@127.0.0.1:1/0" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    monkeypatch.delenv("STREAM_URL")
    with pytest.raises(ConfigError, match="STREAM_URL is not set"):
        drain(RedisStreamSource(RedisStreamOptions(url_env="STREAM_URL")))


def test_a_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_PASSWORD", "hunter2")
    with server("--requirepass", "hunter2") as locked:
        assert drain(source(locked, password_env="STREAM_PASSWORD")) == []
        with pytest.raises(DataError, match="Authentication required"):
            drain(source(locked))


EXPERIMENT = """# @package _global_
defaults:
  - override /source: redis_stream
  - override /retrieval: file
  - override /model: seasonal_naive
name: shops
source:
  url_env: STREAM_URL
  batch: 40
features:
  primary: sales
  views:
    sales:
      entity: [shop]
      columns: [y]
      ttl: 1d
      engineer: [{op: lag, columns: [y], steps: [1]}, {op: expanding, columns: [y]}]
panel: {targets: [y], frequency: D, horizon: 7, season_length: 7, gaps: insert}
"""
#: Ends as by kill -9 when the rows of the second batch are stored, and neither its position kept
#: nor its entries acknowledged.
KILLED = """
import os, signal
from framework.ingestion.checkpoints import Positions
keep, done = Positions.keep, []
def killed(self, *arguments):
    done.append(1)
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    keep(self, *arguments)
Positions.keep = killed
from framework.cli.main import main
main()
"""


class Project:
    def __init__(self, folder: Path, running: RedisServer) -> None:
        self.folder = folder
        (folder / "conf" / "experiment").mkdir(parents=True)
        (folder / "conf" / "experiment" / "shops.yaml").write_text(EXPERIMENT)
        (folder / "conf" / "config.yaml").write_text("defaults: [framework, _self_]\n")
        self.options: dict[str, Any] = {
            "cwd": folder,
            "env": {**os.environ, "STREAM_URL": running.url},
            "text": True,
        }

    def command(self, *overrides: str, start: tuple[str, ...] = ("-m", "framework")) -> list[str]:
        return [sys.executable, *start, "+experiment=shops", "run=ingest", *overrides]

    def run(self, *overrides: str) -> str:
        done = command.run(
            "+experiment=shops", "run=ingest", *overrides, cwd=self.folder, env=self.options["env"]
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    def file(self, state: str = "state") -> Path:
        (file,) = (self.folder / state / "offline").glob("sales-*.parquet")
        return file


def fill(client: Any) -> None:
    """Four shops in no order, some days twice, one at noon: 120 entries, 100 rows."""
    for i in range(120):
        day = (i * 37) % 25
        client.xadd("sales", entry(f"s{i % 4}", day, i if i < 100 else i / 7))
    client.xadd("sales", entry("s1", 3, 1, event_timestamp="2024-01-03T12:00:00Z"))


@pytest.mark.stress
def test_a_killed_consumer_and_a_replay_give_the_same_bytes(
    running: RedisServer, client: Any, tmp_path: Path
) -> None:
    fill(client)
    project = Project(tmp_path, running)
    died = subprocess.run(
        project.command("paths.state=killed", start=("-c", KILLED)),
        capture_output=True,
        check=False,
        **project.options,
    )
    assert died.returncode == -9, died.stderr
    assert pending(client) == 40
    said = project.run("paths.state=killed")
    assert pending(client) == 0
    assert "81 rows read" in said  # 40 again and 41 new, of which one is no row
    project.run("paths.state=alone", "source.group=another")
    project.run(
        "paths.state=killed", "source.batch=7"
    )  # other options of the source: everything from the beginning
    killed, alone = project.file("killed"), project.file("alone")
    assert len(pd.read_parquet(alone)) == 100
    assert killed.read_bytes() == alone.read_bytes()
    (dead,) = client.xrange("sales:dead")
    assert (
        "2024-01-03 12:00:00+00:00 is not on the D grid of its series" in dead[1]["framework.error"]
    )
    assert running.url not in "".join(p.read_text() for p in (tmp_path / "alone").rglob("*.yaml"))


def wait(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.stress
def test_following_stores_what_comes_until_it_is_told_to_stop(
    running: RedisServer, client: Any, tmp_path: Path
) -> None:
    project = Project(tmp_path, running)
    client.xadd("sales", entry("a", 0, 1))
    with subprocess.Popen(
        project.command("source.follow=0.1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **project.options,
    ) as process:
        wait(
            lambda: (
                bool(client.exists("sales") and client.xinfo_groups("sales"))
                and pending(client) == 0
            ),
            process,
        )
        client.xadd("sales", entry("a", 1, 2))
        offline = tmp_path / "state" / "offline"
        wait(lambda: any(len(pd.read_parquet(f)) == 2 for f in offline.glob("*.parquet")), process)
        process.send_signal(signal.SIGTERM)
        output, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    result = json.loads(output.splitlines()[-1])
    assert (result["status"], result["rows"]) == ("done", {"sales": 2})
