"""Ray and Ray Serve for the length of one server: an existing cluster, or one that is started here
and ends with it.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from framework_ray import ENVIRONMENT, set_unset
from framework_ray.imports import meanwhile

from framework.errors import FrameworkError
from framework.serving.http.address import bind
from framework_ray_serve import RayServeOptions
from framework_ray_serve.proxy import CALLBACK, VARIABLE

#: The proxy says 503 where a replica died. A replica that does not answer is killed, where Ray
#: would wait until it has ended by itself and keep its CPUs. A proxy that died is noticed within a
#: second.
_ENVIRONMENT = {
    **ENVIRONMENT,
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.5",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "2",
    VARIABLE: CALLBACK,
}
_NAMESPACE = "framework"
#: Workers of one application on one node: the controller, the proxy and the replicas. A worker for
#: each CPU starts while this process is busy; more than these would stay idle.
_PROCESSES = {"separate": 6, "fused": 3}
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
    before. ``control``: the address of Ray's control service (GCS).
    """

    url: str
    others: frozenset[str]
    control: str

    def check(self) -> None:
        """Raise :class:`LostControlError` when Ray's control service cannot be reached."""
        host, _, port = self.control.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except OSError as error:
            raise LostControlError(
                f"Ray's control service (GCS) at {self.control} is lost "
                f"({error.strerror or error}): nothing new can be served without it; look why it "
                "ended, and start the server again."
            ) from error


class LostControlError(FrameworkError):
    """Ray's control service is gone. Nothing of Ray can be asked any more, not even to stop."""


@contextmanager
def serving(options: RayServeOptions) -> Iterator[Serving]:
    """Ray Serve runs. What was started here ends here; what was there before is left as it is."""
    from framework_ray.local import ray

    port, is_lost = options.port, False
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
            control = ray.get_runtime_context().gcs_address
            yield Serving(f"http://{options.host}:{before or port}", others, control)
        except LostControlError:
            is_lost = True
            raise
        finally:
            if not is_lost and before is None and not serve.status().applications:
                serve.shutdown()
    finally:
        if is_lost:
            _end_processes()
        ray.shutdown()


def _end_processes() -> None:
    """End what was started here, for a Ray that cannot be asked to end: its control service is
    gone.
    """
    import psutil

    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            process.kill()


def _connect(options: RayServeOptions) -> None:
    from framework_ray import local

    if options.address is not None:
        local.join(options.address, _NAMESPACE, options.ray_open)
        return
    started = local.start(
        options.num_cpus,
        options.dashboard,
        options.object_store_memory,
        FIRST,
        prestart=(options.num_cpus or os.cpu_count() or 1) <= _PROCESSES[options.topology],
        metrics_port=options.metrics_port,
        namespace=_NAMESPACE,
        is_open=options.ray_open,
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
