"""Load makes each service grow, and idleness makes it shrink: on real replicas, with low targets
and short delays.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import ray
from framework_ray_serve.policies import Holding
from ray import serve

from framework.testing import fakes
from framework.testing.servers.asking import wait_for
from framework.testing.servers.fake_server import ENTITY, VERSION, make_row, server_process

from .conftest import fresh_options

#: A tenth of a CPU: its per cent are easily reached.
EAGER = {
    "max_replicas": 2,
    "num_cpus": 0.1,
    "metrics_interval_s": 0.4,
    "look_back_period_s": 2.0,
    "upscale_delay_s": 0.2,
    "downscale_delay_s": 0.5,
    "graceful_shutdown_timeout_s": 5.0,
}
TARGETS = {"forecast_api": 1.0, "feast": 0.001, "preprocessing": 80.0, "model": 80.0}
#: Seconds that a request waits for a store.
PATIENT = {"timeout_s": 60.0}


def running(app: str) -> dict[str, int]:
    time.sleep(0.2)  # the controller has enough to do
    found = serve.status().applications[app].deployments
    return {name: deployment.replica_states.get("RUNNING", 0) for name, deployment in found.items()}


@contextmanager
def again_and_again(threads: int, one: Callable[[], Any]) -> Iterator[None]:
    """So many threads do it without a pause; what it raises is raised at the end."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            one()

    with ThreadPoolExecutor(threads) as pool:
        begun = [pool.submit(run) for _ in range(threads)]
        try:
            yield
        finally:
            stop.set()
        for thread in begun:
            thread.result()


def large_requests(app: str) -> Callable[[], Any]:
    """The last two stages of 5,000 windows, as ForecastAPI asks for them."""
    static = np.array([[f"A{i}", "DL", "spring"] for i in range(5000)], dtype=object)
    context = ray.put(
        fakes.make_context(fakes.make_schema(), static, np.datetime64("2024-03-01", "us"), seed=0)
    )
    names = ("PreprocessingService", "ModelService")
    preprocessing, model = (
        serve.get_deployment_handle(name, app).options(_by_reference=True) for name in names
    )

    def ask() -> Any:
        return model.predict.remote(
            VERSION, preprocessing.preprocess.remote(VERSION, context)
        ).result(timeout_s=60)

    return ask


@pytest.mark.stress
def test_each_service_grows_with_load_and_shrinks_when_idle(tmp_path: Path) -> None:
    options = fresh_options(
        **{key: {**EAGER, **PATIENT, "target": target} for key, target in TARGETS.items()}
    )
    app, grown = options["app"], set[str]()
    with server_process("ray", options, tmp_path) as (_, url):
        names = set(running(app))
        assert running(app) == dict.fromkeys(names, 1)

        def grew(*services: str) -> bool:
            grown.update(name for name, count in running(app).items() if count == 2)
            return grown.issuperset(services)

        def look_up(airport: str = "JFK") -> bool:
            body = {"entity": {**ENTITY, "airport": airport}}
            return httpx.post(f"{url}/predict/feast", json=body, timeout=60).status_code == 200

        with ThreadPoolExecutor(4) as clients:
            slow = [clients.submit(look_up, f"{fakes.WAIT}{tmp_path / 'gate'}") for _ in range(4)]
            try:
                wait_for(lambda: look_up() and grew("ForecastAPI", "FeastService"))
            finally:
                (tmp_path / "gate").touch()
        assert all(one.result() for one in slow)
        with again_and_again(3, large_requests(app)):
            wait_for(lambda: grew("PreprocessingService", "ModelService"))
        wait_for(lambda: running(app) == dict.fromkeys(names, 1))
        assert (
            httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30).status_code == 200
        )


@pytest.mark.parametrize(
    ("reported", "now", "wanted"),
    [({"a": 160.0}, 1, 2.0), ({"a": 20.0, "b": 20.0}, 2, 1.0), ({"a": 84.0}, 3, 3), ({}, 2, 2)],
)
def test_the_number_of_replicas_follows_the_mean_of_what_they_report(
    reported: dict[str, float], now: int, wanted: float
) -> None:
    context: Any = SimpleNamespace(
        aggregated_metrics={"cpu_percent": reported},
        current_num_replicas=now,
        target_num_replicas=now,
    )
    assert Holding("cpu_percent", 80.0)(context) == (wanted, {})
