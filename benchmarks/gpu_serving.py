"""TFT under Ray Serve: requests for 100 entities at a time, and how busy the GPU is meanwhile.

Used by gpu.py. Its child process is this file: ``python benchmarks/gpu_serving.py FOLDER OPTIONS``,
options of ``serving=ray`` as JSON. The feature store is that of ray_store.py.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bare import PAST
from load import Target
from ray_store import serve_until_stopped
from serving_pair import train

from framework.models.gpus import GpuLoad, load_of
from framework.serving.deployment import Deployment

ENTITIES, LENGTH, CLIENTS = 100, 56, 16
ROWS = np.random.default_rng(7).normal(20, 5, (ENTITIES, LENGTH, len(PAST)))
NAMES = [{"airport": f"A{i // 10 % 2}", "carrier": f"C{i % 10}"} for i in range(ENTITIES)]


def serve(directory: Path, given: dict[str, Any]) -> None:
    """Serve until told to stop. Prints the port."""

    def applications(deployment: Deployment, options: Any) -> Iterator[tuple[str, str, Any]]:
        from framework_ray_serve.application import make

        yield "tft", "/", make(deployment, options)

    serve_until_stopped(directory, ROWS, given, applications)


def served(device: str, requests: int) -> dict[str, Any]:
    """Train, serve and load. On a GPU with ``serving.preset=gpu``, else with ``laptop``.

    Returns:
        ``ready`` seconds, ``windows`` per second, ``p50`` in ms, ``device`` as ``GET /pair`` says,
        ``busy``: the median of NVML's figures during the load, null without a GPU.
    """
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        options = {"n_epochs": 1, "input_chunk_length": LENGTH, "batch_size": 512}
        train(work, "tft", options, LENGTH)
        body = work / "entities.json"
        body.write_text(json.dumps({"entities": NAMES}))
        given = {"preset": "laptop" if device == "cpu" else "gpu"}
        command = [sys.executable, __file__, str(work), json.dumps(given)]
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            ready = time.perf_counter() - started
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/pair", timeout=30) as answer:
                where = json.load(answer)["device"]
            target, clients = Target(port, "/predict/feast/batch", body), min(CLIENTS, requests)
            target.measure(clients, clients)
            with Sampled(where) as sampled:
                figures = target.measure(requests, clients)
        finally:
            process.terminate()
            process.wait()
    return {
        "ready": ready,
        "windows": figures["rate"] * ENTITIES,
        "p50": figures["p50"],
        "device": where,
        "busy": statistics.median(sampled.busy) if sampled.busy else None,
    }


class Sampled:
    """Reads how busy a GPU is, four times a second, while the block lasts."""

    def __init__(self, device: str) -> None:
        self.busy: list[float] = []
        self._device, self._over = device, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Sampled:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while self._device != "cpu" and not self._over.wait(0.25):
            load = load_of(self._device)
            if isinstance(load, GpuLoad):
                self.busy.append(load.busy)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), json.loads(sys.argv[2]))
