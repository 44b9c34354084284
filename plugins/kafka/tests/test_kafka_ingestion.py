"""Whole ingestions from a mock cluster: killed, replayed, late and corrected rows, following."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kafka_cases import FIRST, MockCluster, message

from framework.testing.servers import command

EXPERIMENT = """# @package _global_
defaults:
  - override /source: kafka
  - override /retrieval: file
  - override /model: seasonal_naive
name: shops
source:
  bootstrap_servers: ${oc.env:KAFKA}
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
#: Ends as by kill -9 when the rows of the second batch are stored, and before its offsets are kept
#: or committed.
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
    def __init__(self, folder: Path, cluster: MockCluster) -> None:
        self.folder = folder
        (folder / "conf" / "experiment").mkdir(parents=True)
        (folder / "conf" / "experiment" / "shops.yaml").write_text(EXPERIMENT)
        (folder / "conf" / "config.yaml").write_text("defaults: [framework, _self_]\n")
        self.environment = {**os.environ, "KAFKA": cluster.servers}

    def start(self, *overrides: str, code: str | None = None) -> subprocess.Popen[str]:
        entry = ("-m", "framework") if code is None else ("-c", code)
        return subprocess.Popen(
            [sys.executable, *entry, "+experiment=shops", "run=ingest", *overrides],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *overrides: str) -> tuple[dict[str, Any], str]:
        done = command.run(
            "+experiment=shops",
            "run=ingest",
            *overrides,
            cwd=self.folder,
            env=self.environment,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1]), done.stderr

    def rows(self, state: str = "state") -> Path:
        (file,) = (self.folder / state / "offline").glob("sales-*.parquet")
        return file


def fill(cluster: MockCluster) -> None:
    """Four shops in four partitions, days in no order, some corrected, one row off the grid."""
    for i in range(120):
        shop, day = i % 4, (i * 37) % 25
        y = i if i < 100 else i / 7
        cluster.send("sales", message(f"s{shop}", day, y), partition=shop)
    noon = message("s1", 3, 1, event_timestamp="2024-01-03T12:00:00Z")
    cluster.send("sales", noon, partition=1)


@pytest.mark.stress
def test_a_killed_ingestion_and_a_replay_give_the_same_bytes(
    cluster: MockCluster, tmp_path: Path
) -> None:
    fill(cluster)
    project = Project(tmp_path, cluster)
    died = project.start("paths.state=killed", code=KILLED)
    _, said = died.communicate(timeout=120)
    assert died.returncode == -9, said
    assert sum(cluster.committed("sales").values()) == 40
    _, said = project.run("paths.state=killed")
    assert "81 rows read" in said  # 40 again and 41 new, of which one is no row
    assert sum(cluster.committed("sales").values()) == 121
    project.run("paths.state=alone", "source.group=another")
    project.run("paths.state=killed", "source.batch=7")  # other options: everything again
    killed, alone = project.rows("killed"), project.rows("alone")
    assert len(pd.read_parquet(alone)) == 100
    assert killed.read_bytes() == alone.read_bytes()
    reasons = {dict(m.headers())["framework.error"] for m in cluster.messages("sales.dead")}
    assert reasons == {
        b"field 'event_timestamp': 2024-01-03 12:00:00+00:00 is not on the D grid of its series"
    }
    recorded = "".join(path.read_text() for path in (tmp_path / "alone").rglob("*.yaml"))
    assert cluster.servers not in recorded


@pytest.mark.stress
def test_kill_9_at_any_moment_loses_and_doubles_nothing(
    cluster: MockCluster, tmp_path: Path
) -> None:
    project = Project(tmp_path, cluster)
    numbers = random.Random(7)
    for round_ in range(8):
        for day in range(round_ * 50, round_ * 50 + 60):  # the last ten are corrected next time
            shop = day % 4
            cluster.send("sales", message(f"s{shop}", day, day + round_), partition=shop)
        process = project.start("source.batch=5")
        time.sleep(numbers.uniform(0.5, 6))
        process.kill()
        process.communicate()
    project.run("source.batch=5")
    project.run("paths.state=alone", "source.group=another")
    assert len(pd.read_parquet(project.rows())) == len(pd.read_parquet(project.rows("alone")))
    assert project.rows().read_bytes() == project.rows("alone").read_bytes()


def wait(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.05)


ONLINE = """# @package _global_
project: shops
provider: local
registry: {path: state/feast/registry.db}
offline_store: {type: duckdb}
online_store: {type: sqlite, path: state/online.db}
entity_key_serialization_version: 3
materialization: {pull_latest_features: true}
"""


@pytest.mark.stress
def test_following_stores_what_comes_online_too_until_it_is_told_to_stop(
    cluster: MockCluster, tmp_path: Path
) -> None:
    project = Project(tmp_path, cluster)
    (tmp_path / "conf" / "feature_store").mkdir()
    (tmp_path / "conf" / "feature_store" / "local.yaml").write_text(
        ONLINE.replace("_global_", "feature_store")
    )
    cluster.send("sales", message("a", 0, 1))
    following = ("retrieval=feast", "feature_store=local", "source.follow=0.1")
    with project.start(*following) as process:
        wait(lambda: cluster.committed("sales").get(0) == 1, process)
        cluster.send("sales", message("a", 1, 2))
        wait(lambda: cluster.committed("sales").get(0) == 2, process)
        process.send_signal(signal.SIGTERM)
        output, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    result = json.loads(output.splitlines()[-1])
    assert (result["status"], result["rows"]) == ("done", {"sales": 2})
    with sqlite3.connect(tmp_path / "state" / "online.db") as store:
        rows = store.execute("SELECT event_ts, value_text FROM shops_sales WHERE feature_name='y'")
        assert rows.fetchall() == [(int((FIRST + timedelta(days=1)).timestamp()), "2.0")]
