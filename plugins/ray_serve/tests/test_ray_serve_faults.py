"""What fails alone: killed replicas, requests that kill, a store that is slow or away, pairs that
move. One server for all tests.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from framework.testing import fakes
from framework.testing.folder_registry import FolderRegistry, make_version
from framework.testing.servers.asking import asking, wait_for
from framework.testing.servers.fake_server import (
    ENTITY,
    Client,
    make_deployment,
    make_row,
    server_process,
)

from .conftest import fresh_options, replicas

SERVICES = ("ForecastAPI", "FeastService", "PreprocessingService", "ModelService")


@dataclass(frozen=True)
class Server:
    url: str
    registry: FolderRegistry

    def predict(self, **changed: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/predict", json={"rows": [make_row(**changed)]}, timeout=60)

    def look_up(self, airport: str) -> httpx.Response:
        return httpx.post(
            f"{self.url}/predict/feast", json={"entity": {**ENTITY, "airport": airport}}, timeout=60
        )

    def pids(self, service: str) -> set[int]:
        return {process.pid for process in replicas(self.url, service)}

    def answers(self) -> bool:
        return self.predict().status_code == self.look_up("JFK").status_code == 200


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("pairs")
    make_deployment(directory)
    registry = FolderRegistry(directory)
    for number in (4, 5):
        registry.add(number)
    options = fresh_options(
        reload={"seconds": 0.1}, feast={"timeout_s": 5.0}, forecast_api={"min_replicas": 2}
    )
    with server_process("ray", options, directory) as (_, url):
        yield Server(url, registry)


@pytest.mark.stress
def test_promotions_and_a_rollback_under_load_change_no_process_and_mix_nothing(
    server: Server,
) -> None:
    goldens = {number: fakes.make_pair(shift=float(number))[1] for number in (3, 4, 5)}
    before = {service: server.pids(service) for service in SERVICES}
    clients = 4
    stop = threading.Event()

    def ask() -> list[httpx.Response]:
        answers = []
        body = {"rows": Client(httpx.Client(), goldens[3]).golden_rows()}
        with httpx.Client(base_url=server.url, timeout=30) as http:
            while not stop.is_set():
                answers.append(http.post("/predict", json=body))
        return answers

    def served(number: int) -> bool:
        return all(server.predict().json()["pair"]["version"] == number for _ in range(8))

    with ThreadPoolExecutor(clients) as threads:
        asked = [threads.submit(ask) for _ in range(clients)]
        try:
            for number in (4, 5, 4, 3):
                server.registry.point("production", number)
                wait_for(partial(served, number))
        finally:
            stop.set()
    answers = [answer for client in asked for answer in client.result()]
    assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        number = answer.json()["pair"]["version"]
        assert answer.json()["pair"] == make_version(number).stamp("production")
        assert np.array_equal(Client.values(answer), goldens[number].values)
    assert {answer.json()["pair"]["version"] for answer in answers} == {3, 4, 5}
    assert {service: server.pids(service) for service in SERVICES} == before


def test_a_reload_is_that_of_every_replica(server: Server) -> None:
    for number in (4, 3):
        server.registry.point("production", number)
        found = httpx.post(f"{server.url}/admin/reload", timeout=60).json()
        assert found["aliases"][0]["version"] == number
        assert len({worker["replica"] for worker in found["workers"]}) == 2
        assert [entry["version"] for worker in found["workers"] for entry in worker["aliases"]] == [
            number,
            number,
        ]


@pytest.mark.parametrize(
    "service",
    [
        *(pytest.param(service, marks=pytest.mark.stress) for service in SERVICES[:3]),
        "ModelService",
    ],
)
def test_a_killed_replica_comes_back_and_nobody_is_told_worse_than_to_try_again(
    server: Server, service: str
) -> None:
    before = server.pids(service)
    others = {name: server.pids(name) for name in SERVICES if name != service}
    with (
        asking(server.url) as payloads,
        asking(server.url, path="/predict/feast", json={"entity": ENTITY}) as lookups,
    ):
        wait_for(lambda: payloads and lookups)
        victim = replicas(server.url, service)[0]
        victim.kill()
        wait_for(
            lambda: (
                len(server.pids(service)) == len(before) and victim.pid not in server.pids(service)
            )
        )
        wait_for(server.answers)
        seen = len(payloads), len(lookups)
        wait_for(lambda: len(payloads) > seen[0] + 5 and len(lookups) > seen[1] + 5)
    for answer in (*payloads, *lookups):
        assert answer.status_code in (200, 503), answer.text
        assert answer.status_code == 200 or int(answer.headers["retry-after"]) >= 1
        assert answer.status_code == 200 or answer.json()["error"]["message"]
    if service == "FeastService":
        assert {answer.status_code for answer in payloads} == {200}
    assert {name: server.pids(name) for name in others} == others


def test_without_feast_service_a_payload_is_answered_and_a_lookup_is_told_to_try_again(
    server: Server,
) -> None:
    ended = threading.Event()

    def keep_away() -> None:
        while not ended.wait(0.5):
            for process in replicas(server.url, "FeastService"):
                process.kill()

    thread = threading.Thread(target=keep_away)
    thread.start()
    answers = list[
        httpx.Response
    ]()  # the last one is while there is no replica; between two kills there may be one

    def refuses() -> bool:
        answers.append(server.look_up("JFK"))
        return answers[-1].status_code == 503

    try:
        wait_for(refuses)
        answered = server.predict()
    finally:
        ended.set()
        thread.join()
    refused = answers[-1]
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert int(refused.headers["retry-after"]) >= 1
    assert "FeastService" in refused.json()["error"]["message"]
    assert answered.status_code == 200
    wait_for(server.answers)


def test_a_slow_store_or_preprocessing_keeps_nobody_else_waiting(
    server: Server, tmp_path: Path
) -> None:
    waits = {
        "store": (server.look_up, "airport", "ok"),
        "preprocessing": (server.predict, "season", "ok"),
    }
    for name, (ask, field, status) in waits.items():
        gate, answers = tmp_path / name, list[httpx.Response]()
        given = {field: f"{fakes.WAIT}{gate}"}
        thread = threading.Thread(
            target=lambda ask=ask, given=given, answers=answers: answers.append(ask(**given))
        )
        thread.start()
        for _ in range(3):
            assert server.predict().status_code == 200
            assert httpx.get(f"{server.url}/health/ready", timeout=30).status_code == 200
            assert server.look_up("JFK").status_code == 200
        assert not answers or answers[0].status_code == 503
        gate.touch()
        thread.join()
        assert (name, answers[0].status_code, answers[0].json()["forecasts"][0]["status"]) == (
            name,
            200,
            status,
        )


@pytest.mark.parametrize(
    ("service", "field"),
    [("ModelService", "season"), pytest.param("FeastService", "airport", marks=pytest.mark.stress)],
)
def test_a_request_that_ends_its_process_ends_one_replica_and_is_refused_from_then_on(
    server: Server, service: str, field: str
) -> None:
    ask = server.look_up if field == "airport" else server.predict
    (before,) = server.pids(service)
    answer = ask(**{field: fakes.DEADLY})
    assert (answer.status_code, "ended the process" in answer.text) == (422, True)
    wait_for(lambda: server.pids(service) not in ({before}, set()) and server.answers())
    after = server.pids(service)
    for _ in range(6):  # each replica of ForecastAPI knows
        assert ask(**{field: fakes.DEADLY}).status_code == 422
    assert server.pids(service) == after
