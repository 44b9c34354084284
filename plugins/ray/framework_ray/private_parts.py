"""The only place that reaches parts of Ray that Ray does not promise to keep.

Tested with Ray :data:`TESTED`. Each part is looked up by name. Where a Ray has no such part, that
Ray works as it comes: it starts more slowly, or takes new processes for trials, and the results are
the same.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from framework.errors import one_line
from framework.interfaces.foreign_parts import find_part

log = logging.getLogger(__name__)

#: The versions of Ray with which these parts were tested.
TESTED = SpecifierSet(">=2.60,<2.61")
#: The settings of a raylet, of a cluster that is started here. A raylet ends at a setting that it
#: does not know, and none can be looked up, so they are for tested versions only.
_SETTINGS: dict[str, Any] = {
    # By its own default Ray ends an idle worker when its CPU has been reserved, a moment before it
    # is asked for.
    "idle_worker_killing_time_threshold_ms": 60_000,
    # The raylet connects to its own object store before that listens, and by its own default waits
    # a second before it tries again.
    "raylet_client_connect_timeout_milliseconds": 50,
    "raylet_client_num_connect_attempts": 200,
}
#: The module that a replica of Ray Serve runs. A worker that has imported it starts sooner.
SERVE_REPLICA = "ray.serve._private.replica"


def raylet_settings(modules: Sequence[str], prestart: bool) -> dict[str, Any]:
    """Return the settings with which a cluster starts soon; none for an untested Ray.

    Args:
        modules: What a worker imports before its first task.
        prestart: Whether there is soon an idle worker for each CPU.
    """
    if metadata.version("ray") not in TESTED:
        return {}
    return {
        **_SETTINGS,
        "preload_python_modules": list(modules),
        "prestart_worker_first_driver": prestart,
    }


@contextmanager
def few_processes(agent: bool) -> Iterator[None]:
    """Leave out processes that nobody uses from a Ray that is started inside.

    These are the server of the dashboard, the autoscaler and the reader of logs, and the ``agent``
    unless it is asked for. Ray starts all four whatever ``ray.init`` is told, and waits for the
    server and the agent for seconds on a small machine. Ray does not start without an agent, which
    exports metrics: a process that only waits takes its place. Ray looks once a second whether its
    node is up; here it sees it at once.

    Args:
        agent: Whether the agent is started.
    """
    node = find_part("ray._private.node", "Node")
    services = find_part("ray._private.services")
    with ExitStack() as replacements:
        for method in ("start_api_server", "start_monitor", "start_log_monitor"):
            replacements.enter_context(_replaced(node, method, lambda _: _do_nothing))
        if not agent:
            replacements.enter_context(_replaced(services, "start_ray_process", _without_agent))
        replacements.enter_context(_replaced(services, "get_node", _at_once))
        yield


@contextmanager
def managed_actors(tell: Callable[[str | None], None], same_environment: bool) -> Iterator[None]:
    """End a trial whose worker is gone, in a search that runs inside.

    Ray Tune takes an ``OutOfMemoryError`` for neither the actor's nor the task's and gives up the
    whole search; a Ray without these parts still does, and ``resume=true`` goes on. Ray Tune gives
    its actors the driver's environment variables, so that Ray starts new processes for them.

    Args:
        tell: Called with the cause while Ray Tune's callbacks hear of a lost worker, then with
            None.
        same_environment: Whether workers have the environment variables of this process anyway,
            because their Ray was started here. Then workers that have imported everything are
            taken.
    """

    def adapted(manager: Any) -> Any:
        return _manager(manager, tell, same_environment)

    controller = find_part("ray.tune.execution.tune_controller")
    # Before the first trial Ray Tune counts, for its telemetry, the callbacks that belong to
    # Weights & Biases, MLflow and Comet. To know them it imports all of these, for seconds.
    usage = find_part("ray.air._internal.usage")
    with (
        _replaced(controller, "RayActorManager", adapted),
        _replaced(usage, "tag_callbacks", lambda _: _do_nothing),
    ):
        yield


@contextmanager
def on_loopback() -> Iterator[None]:
    """Let a Ray that is started inside listen on this machine alone.

    Ray does so by itself on systems where it runs no clusters; elsewhere it takes the address by
    which others reach this machine, also where it is told the loopback's.
    """
    constants = find_part("ray._private.ray_constants")
    with _replaced(constants, "ENABLE_RAY_CLUSTER", lambda _: False):
        yield


def asks_for_token(address: str) -> bool | None:
    """Say whether the control service of a cluster asks who calls it.

    Args:
        address: ``HOST:PORT`` of the control service.

    Returns:
        None where it does not answer.
    """
    import grpc

    with grpc.insecure_channel(address) as channel:
        alive = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetAllNodeInfo")
        try:
            alive(b"", timeout=10)
        except grpc.RpcError as error:
            code = error.code()
            if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
                return True
            return None
        return False


def serve_port() -> int | None:
    """Return the HTTP port of the Ray Serve that runs in this cluster.

    None where none runs, or where this Ray does not say its port.
    """
    client_of = find_part("ray.serve.context", "_get_global_client")
    if client_of is None:
        return None
    client = client_of(raise_if_no_controller_running=False)
    return None if client is None else int(client.http_config.port)


@contextmanager
def _replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Put ``make(part)`` in the place of a part; do nothing where there is no such part."""
    part = getattr(owner, name, None)
    if part is None:
        yield
        return
    setattr(owner, name, make(part))
    try:
        yield
    finally:
        setattr(owner, name, part)


def _manager(base: Any, tell: Callable[[str | None], None], same_environment: bool) -> Any:
    import ray
    from ray.exceptions import OutOfMemoryError, RayActorError

    actor_classes: dict[Any, Any] = {}

    class Manager(base):  # type: ignore[misc]
        def add_actor(self, cls: Any, *arguments: Any, **keywords: Any) -> Any:
            if same_environment:
                if cls not in actor_classes:
                    description = getattr(cls, "__ray_metadata__", None)
                    plain = getattr(description, "modified_class", None)
                    actor_classes[cls] = cls if plain is None else ray.remote(plain)
                cls = actor_classes[cls]
            return super().add_actor(cls, *arguments, **keywords)

        def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
            if isinstance(exception, OutOfMemoryError):
                exception = RayActorError(
                    error_msg=f"out of memory: {str(exception).partition('Object store')[0]}"
                )
            tell(one_line(exception))
            super()._actor_task_failed(tracked_actor_task, exception)
            tell(None)

    return Manager


def _without_agent(start: Callable[..., Any]) -> Callable[..., Any]:
    """Start processes by ``start``; a raylet gets our waiting process for the agent."""

    def start_process(command: list[str], *arguments: Any, **keywords: Any) -> Any:
        return start(_waiting_agent(command), *arguments, **keywords)

    return start_process


def _waiting_agent(command: list[str]) -> list[str]:
    """Return the command, with our process for the agent where it starts a raylet.

    The files with which an agent says on which ports it listens say -1, none, as those of Ray's
    minimal installation do.
    """
    options = dict(
        part.lstrip("-").split("=", 1) for part in command if part.startswith("--") and "=" in part
    )
    if not {"dashboard_agent_command", "session_dir", "node_id"} <= options.keys():
        return command
    persist_port = find_part("ray._raylet", "persist_port")
    ports = [
        find_part("ray._raylet", name)
        for name in (
            "METRICS_AGENT_PORT_NAME",
            "METRICS_EXPORT_PORT_NAME",
            "DASHBOARD_AGENT_LISTEN_PORT_NAME",
        )
    ]
    if persist_port is None or None in ports:
        return command
    for port in ports:
        persist_port(options["session_dir"], options["node_id"], port, -1)
    agent = subprocess.list2cmdline(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("no_agent.py"))]
    )
    return [
        f"--dashboard_agent_command={agent}"
        if part.startswith("--dashboard_agent_command=")
        else part
        for part in command
    ]


def _at_once(node_of: Callable[..., Any]) -> Callable[..., Any]:
    """Read a node by ``node_of`` as soon as Ray's control service lists one."""
    client_of = find_part("ray._raylet", "GcsClient")

    def node_at_once(address: str, *arguments: Any) -> Any:
        client = None if client_of is None else client_of(address=address)
        nodes_of = getattr(client, "get_all_node_info", None)
        if nodes_of is not None:
            end = time.monotonic() + 30
            while not nodes_of(timeout=30) and time.monotonic() < end:
                time.sleep(0.05)
        return node_of(address, *arguments)

    return node_at_once


def _do_nothing(*_: Any, **__: Any) -> None:
    return None
