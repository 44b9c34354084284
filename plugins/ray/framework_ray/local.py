"""Ray is reached: a cluster that runs is joined, or one is started on this machine."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from framework.errors import FrameworkError, RefusedError, one_line
from framework_ray.imports import uncollected

with uncollected():
    import ray

    from framework_ray.private_parts import (
        asks_for_token,
        few_processes,
        on_loopback,
        raylet_settings,
    )


def join(address: str, namespace: str | None = None, is_open: bool = False) -> None:
    """Connect this process to a cluster. Raises :class:`FrameworkError` when there is none, and
    :class:`RefusedError` when it asks for no token, unless ``is_open`` says that this is meant.

    Ray (2.60) itself looks for minutes for one that is not there; so whether anybody listens is
    asked first.
    """
    with _reaching(address):
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if port.isdigit():
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        with on_loopback() if _is_here_alone(host, port) else nullcontext():
            ray.init(
                address=address,
                namespace=namespace,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    if not is_open and asks_for_token(ray.get_runtime_context().gcs_address) is False:
        ray.shutdown()
        raise RefusedError(
            f"ray.address: {address} asks for no token: whoever reaches it runs any code in it. "
            "Start it with RAY_AUTH_MODE=token, or set ray.open=true if its network is closed."
        )


def start(
    num_cpus: int | None,
    dashboard: bool,
    object_store_memory: int | None,
    modules: Sequence[str] = (),
    prestart: bool = True,
    metrics_port: int | None = None,
    namespace: str | None = None,
    is_open: bool = False,
) -> Any:
    """Start a cluster on this machine that ends with ``ray.shutdown()`` or with this process;
    returns Ray's context.

    ``object_store_memory`` in bytes. Its workers import ``modules`` first; with ``prestart`` there
    is soon an idle one for each CPU. With a ``metrics_port`` Ray's figures are exported there. It
    listens on the loopback alone, unless ``is_open``.
    Raises :class:`FrameworkError` when it does not start.
    """
    options: dict[str, Any] = {
        "address": "local",
        "namespace": namespace,
        "num_cpus": num_cpus,
        "include_dashboard": dashboard,
        "object_store_memory": object_store_memory,
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "_metrics_export_port": metrics_port,
        "_system_config": raylet_settings(modules, prestart),
    }
    few = nullcontext() if dashboard else few_processes(agent=metrics_port is not None)
    place = nullcontext() if is_open else on_loopback()
    with _reaching("a cluster on this machine"), few, place:
        try:
            return ray.init(**options)
        except Exception as error:  # Ray raises a plain one
            if "timed out during startup" not in str(error):
                raise
            # Where several start on a busy machine: a raylet (2.60) ends itself when its agents are
            # not up after 15 s, and has no setting for it. A second start is quicker, and what is
            # left of the first ends with this process.
            return ray.init(**options)


def _is_here_alone(host: str, port: str) -> bool:
    """Say whether a cluster listens on the loopback alone. Ray takes the loopback's address for the
    one by which others reach this machine.
    """
    if not port.isdigit() or not (host == "localhost" or host.startswith("127.")):
        return False
    try:
        socket.create_connection((ray.util.get_node_ip_address(), int(port)), timeout=2).close()
    except OSError:
        return True
    return False


@contextmanager
def _reaching(where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Ray raises a plain one when its start takes too long
        raise FrameworkError(
            f"ray.address: {where} cannot be reached: {one_line(error, 300)}"
        ) from error
