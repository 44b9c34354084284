"""Load on an HTTP server: keep-alive connections that send one request again and again, each as
soon as the one before is answered.

    python benchmarks/load.py PORT PATH BODY_FILE REQUESTS CLIENTS     prints {"rate", "p50",
    "p99"}: requests per second, milliseconds

Every answer must have the status 200. A process of its own, so that it takes none of the server's
time.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any

CLIENTS = 16


class Connection(asyncio.Protocol):
    """Sends the next of the shared requests as soon as the one before is answered. ``wanted``:
    whether an answer is as it should be.
    """

    def __init__(
        self, requests: Iterator[bytes], seconds: list[float], wanted: Callable[[bytes], bool]
    ) -> None:
        self._requests, self._seconds, self._wanted = requests, seconds, wanted
        self._buffer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            return
        self._started = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        lower = head.lower()
        length = lower.partition(b"content-length:")[2].partition(b"\r\n")[0]
        if length:
            if len(body) < int(length):
                return
        elif not body.endswith(b"0\r\n\r\n"):  # chunked
            return
        self._seconds.append(time.perf_counter() - self._started)
        self._buffer = b""
        if not self._wanted(head):
            self.done.set_exception(
                RuntimeError(f"an answer was not as it should be: {(head + body)[:500]!r}")
            )
            self._transport.close()
            return
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def post(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _is_ok(head: bytes) -> bool:
    return head.startswith(b"HTTP/1.1 200")


async def send(
    port: int,
    requests: Iterator[bytes],
    clients: int = CLIENTS,
    wanted: Callable[[bytes], bool] = _is_ok,
) -> list[float]:
    """Seconds of each answer. Raises RuntimeError when one is not wanted."""
    seconds, loop = list[float](), asyncio.get_running_loop()
    made = [
        loop.create_connection(lambda: Connection(requests, seconds, wanted), "127.0.0.1", port)
        for _ in range(clients)
    ]
    await asyncio.gather(*[connection.done for _, connection in await asyncio.gather(*made)])
    return seconds


async def load(
    port: int, path: str, body: bytes, requests: int, clients: int = CLIENTS
) -> dict[str, float]:
    started = time.perf_counter()
    seconds = await send(port, repeat(post(path, body), requests), clients)
    if len(seconds) != requests:
        raise RuntimeError(f"{len(seconds)} of {requests} requests were answered")
    rate = requests / (time.perf_counter() - started)
    return {
        "rate": rate,
        "p50": 1e3 * statistics.median(seconds),
        "p99": 1e3 * sorted(seconds)[int(0.99 * requests)],
    }


def cpu_seconds(session: int) -> float:
    """The processor seconds that the processes of a session have used so far."""
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[3]) == session:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Target:
    """A server that runs, and what it is asked. ``session``: that of its processes, where it is
    one of their own.
    """

    port: int
    path: str
    body: Path
    session: int | None = None

    def measure(self, requests: int, clients: int = CLIENTS) -> dict[str, float]:
        """One round, by a process of its own; ``cpu``: milliseconds of the server's a request."""
        if self.session is None:
            return self._measure(requests, clients)
        before = cpu_seconds(self.session)
        result = self._measure(requests, clients)
        return result | {"cpu": 1e3 * (cpu_seconds(self.session) - before) / requests}

    def _measure(self, requests: int, clients: int) -> dict[str, float]:
        command = [
            sys.executable,
            __file__,
            str(self.port),
            self.path,
            str(self.body),
            str(requests),
            str(clients),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr.strip().rpartition("\n")[2])
        result: dict[str, float] = json.loads(done.stdout)
        return result


def interleaved(
    targets: dict[str, Target], requests: dict[str, int], rounds: int, clients: int = CLIENTS
) -> dict[str, list[dict[str, float]]]:
    """Rounds of all targets in turn, after one that warms up and counts for nothing."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in targets}
    for number in range(rounds + 1):
        for name, target in targets.items():
            found = target.measure(requests[name], clients)
            if number:
                results[name].append(found)
    return results


def ratio(results: dict[str, list[dict[str, float]]], one: str, other: str) -> float:
    """Of the rates; the median over the rounds."""
    return statistics.median(
        a["rate"] / b["rate"] for a, b in zip(results[one], results[other], strict=True)
    )


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Medians over the rounds, and the lowest and highest rate. ``CPU ms``: of the server, a
    request.
    """
    lines = [
        f"{'server':<18}{'req/s':>10}{'p50 ms':>10}{'p99 ms':>10}{'CPU ms':>10}"
        f"{'lowest':>10}{'highest':>10}"
    ]
    for name, rounds in results.items():
        middle, rates = medians(rounds), [r["rate"] for r in rounds]
        figures = [middle["rate"], middle["p50"], middle["p99"], middle.get("cpu", float("nan"))]
        whole = f"{figures[0]:>10.0f}" + "".join(f"{figure:>10.2f}" for figure in figures[1:])
        lines.append(f"{name:<18}{whole}{min(rates):>10.0f}{max(rates):>10.0f}")
    return "\n".join(lines)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NotStarted(Exception):  # noqa: N818  said in the table, not a defect
    """A server that did not answer as it should; the last lines that it wrote."""


@contextmanager
def running(
    command: list[str],
    log: Path,
    target: Target,
    env: dict[str, str] | None = None,
    seconds: float = 180,
) -> Iterator[Target]:
    """A server process that answers the target; its output goes to ``log``. Raises
    :class:`NotStarted`.
    """
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(env or {})},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + seconds
        request = urllib.request.Request(
            f"http://127.0.0.1:{target.port}{target.path}",
            target.body.read_bytes(),
            {"content-type": "application/json"},
        )
        while True:
            try:
                urllib.request.urlopen(request, timeout=10).read()
                break
            except OSError as error:
                answered = isinstance(error, urllib.error.HTTPError) and error.code not in (
                    404,
                    503,
                )
                if answered or process.poll() is not None or time.monotonic() > deadline:
                    said = (
                        error.read().decode()[:500]
                        if isinstance(error, urllib.error.HTTPError)
                        else str(error)
                    )
                    raise NotStarted(
                        f"{said}; {' | '.join(log.read_text().strip().splitlines()[-3:])}"
                    ) from None
                time.sleep(0.1)
        yield replace(target, session=process.pid)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    asked_port, asked_path, body_file, count, connections = sys.argv[1:]
    print(
        json.dumps(
            asyncio.run(
                load(
                    int(asked_port),
                    asked_path,
                    Path(body_file).read_bytes(),
                    int(count),
                    int(connections),
                )
            )
        )
    )
