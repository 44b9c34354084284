"""One Ray for all tests of this folder; every server in it has a name and a route of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from framework_ray_serve import RayServeOptions
from framework_ray_serve.cluster import prepare

from framework.serving.address import bind

#: Read by every module of the tests, whichever way it imported this one.
_ADDRESS = "FRAMEWORK_TEST_RAY"


def fresh_options(**more: Any) -> dict[str, Any]:
    """The options of one more server in the Ray of the tests."""
    name = f"app-{uuid4().hex[:8]}"
    local = {"address": os.environ[_ADDRESS], "num_cpus": None, "dashboard": False}
    return {"port": 0, "app": name, "route_prefix": f"/{name}", **local, **more}


class Fresh:
    """The attribute ``options`` of a contract: other ones each time it is read."""

    def __get__(self, instance: object, owner: type) -> dict[str, Any]:
        return fresh_options()


@pytest.fixture(scope="session", autouse=True)
def _ray() -> Iterator[None]:
    prepare(RayServeOptions(address=None, num_cpus=8, dashboard=False))
    import ray
    from ray import serve

    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    ray.init(address="local", num_cpus=8, include_dashboard=False, object_store_memory=100_000_000, log_to_driver=False)
    os.environ[_ADDRESS] = ray.get_runtime_context().gcs_address
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    yield
    serve.shutdown()
    ray.shutdown()
