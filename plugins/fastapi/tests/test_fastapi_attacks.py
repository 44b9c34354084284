"""Clients that want a server to stop answering others. All attack one server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from framework.testing.servers.fake_server import make_row, server_process


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    options = {"port": 0, "max_in_flight": 4, "body_timeout": 1.0, "body_rate": 1000}
    with server_process("fastapi", options, tmp_path_factory.mktemp("pair")) as (_, url):
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
