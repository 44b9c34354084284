"""Memory of a server over many requests: whether it grows.

    python benchmarks/serving_memory.py [--requests 200000] [--every 10000] [--options '{"workers":
    2}']

A server of serving_pair.py's pair gets, from 16 clients, single rows as a rule and every 50th time
what else there is: many rows, a shorter horizon, refusals, other people's protocols, the documents,
the metrics. Prints the resident memory of its processes after every interval, and the slope over
the second half, when caches and pools are full.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import psutil
from load import Target, free_port, post, running, send
from serving_pair import payload, train

#: Every so many requests one is not a single row.
OTHER = 50


def questions(single: bytes, many: bytes) -> list[bytes]:
    """What else a server is asked, right and wrong; no answer may be a 5xx."""
    row = orjson.loads(single)["rows"][0]
    columns = {name: [value] for name, value in row.items()}
    split = {"columns": list(row), "data": [list(row.values())]}
    tensors = [
        {
            "name": k,
            "shape": [1],
            "datatype": "BYTES" if isinstance(v, str) else "FP64",
            "data": [v],
        }
        for k, v in row.items()
    ]
    bodies = [
        ("/predict", many),
        ("/predict", orjson.dumps({"columns": columns, "horizon": 2})),
        ("/predict", orjson.dumps({"rows": [{**row, "airport": random.randbytes(8).hex()}]})),
        ("/predict", orjson.dumps({"rows": [{**row, "feature_3": None}]})),
        ("/predict", single[:-5]),
        ("/predict?arm=nobody", single),
        ("/predict/feast", orjson.dumps({"entity": {"airport": "A0", "carrier": "C0"}})),
        ("/invocations", orjson.dumps({"dataframe_split": split})),
        ("/v2/models/benchmark/infer", orjson.dumps({"inputs": tensors})),
        (f"/{random.randbytes(8).hex()}", b"{}"),
    ]
    asked = [post(path, body) for path, body in bodies]
    return asked + [
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        for path in ("/metrics", "/openapi.json", "/pair", "/health/ready")
    ]


def mixed(single: bytes, many: bytes) -> Iterator[bytes]:
    for number in itertools.count():
        yield (
            random.choice(questions(single, many))
            if number % OTHER == 0
            else post("/predict", single)
        )


def resident(process: psutil.Process) -> float:
    """MiB, of the process and its children."""
    return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 2**20


def measure(requests: int, every: int, options: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        pair, golden = train(work)
        single, many = payload(pair, golden, 1), payload(pair, golden, 100)
        body, port = work / "body.json", free_port()
        body.write_bytes(single)
        command = [
            sys.executable,
            str(Path(__file__).parent / "serving_pair.py"),
            str(work),
            str(port),
            options,
        ]
        with running(command, work / "log", Target(port, "/predict", body)):
            (server,) = [p for p in psutil.Process().children() if str(port) in p.cmdline()]
            figures, source, started = [resident(server)], mixed(single, many), time.perf_counter()
            print(f"{'requests':>10}{'MiB':>10}\n{0:>10}{figures[0]:>10.1f}", flush=True)
            for done in range(every, requests + 1, every):
                asyncio.run(
                    send(
                        port,
                        itertools.islice(source, every),
                        wanted=lambda head: not head.startswith(b"HTTP/1.1 5"),
                    )
                )
                figures.append(resident(server))
                print(f"{done:>10}{figures[-1]:>10.1f}", flush=True)
            seconds = time.perf_counter() - started
    half = len(figures) // 2
    slope = 1024 * np.polyfit(np.arange(half, len(figures)) * every / 1000, figures[half:], 1)[0]
    ratio = figures[-1] / figures[half]
    print(
        f"{requests} requests in {seconds:.0f} s: {ratio:.3f} x the memory at half time, "
        f"{slope:+.2f} KiB per 1,000 requests after it"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--every", type=int, default=10_000)
    parser.add_argument("--options", default="{}", help="of serving=fastapi, as JSON")
    given = parser.parse_args()
    json.loads(given.options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server is stopped too
    measure(given.requests, given.every, given.options)


if __name__ == "__main__":
    main()
