"""What the console asks: figures, history, traffic, entities, actual values; each under its scope,
none of it in a forecast's way.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.evaluation.pair_differences import difference_lines
from framework.evaluation.recorded_backtest import summary
from framework.evaluation.result import BacktestResult
from framework.models.gpus import GpuLoad
from framework.pairs.artifacts import BACKTEST
from framework.serving.console.cached_reads import Reader
from framework.serving.console.pairs import Pairs
from framework.serving.console.traffic import Traffic, quantile
from framework.serving.http.metrics import Metrics
from framework.serving.http.refusal import Refusal
from framework.testing import fakes
from framework.testing.folder_registry import FolderRegistry, make_version
from framework.testing.servers.asking import wait_for
from framework.testing.servers.fake_server import ENTITY, server_process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pairs")


@pytest.fixture(scope="module")
def http(folder: Path) -> Iterator[httpx.Client]:
    registry = FolderRegistry(folder)
    for number, alias in ((3, "production"), (4, "candidate")):
        registry.add(number)
        registry.point(alias, number)
    registry.add(5)
    registry.point("staging", 5)
    options = {"port": 0, "split": {"candidate": 25}, "reload": {"seconds": 0.2}}
    with (
        server_process("fastapi", options, folder) as (_, url),
        httpx.Client(base_url=url, timeout=30) as made,
    ):
        yield made


def read(http: httpx.Client, path: str, **body: Any) -> Any:
    """The answer, which is what the OpenAPI document says of it."""
    answer = http.post(path, json=body) if body else http.get(path)
    assert answer.status_code == 200, answer.text
    document = http.get("/openapi.json").json()
    (operation,) = document["paths"][path.partition("?")[0]].values()
    name = operation["responses"]["200"]["content"]["application/json"]["schema"][
        "$ref"
    ].rpartition("/")[2]
    Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    ).validate(answer.json())
    return answer.json()


def test_every_alias_is_shown_with_its_pair_its_part_and_its_backtest(http: httpx.Client) -> None:
    found = read(http, "/console/pairs")
    assert (found["name"], found["registry"]) == ("fake", None)
    shown = {pair["alias"]: pair for pair in found["pairs"]}
    assert {alias: pair["version"] for alias, pair in shown.items()} == {
        "production": 3,
        "candidate": 4,
        "staging": 5,
    }
    assert shown["production"]["arm"] == {
        "version": 3,
        "role": "primary",
        "share": 75.0,
        "device": "cpu",
        "gpus": [],
        "gpu_notes": [],
    }
    assert shown["candidate"]["arm"] == {
        "version": 4,
        "role": "split",
        "share": 25.0,
        "device": "cpu",
        "gpus": [],
        "gpu_notes": [],
    }
    assert shown["staging"]["arm"] is None
    assert shown["candidate"]["digest"] == make_version(4).digest
    assert pd.Timestamp.now("UTC") - pd.Timestamp(shown["production"]["since"]) < pd.Timedelta(
        minutes=5
    )
    backtest = shown["production"]["backtest"]
    assert (backtest["origins"], backtest["first"], backtest["horizon"]) == (
        2,
        "2024-02-20T00:00:00Z",
        3,
    )
    figures = backtest["targets"]["departures"]
    assert (figures["model"]["MAE"], figures["baseline"]["MAE"], figures["model"]["MASE"]) == (
        1.0,
        2.0,
        0.25,
    )


def test_the_figures_are_those_of_the_backtest(tmp_path: Path) -> None:
    rng, schema = np.random.default_rng(3), fakes.make_schema()
    n, horizon, targets = 12, schema.horizon, len(schema.targets)
    actual = rng.normal(20, 5, (n, horizon, targets))
    actual[rng.random(actual.shape) < 0.2] = np.nan
    forecast = np.sort(rng.normal(20, 4, (n, horizon, targets, 3)), axis=-1)[..., [1, 0, 2]]
    forecast[2] = np.nan
    origins = np.datetime64("2024-01-01", "us") + np.repeat(np.arange(3), 4) * np.timedelta64(
        7, "D"
    )
    entities = np.array([[f"a{i % 4}", "c"] for i in range(n)], dtype=object)
    times = origins[:, None] + np.arange(1, horizon + 1) * np.timedelta64(1, "D")
    baseline, scale = rng.normal(20, 4, actual.shape), rng.uniform(1, 2, (n, targets))
    result = BacktestResult(
        schema,
        np.arange(n) // 4,
        entities,
        origins,
        times,
        actual,
        forecast,
        baseline,
        scale,
        scale**2,
        (1.0,),
    )
    (tmp_path / "schema.json").write_text(schema.model_dump_json())
    result.table().to_parquet(tmp_path / BACKTEST)
    found, expected = summary(tmp_path), result.metrics()
    assert found["origins"] == 3
    for target, sides in found["targets"].items():
        for side, figures in sides.items():
            assert figures == pytest.approx(expected[target][side], rel=1e-5), (target, side)
    pq.write_table(pq.read_table(tmp_path / BACKTEST).drop_columns("square"), tmp_path / BACKTEST)
    earlier = summary(tmp_path)["targets"]  # of a pair registered before backtests had `square`
    for target, sides in found["targets"].items():
        for side, figures in sides.items():
            assert earlier[target][side] == {n: v for n, v in figures.items() if n != "RMSSE"}


def test_the_history_is_the_newest_first(folder: Path, http: httpx.Client) -> None:
    FolderRegistry(folder).refuse("production", 5, "it is too wrong")

    def newest() -> dict[str, Any]:
        entry: dict[str, Any] = read(http, "/console/history?limit=2")["entries"][0]
        return entry

    wait_for(lambda: newest()["action"] == "refuse")  # it is kept for some seconds
    found = read(http, "/console/history")
    assert found["total"] == len(found["entries"]) == 7
    entry = found["entries"][0]
    assert (entry["alias"], entry["before"], entry["after"], entry["who"], entry["reason"]) == (
        "production",
        3,
        5,
        "tester",
        "it is too wrong",
    )
    assert entry["verdict"]["checks"][0]["check"] == "departures: MAE"
    assert [e["action"] for e in found["entries"]] == [
        "refuse",
        "move",
        "register",
        "move",
        "register",
        "move",
        "register",
    ]
    assert len(read(http, "/console/history?limit=2")["entries"]) == 2


def test_the_differences_of_two_pairs_are_those_of_run_diff(http: httpx.Client) -> None:
    body = read(http, "/console/diff?version=candidate&against=3")
    assert (body["before"]["version"], body["after"]["version"]) == (3, 4)
    assert body["halves"]["preprocessor"] == {"same": False, "files": ["state/means.npz"]}
    assert body["lines"] == difference_lines(body)
    with_the_served = read(http, "/console/diff?version=4")
    assert with_the_served["before"]["version"] == 3
    for query, field in (("version=4&against=", "against"), ("version=../x", "version")):
        refused = http.get(f"/console/diff?{query}")
        assert (refused.status_code, refused.json()["error"]["path"]) == (422, field)


def test_a_registry_that_is_away_is_said_and_what_serves_is_still_shown(
    folder: Path, http: httpx.Client
) -> None:
    registry = FolderRegistry(folder)
    registry.take_away()
    try:
        wait_for(lambda: read(http, "/console/pairs")["registry"] is not None)
        found = read(http, "/console/pairs")
        assert "cannot be reached" in found["registry"]
        assert {pair["alias"]: pair["since"] for pair in found["pairs"]} == {
            "production": None,
            "candidate": None,
        }
        assert found["pairs"][0]["backtest"] is not None
        wait_for(lambda: http.get("/console/history").status_code == 503)
        assert http.post("/predict/feast", json={"entity": ENTITY}).status_code == 200
        wait_for(lambda: "production" in read(http, "/console/traffic")["degraded"])
    finally:
        registry.bring_back()
    wait_for(lambda: read(http, "/console/traffic")["degraded"] == {})


def test_entities_are_found_by_every_word(http: httpx.Client) -> None:
    every = read(http, "/console/entities")
    assert (every["total"], every["matching"]) == (3, 3)
    assert [tuple(entity.values()) for entity in every["entities"]] == list(fakes.STORED)
    assert read(http, "/console/entities?search=dl%20JFK")["entities"] == [ENTITY]
    some = read(http, "/console/entities?search=jfk&limit=1")
    assert (some["matching"], len(some["entities"])) == (2, 1)
    assert read(http, "/console/entities?search=nowhere") == {
        "total": 3,
        "matching": 0,
        "entities": [],
    }


def test_a_series_has_what_came_and_what_the_backtest_had_forecast(http: httpx.Client) -> None:
    rows = fakes.make_history()
    mine = rows[(rows["airport"] == "JFK") & (rows["carrier"] == "DL")].set_index(TIME)[
        "departures"
    ]
    newest = read(http, "/console/series", entity=ENTITY, steps=30)
    assert newest["times"][-1] == newest["newest"] == "2024-03-03T00:00:00Z"
    assert len(newest["times"]) == 30
    for time, value in zip(newest["times"], newest["targets"]["departures"], strict=True):
        assert value == mine.get(pd.Timestamp(time)), time  # none on the day without a row
    assert newest["targets"]["departures"].count(None) == 1
    past = read(http, "/console/series", entity=ENTITY, steps=2, at="2024-02-28T00:00:00Z")
    assert past["times"] == [f"2024-02-{day}T00:00:00Z" for day in (27, 28, 29)] + [
        f"2024-03-0{day}T00:00:00Z" for day in (1, 2)
    ]
    backtest = newest["backtest"]
    assert backtest["note"] is None
    assert [forecast["origin"] for forecast in backtest["forecasts"]] == [
        "2024-02-20T00:00:00Z",
        "2024-02-25T00:00:00Z",
    ]
    assert backtest["forecasts"][0]["times"] == [f"2024-02-{day}T00:00:00Z" for day in (21, 22, 23)]
    assert backtest["forecasts"][0]["targets"]["delay"] == {
        "mean": [21.0] * 3,
        "lower": [20.6] * 3,
        "upper": [21.4] * 3,
    }
    assert (
        read(http, "/console/series", entity=ENTITY, arm="candidate")["backtest"]["pair"]["version"]
        == 4
    )
    unknown = read(http, "/console/series", entity={**ENTITY, "airport": "nowhere"})
    assert (unknown["times"], unknown["newest"], unknown["backtest"]["forecasts"]) == ([], None, [])


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"entity": {"airport": "JFK"}}, "entity.carrier"),
        ({"entity": {**ENTITY, "gate": "4"}}, "entity.gate"),
        ({"entity": ENTITY, "steps": 0}, "steps"),
        ({"entity": ENTITY, "steps": 2001}, "steps"),
        ({"entity": ENTITY, "at": "yesterday"}, "at"),
        ({"entity": ENTITY, "arm": "nobody"}, "arm"),
        ({"entity": ENTITY, "step": 3}, "step"),
    ],
)
def test_a_wrong_question_is_refused_with_its_path(
    http: httpx.Client, body: Any, path: str
) -> None:
    answer = http.post("/console/series", json=body)
    assert (answer.status_code, answer.json()["error"]["path"]) == (422, path)


def test_a_limit_is_a_number_in_its_range(http: httpx.Client) -> None:
    for path in ("/console/history", "/console/entities"):
        for limit in ("0", "1001", "many", "١", "9" * 40):
            answer = http.get(path, params={"limit": limit})
            assert (answer.status_code, answer.json()["error"]["path"]) == (422, "limit")


def test_traffic_counts_the_requests_for_forecasts_and_nothing_else(http: httpx.Client) -> None:
    def counted() -> dict[tuple[str, str], int]:
        return {
            (entry["status"], entry["arm"]): sum(entry["counts"])
            for entry in read(http, "/console/traffic")["requests"]
        }

    before = counted()
    for _ in range(4):
        http.post("/predict/feast?arm=candidate", json={"entity": ENTITY})
    for _ in range(3):
        http.post("/predict/feast", json={"entity": {"airport": "JFK"}})
    http.get("/pair")
    http.get("/nowhere")
    wait_for(
        lambda: (
            counted()
            == {
                **before,
                ("200", "candidate"): before.get(("200", "candidate"), 0) + 4,
                ("422", ""): 3,
            }
        )
    )
    found = read(http, "/console/traffic")
    assert len(found["times"]) == len(found["seconds"]) == len(found["requests"][0]["counts"])
    stages = {(stage["stage"], stage["arm"]): stage for stage in found["stages"]}
    alone, together = stages["predict", "candidate"], stages["predict", None]
    assert together["last"]["count"] == sum(
        stages["predict", arm]["last"]["count"] for arm in ("production", "candidate")
    )
    assert 0 < alone["last"]["p50"] <= alone["last"]["p95"]
    assert sum(alone["counts"]) == alone["last"]["count"]


def test_quantiles_are_those_of_a_histogram() -> None:
    bounds = np.array([0.1, 0.2, 0.5, np.inf])
    assert quantile(bounds, np.array([0.0, 0, 0, 0]), 0.5) is None
    assert quantile(bounds, np.array([10.0, 10, 10, 10]), 0.5) == 50
    assert quantile(bounds, np.array([0.0, 4, 8, 8]), 0.75) == 350
    assert (
        quantile(bounds, np.array([0.0, 0, 0, 8]), 0.5) == 500
    )  # all that is known: more than this


def test_what_was_between_two_looks_is_their_difference() -> None:
    metrics = Metrics()
    traffic, arm = Traffic(metrics, {"/predict"}), metrics.of_arm("production", make_version(3))
    looks = []
    for n in (2, 5):
        for _ in range(n):
            metrics.count_request("/predict", 200, 0.01, "production", 3)
            metrics.count_request("/metrics", 200, 0.01)
            arm.observe["predict"](0.001 * n)
        looks.append(traffic.snapshot(n))
    assert [look.requests for look in looks] == [
        {("200", "production"): 2},
        {("200", "production"): 7},
    ]
    predicted = [look.stages["predict", "production"] for look in looks]
    assert [below[0.0025] for below in predicted] == [2, 2]
    assert [below[float("inf")] for below in predicted] == [2, 7]


def test_nobody_waits_for_a_read_that_others_began_and_the_loop_stays_free() -> None:
    reader, calls, free = Reader(), [], threading.Event()

    def slow() -> int:
        calls.append(1)
        assert free.wait(10)
        return len(calls)

    def fails() -> int:
        raise DataError("the store is away.")

    async def main() -> None:
        waiting = [asyncio.ensure_future(reader("slow", 60, slow)) for _ in range(50)]
        await asyncio.sleep(0.05)  # the loop goes on while the thread waits
        assert await reader("other", 0, lambda: 7) == 7
        waiting[0].cancel()  # one that leaves takes nobody's answer
        free.set()
        assert await asyncio.gather(*waiting[1:]) == [1] * 49
        assert await reader("slow", 60, slow) == 1
        assert await reader("slow", 0, slow) == 2
        with pytest.raises(Refusal, match="the store is away") as refusal:
            await reader("fails", 60, fails)
        assert (refusal.value.status, refusal.value.retry_after) == (503, 5)

    asyncio.run(main())
    reader.close()


def test_without_a_store_it_says_so(tmp_path: Path) -> None:
    with (
        server_process("fastapi", {"port": 0}, tmp_path, "none") as (_, url),
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        for answer in (
            http.get("/console/entities"),
            http.post("/console/series", json={"entity": ENTITY}),
        ):
            assert answer.status_code == 409
            assert "no feature store" in answer.json()["error"]["message"]
        assert http.get("/console/pairs").status_code == 200


def test_every_endpoint_has_its_scope_and_the_page_is_open(tmp_path: Path) -> None:
    keys = {scope: f"key-{scope}" for scope in ("predict", "metrics", "admin")}
    (tmp_path / "keys").write_text(
        "\n".join(f"{scope} {sha256(key.encode()).hexdigest()}" for scope, key in keys.items())
    )
    expected = {
        "pairs": "metrics",
        "traffic": "metrics",
        "history": "admin",
        "entities": "predict",
        "series": "predict",
    }
    options = {"port": 0, "access": {"keys_file": str(tmp_path / "keys")}}
    with (
        server_process("fastapi", options, tmp_path / "pairs") as (_, url),
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        page = http.get("/")
        assert page.status_code == 200
        assert "fake" not in page.text, "the page has no data in it"
        assert "unsafe" not in page.headers["content-security-policy"]
        for name, scope in expected.items():
            path = f"/console/{name}"
            body = {"entity": ENTITY} if name == "series" else None
            method = "POST" if body else "GET"
            assert http.request(method, path, json=body).status_code == 401
            for given, key in keys.items():
                answer = http.request(
                    method, path, json=body, headers={"authorization": f"Bearer {key}"}
                )
                assert answer.status_code == (200 if given == scope else 403), (name, given)


def test_it_can_be_left_out(tmp_path: Path) -> None:
    with (
        server_process("fastapi", {"port": 0, "console": False}, tmp_path) as (_, url),
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        assert {
            http.get(path).status_code for path in ("/", "/console/pairs", "/console/traffic")
        } == {404}
        assert not [
            path
            for path in http.get("/openapi.json").json()["paths"]
            if path.startswith("/console")
        ]


def test_the_gpus_of_an_arm_are_shown_and_why_one_is_not() -> None:
    loads = [GpuLoad("GPU-aa", 87.0, 3 << 30, 80 << 30), "NVML does not answer here (test)"]
    arm: Any = SimpleNamespace(name="production", version=make_version(1), device="cuda:0")
    table: Any = SimpleNamespace(primary=arm, ranges=[])
    service: Any = SimpleNamespace(gpu_loads=lambda _: loads, deployment=None)
    shown = Pairs(service)._arm(arm, table)
    assert shown["gpus"] == [
        {"gpu": "GPU-aa", "busy": 87.0, "memory_used": 3 << 30, "memory_total": 80 << 30}
    ]
    assert shown["gpu_notes"] == ["NVML does not answer here (test)"]
