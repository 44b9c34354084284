"""Ray and Ray Serve for the length of one server: an existing cluster, or one that is started here and ends with it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from framework.errors import FrameworkError
from framework.serving.address import bind
from framework_ray_serve import RayServeOptions
from framework_ray_serve.proxy import CALLBACK, VARIABLE

#: Before Ray is imported: no telemetry; replicas stay in the folder that the server was started in, so that relative paths keep their
#: meaning, and have the priority of any other process; the proxy says 503 where a replica died.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_worker_niceness": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    VARIABLE: CALLBACK,
}
_NAMESPACE = "framework"


def prepare(options: RayServeOptions) -> None:
    """Set the environment that Ray reads when it is imported. Call before."""
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    if options.throughput_optimized:
        os.environ["RAY_SERVE_THROUGHPUT_OPTIMIZED"] = "1"


@dataclass(frozen=True)
class Serving:
    """``url``: below which applications are reached. ``others``: the applications that were there before."""

    url: str
    others: frozenset[str]


@contextmanager
def serving(options: RayServeOptions) -> Iterator[Serving]:
    """Ray Serve runs. What was started here ends here; what was there before is left as it is."""
    import ray
    from ray import serve

    for name in ("ray", "ray.serve"):
        logging.getLogger(name).setLevel(logging.ERROR)
    port = options.port
    if options.address is None:
        with bind(options.host, options.port) as listener:  # a port that is taken is said before anything starts
            port = listener.getsockname()[1]
    try:
        _connect(options)
        before = _running_port()
        if before is None:
            serve.start(proxy_location="HeadOnly", http_options={"host": options.host, "port": port})
        others = frozenset(serve.status().applications) if before is not None else frozenset()
        try:
            yield Serving(f"http://{options.host}:{before or port}", others)
        finally:
            if before is None and not serve.status().applications:
                serve.shutdown()
    finally:
        ray.shutdown()


def _connect(options: RayServeOptions) -> None:
    import ray

    try:
        if options.address is not None:
            ray.init(address=options.address, namespace=_NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
            return
        ray.init(
            address="local",
            namespace=_NAMESPACE,
            num_cpus=options.num_cpus,
            include_dashboard=options.dashboard,
            object_store_memory=options.object_store_memory,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _metrics_export_port=options.metrics_port,
        )
    except Exception as error:  # Ray raises a plain one when its start takes too long
        where = options.address or "a cluster on this machine"
        raise FrameworkError(f"ray.address: {where} cannot be reached: {' '.join(str(error).split())[:300]}") from error


def _running_port() -> int | None:
    """The port of a Ray Serve that runs in this cluster already."""
    from ray.serve.context import _get_global_client

    client = _get_global_client(raise_if_no_controller_running=False)
    return None if client is None else int(client.http_config.port)
