"""A server that is told to stop answers every request that has arrived."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from framework.testing.servers.fake_server import make_row, server_process

BODY = json.dumps({"rows": [make_row()]}).encode()
REQUEST = (
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


def answer(raw: socket.socket, *, last: bool) -> bytes:
    """One answer; the last one is followed by the connection's end."""
    text = b""
    while b"\r\n\r\n" not in text or last:
        part = raw.recv(65_536)
        if not part:
            break
        text += part
    if not last:
        head, _, body = text.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        while len(body) < length:
            body += raw.recv(65_536)
    return text


@pytest.mark.parametrize("workers", [1, 2])
def test_what_has_arrived_before_a_stop_is_answered(tmp_path: Path, workers: int) -> None:
    """On connections that are open, and on those that no process has taken yet."""
    with (
        server_process("fastapi", {"port": 0, "workers": workers}, tmp_path) as (process, url),
        ExitStack() as opened,
    ):
        address = (httpx.URL(url).host, httpx.URL(url).port)

        def connect() -> socket.socket:
            raw = opened.enter_context(socket.create_connection(address))
            raw.settimeout(30)
            return raw

        known = [connect() for _ in range(40)]
        for raw in known:
            raw.sendall(REQUEST)
            assert answer(raw, last=False).startswith(b"HTTP/1.1 200")
        below = [p.pid for p in psutil.Process(process.pid).children(recursive=True)]
        servers = below if workers > 1 else [process.pid]
        for pid in servers:
            os.kill(pid, signal.SIGSTOP)
        new = [connect() for _ in range(40)]
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(workers - 1)  # the supervisor tells its workers
        for raw in (*known, *new):
            raw.sendall(REQUEST)
        for pid in servers:
            os.kill(pid, signal.SIGCONT)
        for raw in (*known, *new):
            assert answer(raw, last=True).startswith(b"HTTP/1.1 200")
        assert process.wait(30) == 0
