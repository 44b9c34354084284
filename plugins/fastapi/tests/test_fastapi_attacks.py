"""Clients that want a server to stop answering others. All attack one server."""

from __future__ import annotations

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from framework.testing.servers.fake_server import make_row, server_process


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that may open 200 files."""
    options = {
        "port": 0,
        "max_in_flight": 4,
        "body_timeout": 1.0,
        "body_rate": 1000,
        "head_timeout": 1.5,
    }
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    with server_process("fastapi", options, tmp_path_factory.mktemp("pair")) as (_, url):
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        yield url


def connect(url: str) -> socket.socket:
    raw = socket.create_connection((httpx.URL(url).host, httpx.URL(url).port))
    raw.settimeout(30)
    return raw


def received(raw: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    parts = []
    while part := raw.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def test_bodies_that_come_slowly_keep_no_place_of_others_and_are_given_up(url: str) -> None:
    head = (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 5000\r\n\r\n"
    )
    with ExitStack() as opened:
        slow = [opened.enter_context(connect(url)) for _ in range(20)]
        for raw in slow:
            raw.sendall(head + b" " * 500)
        answers = [
            httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30) for _ in range(5)
        ]
        assert {answer.status_code for answer in answers} == {200}
        for raw in slow:
            answer = received(raw)  # the connection is closed, too
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"too slowly" in answer


def test_a_page_of_somebody_else_reads_nothing_and_orders_nothing(url: str) -> None:
    port = httpx.URL(url).port
    rows = {"rows": [make_row()]}
    with httpx.Client(base_url=url, timeout=30) as http:
        for host in (f"evil.example:{port}", "evil.example", "127.0.0.1.evil.example", ""):
            for method, path in (
                ("GET", "/pair"),
                ("GET", "/console/history"),
                ("GET", "/console/diff?version=1&against=1"),
                ("POST", "/predict"),
            ):
                answer = http.request(
                    method, path, headers={"host": host}, json=rows if method == "POST" else None
                )
                assert answer.status_code == 421, (host, path)
                assert "serving.access.hosts" in answer.json()["error"]["message"]
            assert http.get("/health/ready", headers={"host": host}).status_code == 200
        for host in (f"localhost:{port}", f"[::1]:{port}", "127.0.0.2", "console.localhost"):
            assert http.get("/pair", headers={"host": host}).status_code == 200
        for origin in ("https://evil.example", "null", f"http://localhost:{port}"):
            for path in ("/predict", "/admin/reload", "/invocations"):
                answer = http.post(path, json=rows, headers={"origin": origin})
                assert answer.status_code == 403, (origin, path)
        assert http.post("/predict", json=rows, headers={"origin": url}).status_code == 200
        form = {"content-type": "text/plain"}
        for path in ("/admin/reload", "/admin/canary"):
            assert http.post(path, content='{"share": 1}', headers=form).status_code == 415
            assert http.post(path, content='{"share": 1}').status_code == 415
        assert http.post("/admin/reload").status_code == 200
        assert http.post("/admin/reload", json={}).status_code == 200


def test_connections_on_which_nothing_is_asked_keep_no_place_of_probes(url: str) -> None:
    with ExitStack() as opened:
        for _ in range(400):
            opened.enter_context(connect(url))
        for _ in range(19):
            assert httpx.get(f"{url}/health/live", timeout=5).status_code == 200


def test_bodies_that_do_not_come_keep_no_place_of_probes(url: str) -> None:
    with ExitStack() as opened:
        for _ in range(300):
            raw = opened.enter_context(connect(url))
            raw.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        for _ in range(9):
            assert httpx.get(f"{url}/health/live", timeout=5).status_code == 200


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"", b""),
        (b"\r\n", b"\r\n"),
        (b"GE", b""),
        (b"GET /pair HTTP/1.1\r\nHost: localhost\r\n", b"a"),
    ],
)
def test_a_connection_without_a_whole_head_is_closed(url: str, begun: bytes, more: bytes) -> None:
    """Also when something comes now and then."""
    with connect(url) as raw:
        started = time.monotonic()
        raw.sendall(begun)
        raw.settimeout(0.2)
        while True:
            try:
                answer = received(raw)
                break
            except TimeoutError:
                raw.sendall(more)
        assert 1 < time.monotonic() - started < 10
    if begun.startswith(b"G"):
        assert_error(answer, 408)
    else:
        assert answer == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /pair HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0",
        b"GET /pair HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /pair HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 12_000 + b"\r\n",
    ],
)
def test_what_is_no_request_is_an_error_of_the_documented_form(url: str, sent: bytes) -> None:
    with connect(url) as raw:
        raw.sendall(sent)
        assert_error(received(raw), 400)


def assert_error(answer: bytes, status: int) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"content-type: application/json" in head
    assert b"x-request-id: " in head
    error = json.loads(body)["error"]
    assert error["path"] is None
    assert error["message"]


LONG = "x" * 15_000_000


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/predict/feast", {"entity": {"airport": LONG, "carrier": "DL"}}, "entity.airport"),
        (
            "/predict/feast/batch",
            {"entities": [{"airport": LONG, "carrier": "DL"}]},
            "entities[0].airport",
        ),
        ("/predict", {"rows": [make_row(airport=LONG)]}, "rows[0].airport"),
        ("/predict", {"rows": [make_row(season=LONG)]}, "rows[0].season"),
        ("/predict", {"rows": [make_row(**{LONG: 1})]}, None),
        ("/console/series", {"entity": {"airport": LONG, "carrier": "DL"}}, "entity"),
        ("/invocations", {"instances": [make_row(airport=LONG)]}, "instances[0].airport"),
    ],
)
def test_texts_without_end_are_refused_in_a_short_answer(
    url: str, path: str, body: dict[str, Any], field: str | None
) -> None:
    answer = httpx.post(url + path, json=body, timeout=30)
    assert answer.status_code == 422
    assert len(answer.content) < 1000
    assert field is None or answer.json()["error"]["path"].startswith(field)


ROW = json.dumps(make_row())


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/predict", f'{{"rows": [], "rows": [{ROW}]}}', "rows"),
        ("/predict", f'{{"rows": [{ROW}, {ROW[:-1]}, "temp" : 99}}]}}', "rows[1].temp"),
        ("/predict", f'{{"rows": [{ROW[:-1]}, "te\\u006dp"\n:99}}]}}', "rows[0].temp"),
        ("/predict", f'{{"horizon": 1, "horizon": null, "rows": [{ROW}]}}', "horizon"),
        (
            "/predict/feast",
            '{"entity": {"airport": "JFK", "carrier": "DL", "airport": "LAX"}}',
            "entity.airport",
        ),
        (
            "/predict/feast/batch",
            '{"entities": [{"airport": "JFK", "carrier": "DL", "carrier": " :"}]}',
            "entities[0].carrier",
        ),
        ("/invocations", f'{{"instances": [{ROW}], "instances": [{ROW}]}}', "instances"),
        ("/v2/models/fake/infer", '{"inputs": [], "id": "a", "id": "b"}', "id"),
    ],
)
def test_a_key_that_is_there_twice_is_refused(url: str, path: str, body: str, field: str) -> None:
    answer = httpx.post(
        url + path, content=body, headers={"content-type": "application/json"}, timeout=30
    )
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    if isinstance(error, str):
        assert error == f"{field}: the key is there twice"
    else:
        assert error == {"path": field, "message": "the key is there twice"}


@pytest.mark.parametrize(
    ("path", "begin"),
    [
        ("/predict", '{"rows": '),
        ("/predict/feast", '{"entity": '),
        ("/predict/feast/batch", '{"entities": '),
        ("/invocations", '{"instances": '),
        ("/v2/models/fake/infer", '{"inputs": '),
    ],
)
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_what_is_nested_without_end_is_refused(
    url: str, path: str, begin: str, opening: str, closing: str
) -> None:
    body = f"{begin}{opening * 50_000}1{closing * 50_000}}}"
    answer = httpx.post(
        url + path, content=body, headers={"content-type": "application/json"}, timeout=30
    )
    # what has types is refused at the first wrong one
    assert answer.status_code == (400 if path == "/invocations" else 422), answer.text
    assert len(answer.text) < 1000
    assert httpx.get(f"{url}/health/live", timeout=30).status_code == 200


def test_texts_that_look_like_keys_are_no_keys(url: str) -> None:
    for season in ('a" :b', '":"', "a :", "\n:"):
        body = {"rows": [make_row(season=season)] * 2, "horizon": None, "levels": []}
        for spaced in (json.dumps(body), json.dumps(body, separators=(" , ", " : "))):
            headers = {"content-type": "application/json"}
            answer = httpx.post(f"{url}/predict", content=spaced, headers=headers, timeout=30)
            assert answer.status_code == 200, answer.text
