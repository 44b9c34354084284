"""Promotions and rollbacks while clients ask, kill -9 of replicas at will: is an answer ever lost,
or of two pairs?

    python benchmarks/ray_promotion.py [--requests 20000] [--clients 8] [--seconds 1] [--replicas 1]
    [--kills]

Four services of Ray Serve serve pairs of fakes. Clients ask for the golden batch, over and over;
every ``--seconds`` the alias moves to the next of three pairs, there and back. An answer is *mixed*
when its stamp is not of one pair or its values are not that pair's offline forecast, bit for bit;
*failed* when its status is not 200. With ``--kills`` every move is followed by kill -9 of a
replica, each service in turn; a 503 with Retry-After is then asked again, and counted. Exit code 1
when anything failed or was mixed.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from framework.testing import fakes
from framework.testing.folder_registry import FolderRegistry, make_version
from framework.testing.servers.fake_server import Client, make_deployment, server_process

VERSIONS = (3, 4, 5)
SERVICES = ("ModelService", "PreprocessingService", "FeastService", "ForecastAPI")


class Clients:
    """Counts what they are told."""

    def __init__(self, url: str, total: int) -> None:
        self._url = url
        self._numbers, self._lock = iter(range(total)), threading.Lock()
        self._goldens = {number: fakes.make_pair(shift=float(number))[1] for number in VERSIONS}
        self.counts: Counter[Any] = Counter()
        self.done = threading.Event()

    def ask(self) -> None:
        counts: Counter[Any] = Counter()
        with httpx.Client(base_url=self._url, timeout=60) as http:
            body = {"rows": Client(http, self._goldens[3]).golden_rows()}
            while self._another():
                answer = http.post("/predict", json=body)
                while answer.status_code == 503 and "retry-after" in answer.headers:
                    counts["asked again"] += 1
                    time.sleep(float(answer.headers["retry-after"]))
                    answer = http.post("/predict", json=body)
                counts[self._judged(answer)] += 1
        with self._lock:
            self.counts += counts

    def _another(self) -> bool:
        with self._lock:
            return next(self._numbers, None) is not None

    def _judged(self, answer: httpx.Response) -> Any:
        if answer.status_code != 200:
            return "failed"
        number = answer.json()["pair"]["version"]
        one = answer.json()["pair"] == make_version(number).stamp("production")
        return (
            number
            if one and np.array_equal(Client.values(answer), self._goldens[number].values)
            else "mixed"
        )


def disturb(
    registry: FolderRegistry, clients: Clients, seconds: float, kills: bool, server: int
) -> tuple[int, int]:
    """Moves and kills until the clients are done; how many of each."""
    killed = 0
    for moves, (number, service) in enumerate(
        zip(itertools.cycle((4, 5, 4, 3)), itertools.cycle(SERVICES), strict=True)
    ):
        if clients.done.wait(seconds):
            return moves, killed
        registry.point("production", number)
        if kills:
            found = [
                p
                for p in psutil.Process(server).children(recursive=True)
                if f":{service}" in " ".join(p.cmdline()[:1])
            ]
            for process in found[:1]:
                process.kill()
                killed += 1
    raise AssertionError


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--kills", action="store_true")
    given = parser.parse_args()
    each = {"min_replicas": given.replicas}
    options = {
        "port": 0,
        "address": None,
        "num_cpus": 2 * given.replicas,
        "dashboard": False,
        "reload": {"seconds": 0.2},
        **dict.fromkeys(("forecast_api", "feast", "preprocessing", "model"), each),
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_deployment(folder)
        registry = FolderRegistry(folder)
        for number in VERSIONS[1:]:
            registry.add(number)
        with (
            server_process("ray", options, folder) as (process, url),
            ThreadPoolExecutor(given.clients + 1) as threads,
        ):
            clients = Clients(url, given.requests)
            started = time.monotonic()
            disturbing = threads.submit(
                disturb, registry, clients, given.seconds, given.kills, process.pid
            )
            for asking in [threads.submit(clients.ask) for _ in range(given.clients)]:
                asking.result()
            seconds = time.monotonic() - started
            clients.done.set()
            moves, killed = disturbing.result()
            process.terminate()
            process.wait(60)
    for what, count in sorted(clients.counts.items(), key=str):
        print(f"{what if isinstance(what, str) else f'version {what}':12} {count:7}")
    failed, mixed = clients.counts["failed"], clients.counts["mixed"]
    print(
        f"summary: {failed} failed, {mixed} mixed of {given.requests} requests, "
        f"{given.requests / seconds:.0f}/s, during {moves} moves of "
        f"the alias and {killed} kills; {clients.counts['asked again']} were asked again"
    )
    return 1 if failed or mixed else 0


if __name__ == "__main__":
    raise SystemExit(main())
