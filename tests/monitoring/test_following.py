"""From misses of what was served to the levels that every server of the pair answers with."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest

from framework.data.vocabulary import TIME
from framework.monitoring.promised import read_promise
from framework.monitoring.served import read_served
from framework.pairs.adaptive_levels import FOLLOWED
from framework.pairs.followed_levels import levels_path, read_levels
from framework.runs.monitor import monitor
from framework.runs.options import MonitorOptions
from framework.serving.http.asgi import Call
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing.folder_registry import FolderRegistry
from framework.testing.served_runs import ENTITIES, LEDGER, TARGETS, ingest, make_run
from framework.testing.servers.fake_server import make_deployment, make_row

BODY = orjson.dumps({"rows": [make_row(airport=name) for name in ENTITIES], "levels": [80]})


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """A run whose servers were asked; seven of ten series turned out far above."""
    run = make_run(tmp_path, MonitorOptions(follow=True))
    table = pd.concat([t.to_pandas() for t in LEDGER.read("fake", tmp_path / "state", ["*"], None)])
    means = table.groupby(["airport", TIME, "target"])["mean"].last().unstack().reset_index()
    above = means["airport"].isin(ENTITIES[:7])
    means[list(TARGETS)] += np.where(above, 1e6, 0.0)[:, None]
    ingest(run, means[["airport", TIME, *TARGETS]])
    return run


def answer(service: Service, arm: str = "production") -> Any:
    headers = {b"x-framework-arm": arm.encode()}
    body = asyncio.run(
        service.answers.payload(BODY, Call("POST", "/predict", b"", headers, b"id"))
    ).body
    return orjson.loads(body)["forecasts"]


def version_of(service: Service) -> int:
    calibration = service.arms.table.primary.pipeline.terms.calibration
    return 0 if calibration is None else calibration.version


def test_the_levels_are_what_a_hand_computation_gives(run: Any, tmp_path: Path) -> None:
    assert monitor(run)["levels"] == {"3": 1}
    digest = make_deployment(tmp_path).resolve("3").digest
    levels = read_levels(levels_path(tmp_path / "state", "fake", digest), digest, 2)
    own = read_promise(tmp_path / "3" / "model").calibration
    assert own is not None
    at = np.flatnonzero(FOLLOWED == 80)[0]
    by_hand = np.tile(own.used[:, at], (5, 1))
    paces = 0.2 * 2.0 ** np.arange(5)[:, None]
    for _ in range(3):  # a day of one origin each: 7 of 10 are outside, of 2 in 10
        by_hand = np.clip(by_hand + 100 * paces * (0.7 - 0.2) / 3, 0, 100)
    np.testing.assert_allclose(levels.versions[1][:, at], by_hand.max(axis=0))
    assert monitor(run)["levels"] == {"3": 1}


def test_a_run_that_reads_a_part_of_the_ledger_leaves_what_the_rest_of_it_said(
    run: Any, tmp_path: Path
) -> None:
    """``start`` leaves out the origins before: their misses stay counted."""
    monitor(run)
    digest = make_deployment(tmp_path).resolve("3").digest
    path = levels_path(tmp_path / "state", "fake", digest)
    before = read_levels(path, digest, 2)
    service = Service(make_deployment(tmp_path, ledger={}), ServingOptions())
    service.start()
    rows = [make_row(airport=name, **{TIME: "2024-03-02"}) for name in ENTITIES]
    call = Call("POST", "/predict", b"", {}, b"id")
    run.config.start = datetime.now(UTC).isoformat()
    asyncio.run(service.answers.payload(orjson.dumps({"rows": rows}), call))
    asyncio.run(service.close())
    monitor(run)
    after = read_levels(path, digest, 2)
    assert after.first == before.first == "2024-03-01T00:00:00Z"
    for time, excess in before.excess.items():
        np.testing.assert_array_equal(after.excess[time], excess)
    run.config.start = None
    monitor(run)
    whole = read_levels(path, digest, 2)
    assert (whole.excess["2024-03-03T00:00:00Z"] != before.excess["2024-03-03T00:00:00Z"]).any()


def test_servers_agree_without_a_restart_and_a_rollback_finds_its_own(
    run: Any, tmp_path: Path
) -> None:
    registry = FolderRegistry(tmp_path)
    services = [Service(make_deployment(tmp_path), ServingOptions()) for _ in range(2)]
    registry.point("production", 3)
    before = [answer(service) for service in services]
    assert before[0] == before[1]
    monitor(run)
    for service in services:
        service.follower.look()
    after = [answer(service) for service in services]
    assert [version_of(service) for service in services] == [1, 1]
    assert after[0] == after[1]
    ends = [one[0]["targets"]["delay"]["intervals"]["80"]["upper"] for one in (before[0], after[0])]
    assert all(np.array(ends[1]) > np.array(ends[0]))
    assert before[0][0]["targets"]["delay"]["mean"] == after[0][0]["targets"]["delay"]["mean"]
    registry.add(4)
    registry.calibrate(4)
    registry.point("production", 4)
    services[0].follower.look()
    assert version_of(services[0]) == 0
    registry.point("production", 3)
    services[0].follower.look()
    assert answer(services[0]) == after[1]
    started = Service(make_deployment(tmp_path), ServingOptions())
    registry.point("production", 3)
    started.follower.look()
    assert answer(started) == after[1]


def test_a_damaged_file_leaves_the_levels_in_use(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monitor(run)
    service = Service(make_deployment(tmp_path), ServingOptions())
    digest = service.arms.table.primary.version.digest
    FolderRegistry(tmp_path).point("production", 3)
    service.follower.look()
    assert version_of(service) == 1
    levels_path(tmp_path / "state", "fake", digest).write_text("{")
    service.follower.look()
    service.follower.look()
    assert version_of(service) == 1
    assert caplog.text.count("the levels before stay in use") == 1


def test_what_was_served_with_followed_levels_is_judged_with_them(run: Any, tmp_path: Path) -> None:
    monitor(run)
    service = Service(make_deployment(tmp_path, ledger={}), ServingOptions())
    FolderRegistry(tmp_path).point("production", 3)
    service.follower.look()
    service.start()
    forecasts = answer(service)
    asyncio.run(service.close())
    keys = ("airport", "carrier")
    reading = read_served(LEDGER, "fake", tmp_path / "state", keys, TARGETS, None)
    ((answering, served),) = reading.forecasts.items()
    assert set(served.levels.tolist()) == {1}  # type: ignore[union-attr]
    promise = read_promise(tmp_path / "3" / "model")
    digest = answering[2]
    followed = read_levels(levels_path(tmp_path / "state", "fake", digest), digest, 2)
    promise = type(promise)(
        promise.schema, promise.backtest, promise.scale, promise.calibration, followed
    )
    low, high = promise.ends(served)
    for i in range(len(served)):
        (one,) = [
            f for f in forecasts if f["entity"]["airport"] == served.entities[served.series[i]][0]
        ]
        interval = one["targets"][TARGETS[served.target[i]]]["intervals"]["80"]
        assert low[i] == interval["lower"][served.step[i] - 1]
        assert high[i] == interval["upper"][served.step[i] - 1]
