"""What promotions and a shadow cost the clients of a running server, at 50 requests per second with
one row, on a real MLflow registry:

swaps     three promotions and a rollback: seconds from the move of the alias to the first answer of
the new pair, answers that failed shadow    p95 of a server with a shadow of the same pair, beside
one without, in alternating rounds

    python benchmarks/serving_live.py [--rounds 5] [--requests 150]

The pair is that of serving_pair.py.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from serving_pair import FEATURES, no_ledger, train

from framework.config.catalog import Plugins
from framework.interfaces.registry import PairDraft, Registry
from framework.pairs.provenance import requirements
from framework.plugins.discovery import load_plugins
from framework.serving.app.examples import example_payload
from framework.serving.deployment import Deployment

RATE = 50
LOOKS = 1.0


class Parts:
    """MLflow's registry in a folder, no feature store. Can be pickled, for shadows."""

    max_context_length = 0

    def __init__(self, directory: Path) -> None:
        self.directory, self.plugins = directory, load_plugins()

    def __reduce__(self) -> tuple[Any, ...]:
        return Parts, (self.directory,)

    def make(self, group: str) -> Any:
        if group == "registry":
            return registry_in(self.directory, self.plugins)
        return no_ledger() if group == "ledger" else self


def registry_in(directory: Path, plugins: Plugins) -> Registry:
    places = {
        "tracking_uri": f"sqlite:///{directory}/mlflow.db",
        "ledger": f"sqlite:///{directory}/ledger.db",
    }
    folders = {"artifact_location": f"{directory}/artifacts", "cache": f"{directory}/cache"}
    options = plugins.find("registry", "mlflow").options.model_validate(
        {**places, **folders, "experiment": "benchmark"}
    )
    registry: Registry = plugins.load("registry", "mlflow")(options)
    return registry


def serve(directory: Path, options: str) -> None:
    parts = Parts(directory)
    component = parts.plugins.find("serving", "fastapi")
    backend = parts.plugins.load("serving", "fastapi")(
        component.options.model_validate_json(options)
    )
    deployment = Deployment(
        parts, "benchmark", "production", FEATURES, "payload", directory / "state"
    )
    backend.serve(deployment, lambda url, _: print(url, flush=True))


@contextmanager
def server(directory: Path, **options: Any) -> Iterator[int]:
    given = json.dumps({"port": 0, "reload": {"seconds": LOOKS}, **options})
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(directory), given],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().rpartition(":")[2])
    finally:
        process.terminate()
        process.wait()


class Load:
    """``RATE`` requests per second on one connection: seconds, status and version of each answer,
    and when it came.
    """

    def __init__(self, port: int, body: bytes) -> None:
        self._connection, self._body = (
            http.client.HTTPConnection("127.0.0.1", port, timeout=60),
            body,
        )
        self.answers: list[tuple[float, int, int, float]] = []

    def ask(self) -> None:
        started = time.perf_counter()
        self._connection.request(
            "POST", "/predict", self._body, {"Content-Type": "application/json"}
        )
        answer = self._connection.getresponse()
        body = answer.read()
        now = time.perf_counter()
        version = json.loads(body)["pair"]["version"] if answer.status == 200 else 0
        self.answers.append((now - started, answer.status, version, now))

    def run(self, requests: int | None, stop: threading.Event) -> None:
        due = time.perf_counter()
        while not stop.is_set() and (requests is None or requests > 0):
            self.ask()
            due = max(due + 1 / RATE, time.perf_counter() - 1)
            time.sleep(max(0.0, due - time.perf_counter()))
            requests = None if requests is None else requests - 1


def p95(seconds: list[float]) -> float:
    return 1e3 * sorted(seconds)[int(0.95 * len(seconds))]


def swaps(port: int, body: bytes, registry: Registry) -> tuple[list[float], int, int]:
    """Seconds until each move was seen, answers that failed, answers."""
    load, stop = Load(port, body), threading.Event()
    thread = threading.Thread(target=load.run, args=(None, stop))
    thread.start()
    visible = []
    for before, after in ((1, 2), (2, 3), (3, 4), (4, 3)):
        registry.move("benchmark", "production", after, expected=before)
        moved = time.perf_counter()
        while not load.answers or load.answers[-1][2] != after:
            time.sleep(0.01)
        visible.append(load.answers[-1][3] - moved)
        time.sleep(1)
    stop.set()
    thread.join()
    return visible, sum(status != 200 for _, status, _, _ in load.answers), len(load.answers)


def measure(rounds: int, requests: int) -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        work = Path(name)
        pair, golden = train(work / "pair")
        body = json.dumps(example_payload(pair.schema, golden)).encode()
        pinned = requirements(pair.preprocessor, pair.model)
        registry = registry_in(work, load_plugins())
        for _ in range(4):
            registry.register(
                PairDraft(
                    work / "pair" / "preprocessor", work / "pair" / "model", pair.schema, "", pinned
                ),
                "0" * 32,
            )
        for alias in ("production", "challenger"):
            registry.move("benchmark", alias, 1, expected=None)
        with server(work) as port:
            visible, failed, answers = swaps(port, body, registry)
        print(f"{'move':<10}{'seconds until seen':>20}")
        for number, seconds in enumerate(visible, 1):
            print(f"{number:<10}{seconds:>20.2f}")
        shadow = {"aliases": ["challenger"]}
        ports = {
            "alone": stack.enter_context(server(work)),
            "shadow": stack.enter_context(server(work, shadow=shadow)),
        }
        found: dict[str, list[float]] = {name: [] for name in ports}
        for number in range(rounds + 1):
            for kind, port in ports.items():
                load = Load(port, body)
                load.run(requests, threading.Event())
                if number:  # the first round warms up
                    found[kind].append(p95([seconds for seconds, *_ in load.answers]))
    print(f"{'server':<10}{'p95 ms':>10}")
    for kind, figures in found.items():
        print(f"{kind:<10}{statistics.median(figures):>10.2f}")
    ratio = statistics.median(a / b for a, b in zip(found["shadow"], found["alone"], strict=True))
    seen = f"each seen within {max(visible):.1f} s (looks every {LOOKS:g} s)"
    print(f"swaps: {failed} of {answers} answers failed, {seen}; shadow: p95 {ratio:.2f} x alone")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=150)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(Path(given.serve[0]), given.serve[1])
    else:
        measure(given.rounds, given.requests)


if __name__ == "__main__":
    main()
