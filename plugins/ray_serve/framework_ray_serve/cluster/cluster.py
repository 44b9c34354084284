"""Ray and Ray Serve for the length of one server: an existing cluster, or one that is started here
and ends with it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from framework_ray import ENVIRONMENT, set_unset
from framework_ray.imports import meanwhile

from framework.serving.http.address import bind
from framework_ray_serve import RayServeOptions
from framework_ray_serve.proxy import CALLBACK, VARIABLE

#: The proxy says 503 where a replica died.
_ENVIRONMENT = {**ENVIRONMENT, "RAY_SERVE_LOG_TO_STDERR": "0", VARIABLE: CALLBACK}
_NAMESPACE = "framework"
#: What the workers of a Ray that is started here import first.
FIRST = ("framework_ray_serve.worker_imports",)

#: Serve's throughput mode: one event loop in a replica, gRPC between replicas and from the proxy.
#: Without the ports of its direct ingress: they answer beside the proxy, and make an application
#: take 30 s to stop.
_THROUGHPUT = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
}


def environment(options: RayServeOptions) -> dict[str, str]:
    """Return the environment that the processes of a Ray should have."""
    return {**_ENVIRONMENT, **(_THROUGHPUT if options.throughput_optimized else {})}


def prepare(options: RayServeOptions) -> None:
    """Set the environment that Ray reads when it is imported. Call before."""
    set_unset(environment(options))


@dataclass(frozen=True)
class Serving:
    """``url``: below which applications are reached. ``others``: the applications that were there
    before.
    """

    url: str
    others: frozenset[str]


@contextmanager
def serving(options: RayServeOptions) -> Iterator[Serving]:
    """Ray Serve runs. What was started here ends here; what was there before is left as it is."""
    from framework_ray.local import ray

    port = options.port
    if options.address is None:
        with bind(
            options.host, options.port
        ) as listener:  # a port that is taken is said before anything starts
            port = listener.getsockname()[1]
    try:
        with meanwhile(("ray.serve", "framework_ray_serve.application")):
            _connect(options)
        from ray import serve

        for name in ("ray", "ray.serve"):
            logging.getLogger(name).setLevel(logging.ERROR)
        before = _running_port(options)
        if before is None:
            serve.start(
                proxy_location="HeadOnly", http_options={"host": options.host, "port": port}
            )
        others = frozenset(serve.status().applications) if before is not None else frozenset()
        try:
            yield Serving(f"http://{options.host}:{before or port}", others)
        finally:
            if before is None and not serve.status().applications:
                serve.shutdown()
    finally:
        ray.shutdown()


def _connect(options: RayServeOptions) -> None:
    from framework_ray import local

    if options.address is not None:
        local.join(options.address, _NAMESPACE)
        return
    started = local.start(
        options.num_cpus,
        options.dashboard,
        options.object_store_memory,
        FIRST,
        prestart=False,  # there are as many replicas as are asked for, whatever the number of CPUs
        metrics_port=options.metrics_port,
        namespace=_NAMESPACE,
    )
    if options.dashboard:
        print(f"serve: Ray's dashboard is at http://{started.dashboard_url}", file=sys.stderr)


def _running_port(options: RayServeOptions) -> int | None:
    """Return the port of a Ray Serve that runs in this cluster already, None where none runs.

    A Ray that does not say the port is taken to serve at ``port`` of the options.
    """
    from framework_ray.private_parts import serve_port
    from ray import serve

    port = serve_port()
    return options.port if port is None and serve.status().proxies else port
