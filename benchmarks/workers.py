"""The start of a server with one, two and four workers, and what each number can answer.

    make demo                                   # the pair that is served; or name your own:
    python benchmarks/workers.py [--requests 4000] [--rounds 3] [+experiment=xgb_daily ...]

``ready``: seconds from the command to its JSON line. ``cpu``: processor seconds of all its
processes by then; ``memory``: theirs in MB, what they share counted once. ``capacity``: requests
per second if every process had a core of its own and the load came from elsewhere: those that were
answered, divided by the processor seconds of the busiest worker. So it shows what sharing costs and
how evenly requests fall on the workers, and not how many cores this machine has.

Prints a table and, last, one line of JSON with ratios to one worker.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil
from load import Target

WORKERS = (1, 2, 4)
#: Where this is set, every process compiles the framework again: half a second of a start that an
#: installed framework does not have.
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"


@dataclass(frozen=True)
class Measured:
    """One start, and the load after it."""

    ready: float
    cpu: float
    memory: float
    capacity: float


def processes(root: int) -> list[psutil.Process]:
    process = psutil.Process(root)
    return [process, *process.children(recursive=True)]


def seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(overrides: list[str], workers: int, requests: int) -> Measured:
    """Start a server, load it, stop it."""
    command = [sys.executable, "-m", "framework", *overrides, "run=serve"]
    command += [f"serving.workers={workers}", "serving.port=0", "serving.max_in_flight=64"]
    environment = {key: value for key, value in os.environ.items() if key != _NO_BYTECODE}
    started = time.perf_counter()
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    try:
        assert server.stdout is not None
        line = json.loads(server.stdout.readline())
        if line["status"] != "ready":
            sys.exit(line["error"])
        ready = time.perf_counter() - started
        parts = processes(server.pid)
        cpu = sum(seconds(part) for part in parts)
        memory = sum(part.memory_full_info().pss for part in parts) / 1e6
        before = {part.pid: seconds(part) for part in parts}
        with tempfile.TemporaryDirectory() as folder:
            body = Path(folder, "body.json")
            body.write_bytes(example(line["url"]))
            port = int(line["url"].rpartition(":")[2])
            Target(port, "/predict", body).measure(requests)
        busiest = max(seconds(part) - before[part.pid] for part in parts)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    return Measured(ready, cpu, memory, requests / busiest)


def example(url: str) -> bytes:
    """The request that the server's own documentation shows."""
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=30) as answer:
        document = json.load(answer)
    content = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    return json.dumps(content["application/json"]["example"]).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("overrides", nargs="*", default=["+experiment=xgb_daily"])
    options = parser.parse_args()
    rounds = [
        {workers: measure(options.overrides, workers, options.requests) for workers in WORKERS}
        for _ in range(options.rounds)
    ]
    print(f"{'workers':>8}{'ready s':>10}{'cpu s':>10}{'memory MB':>12}{'capacity/s':>12}")
    for workers in WORKERS:
        middle = [
            statistics.median(getattr(each[workers], field) for each in rounds)
            for field in ("ready", "cpu", "memory", "capacity")
        ]
        print(
            f"{workers:>8}{middle[0]:>10.1f}{middle[1]:>10.1f}{middle[2]:>12.0f}{middle[3]:>12.0f}"
        )
    summary = {
        f"{field}_{workers}_to_1": round(
            statistics.median(
                getattr(each[workers], field) / getattr(each[1], field) for each in rounds
            ),
            2,
        )
        for field in ("ready", "memory", "capacity")
        for workers in WORKERS[1:]
    }
    print(json.dumps({"cores": os.cpu_count(), "rounds": options.rounds, **summary}))


if __name__ == "__main__":
    main()
