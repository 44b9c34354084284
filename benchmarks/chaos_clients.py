"""The clients of ``benchmarks/chaos.py`` that want a server to stop answering others."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import httpx

from framework.testing.servers.fake_server import make_row

#: Seconds that a probe or a forecast may take beside an attack.
PROBE = 5.0
_HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_REQUESTS = 8


def _silent(raw: socket.socket, chance: random.Random) -> None:
    """Ask nothing."""


def _slow_head(raw: socket.socket, chance: random.Random) -> None:
    raw.sendall(_HEAD[: chance.randrange(1, len(_HEAD))])


def _slow_body(raw: socket.socket, chance: random.Random) -> None:
    raw.sendall(_HEAD + b"Content-Length: 5000\r\n\r\n" + b" " * chance.randrange(500))


def _gone(raw: socket.socket, chance: random.Random) -> None:
    raw.sendall(_HEAD + b"Content-Length: 5000\r\n\r\n{")
    raw.close()


def _noise(raw: socket.socket, chance: random.Random) -> None:
    raw.sendall(chance.randbytes(2000) + b"\r\n\r\n")


def _long_head(raw: socket.socket, chance: random.Random) -> None:
    raw.sendall(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 200_000)


def _deep_body(raw: socket.socket, chance: random.Random) -> None:
    body = b'{"rows":' + b"[" * 50_000
    raw.sendall(_HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


def _strange_json(raw: socket.socket, chance: random.Random) -> None:
    bodies = (b'{"rows": [{}], "rows": []}', b'{"rows": [1e999]}', b"\xff\xfe", b"[" * 100, b"")
    body = chance.choice(bodies)
    raw.sendall(_HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


ATTACKS: dict[str, Callable[[socket.socket, random.Random], None]] = {
    "silent": _silent,
    "slow head": _slow_head,
    "slow body": _slow_body,
    "gone in the middle": _gone,
    "noise": _noise,
    "long head": _long_head,
    "deep JSON": _deep_body,
    "strange JSON": _strange_json,
}


def attack(url: str, chance: random.Random) -> tuple[list[str], list[str], float]:
    """Attack a server by three kinds of clients at once, and ask it as others do.

    Args:
        url: The server's.
        chance: What the clients draw from.

    Returns:
        The kinds, what went wrong, and the seconds of the slowest answer that others got.
    """
    kinds = chance.sample(sorted(ATTACKS), 3)
    place = httpx.URL(url)
    problems: list[str] = []
    slowest = 0.0
    with ExitStack() as stack, httpx.Client(base_url=url, timeout=60) as http:
        connections = []
        for number in range(60):
            with suppress(OSError):  # the server may close it at once
                raw = stack.enter_context(socket.create_connection((place.host, place.port or 80)))
                raw.settimeout(10)
                connections.append(raw)
                ATTACKS[kinds[number % 3]](raw, chance)
        for number in range(_REQUESTS):
            begun = time.monotonic()
            if number % 2:
                answer = http.get("/health/live")
            else:
                answer = http.post("/predict", json={"rows": [make_row()]})
            seconds = time.monotonic() - begun
            slowest = max(slowest, seconds)
            if answer.status_code != 200 or seconds > PROBE:
                problems.append(f"{answer.url.path}: {answer.status_code} after {seconds:.1f} s")
        for raw in connections:
            with suppress(OSError):
                raw.setblocking(False)
                first = raw.recv(12)
                if first.startswith(b"HTTP/1.1 5") and first[9:12] not in (b"503", b"504"):
                    problems.append(f"a hostile client got {first.decode()}")
    return kinds, problems, slowest
