"""One Ray for all tests of this folder; every server in it has a name and a route of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import psutil
import pytest
from framework_ray_serve import RayServeOptions
from framework_ray_serve.cluster.cluster import FIRST, prepare

from framework.serving.http.address import bind

#: Read by every module of the tests, whichever way it imported this one.
_ADDRESS = "FRAMEWORK_TEST_RAY"


def fresh_options(**more: Any) -> dict[str, Any]:
    """The options of one more server in the Ray of the tests."""
    name = f"app-{uuid4().hex[:8]}"
    local: dict[str, Any] = {"address": os.environ[_ADDRESS], "num_cpus": None, "dashboard": False}
    local["ray_open"] = False
    return {"port": 0, "app": name, "route_prefix": f"/{name}", **local, **more}


def free_ports(count: int) -> list[int]:
    """Different ones."""
    with ExitStack() as stack:
        return [stack.enter_context(bind("127.0.0.1", 0)).getsockname()[1] for _ in range(count)]


class Fresh:
    """The attribute ``options`` of a contract: other ones each time it is read, and ``more``."""

    def __init__(self, **more: Any) -> None:
        self._more = more

    def __get__(self, instance: object, owner: type) -> dict[str, Any]:
        return fresh_options(**self._more)


def replicas(url: str, service: str) -> list[psutil.Process]:
    """The processes of a service of the application at a URL; without any while the first is being
    started.
    """
    title = f"ray::ServeReplica:{url.rpartition('/')[2]}:{service}"
    return [p for p in psutil.process_iter() if _command(p).partition(".")[0].strip() == title]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it ended meanwhile
        return ""


@pytest.fixture(autouse=True)
def _room() -> Iterator[None]:
    """An application stays when its server is killed, as the contracts do at their end; so many do
    not fit into this Ray.
    """
    yield
    from ray import serve

    commands = [_command(process) for process in psutil.process_iter()]
    for app in serve.status().applications:
        if not any(app in command and "ray::" not in command for command in commands):
            serve.delete(app, _blocking=False)


@pytest.fixture(scope="session", autouse=True)
def _ray() -> Iterator[None]:
    prepare(RayServeOptions(address=None, num_cpus=16, dashboard=False))
    import ray
    from framework_ray import local
    from ray import serve

    local.start(16, False, 100_000_000, FIRST, prestart=False)
    os.environ[_ADDRESS] = ray.get_runtime_context().gcs_address
    serve.start(
        proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": free_ports(1)[0]}
    )  # after Ray took its own
    yield
    serve.shutdown()
    ray.shutdown()
