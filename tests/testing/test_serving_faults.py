"""The contract suite of serving backends names what is wrong with each of some faulty servers: the
server of the core, in this process, behind something that spoils its answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

from framework.serving.app.app import create_app
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing import fakes
from framework.testing.contracts.serving import ServingContract
from framework.testing.failing import failing_checks
from framework.testing.servers.fake_server import Client, make_deployment

URL = "http://127.0.0.1"
#: Spoils an answer: takes the request and the answer, gives another answer.
Fault = Callable[[httpx.Request, httpx.Response], httpx.Response]


class Spoiling(httpx.BaseTransport):
    """Hands requests to another client, and spoils what it answers."""

    def __init__(self, client: TestClient, fault: Fault) -> None:
        self.client, self.fault = client, fault

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        headers = [(k, v) for k, v in request.headers.items() if k != "host"]
        answer = self.client.request(
            request.method, request.url.raw_path.decode(), content=request.content, headers=headers
        )
        answered = httpx.Response(  # the client may bring a library of its own
            answer.status_code, headers=dict(answer.headers), content=answer.content
        )
        return self.fault(request, answered)


def remade(answer: httpx.Response, status: int | None = None, **changed: Any) -> httpx.Response:
    headers = changed.get("headers", answer.headers)
    headers = {k: v for k, v in headers.items() if k != "content-length"}
    return httpx.Response(
        answer.status_code if status is None else status,
        headers=headers,
        content=changed.get("content", answer.content),
    )


def with_forecasts(change: Callable[[list[dict[str, Any]]], None]) -> Fault:
    """Change the forecasts of each answer that has some."""

    def fault(_: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if b'"forecasts"' not in answer.content:
            return answer
        body = answer.json()
        change(body["forecasts"])
        return remade(answer, content=json.dumps(body).encode())

    return fault


def unchanged(_: httpx.Request, answer: httpx.Response) -> httpx.Response:
    return answer


@with_forecasts
def rounds(forecasts: list[dict[str, Any]]) -> None:
    for forecast in forecasts:
        for target in forecast["targets"].values():
            target["mean"] = [float(np.float32(value)) for value in target["mean"]]


@with_forecasts
def reverses(forecasts: list[dict[str, Any]]) -> None:
    forecasts.reverse()


@with_forecasts
def invents(forecasts: list[dict[str, Any]]) -> None:
    for forecast in forecasts:
        forecast["status"] = "ok"


@with_forecasts
def one_for_all(forecasts: list[dict[str, Any]]) -> None:
    if forecasts[0]["entity"]["airport"] != "airport-0" and forecasts[0]["targets"]:
        LAST.append(forecasts[0]["targets"])
        forecasts[0]["targets"] = LAST[0]


#: What :func:`one_for_all` answered first.
LAST: list[Any] = []


def answers_500(_: httpx.Request, answer: httpx.Response) -> httpx.Response:
    return remade(answer, 500) if answer.status_code == 422 else answer


def drops_the_path(_: httpx.Request, answer: httpx.Response) -> httpx.Response:
    content = re.sub(rb'"path":"[^"]*"', b'"path":null', answer.content)
    return remade(answer, content=content)


def forgets_the_id(_: httpx.Request, answer: httpx.Response) -> httpx.Response:
    return remade(answer, headers={k: v for k, v in answer.headers.items() if k[0] != "x"})


def never_says_when(_: httpx.Request, answer: httpx.Response) -> httpx.Response:
    headers = {k: v for k, v in answer.headers.items() if k != "retry-after"}
    return remade(answer, headers=headers)


def ignores_the_horizon(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
    return remade(answer, 200) if b'"horizon":4' in request.content else answer


def counts_nothing(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
    if request.url.path != "/metrics":
        return answer
    return remade(answer, content=answer.content.replace(b'status="422"', b'status="400"'))


def says_another_pair(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
    return remade(answer, content=answer.content.replace(b'"version":3', b'"version":2'))


ONE = "test_one_row_answers_what_training_recorded_bit_for_bit"
BATCH = "test_a_batch_of_rows_or_columns_answers_bit_for_bit_in_order"
WRONG = "test_wrong_input_is_refused_with_its_path"
LOOKUPS = "test_entities_are_looked_up_each_with_its_own_status"
MANY = "test_many_clients_at_once_get_each_their_own_answer"
ID = "test_every_response_has_an_id_and_the_headers_of_safety"
DOWN = "test_a_store_that_is_down_is_503_with_retry_after"
HORIZON = "test_a_shorter_horizon_answers_the_first_steps"
METRICS = "test_metrics_count_requests_forecasts_and_stages"
READY = "test_is_live_ready_and_names_its_pair"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    options = ServingOptions(max_rows=50, max_body_bytes=65_536)
    service = Service(make_deployment(tmp_path_factory.mktemp("pair")), options)
    with TestClient(create_app(service), URL, raise_server_exceptions=False) as client:
        yield client


class InProcess(ServingContract):
    backend, options = "fastapi", {}

    @contextmanager
    def another(self, client: Client) -> Iterator[httpx.Client]:
        yield client.http


@pytest.mark.parametrize(
    ("fault", "checks", "words"),
    [
        (unchanged, {BATCH, WRONG, LOOKUPS, ID, DOWN, HORIZON, METRICS, READY}, ""),
        (rounds, {ONE, BATCH}, "no float32, no rounding"),
        (reverses, {BATCH, LOOKUPS}, "posted as rows"),
        (invents, {LOOKUPS}, "the strategy's statuses are passed on"),
        (one_for_all, {MANY}, "are another client's, or mixed"),
        (answers_500, {WRONG}, "never a 500"),
        (drops_the_path, {WRONG}, "'path' of the error"),
        (forgets_the_id, {ID}, "gives None, not mine-1"),
        (never_says_when, {DOWN}, "says Retry-After 0"),
        (ignores_the_horizon, {HORIZON}, "a pair forecasts 1 to 3 steps"),
        (counts_nothing, {METRICS}, "dashboards and alerts are built on these names"),
        (says_another_pair, {READY}, "an operator reads which pair answers"),
    ],
)
def test_a_fault_is_named_by_the_check_that_fails(
    server: TestClient, fault: Fault, checks: set[str], words: str, tmp_path: Path
) -> None:
    http = httpx.Client(transport=Spoiling(server, fault), base_url=URL)
    client = Client(http, fakes.make_pair(shift=3.0)[1])
    failures = failing_checks(InProcess(), tmp_path, {"client": lambda _: client}, checks)
    assert set(failures) == (checks if words else set()), failures
    assert any(words in message for message in failures.values()) or not words, failures
