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
