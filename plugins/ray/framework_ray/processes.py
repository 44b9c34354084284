"""Which processes make up a Ray that is started here, where nobody looks at its dashboard."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import ray._private.node
import ray._private.services
from ray._raylet import (
    DASHBOARD_AGENT_LISTEN_PORT_NAME,
    METRICS_AGENT_PORT_NAME,
    METRICS_EXPORT_PORT_NAME,
    GcsClient,
    persist_port,
)

#: The files with which the dashboard's agent says on which ports it listens, -1 for none.
_PORTS = (METRICS_AGENT_PORT_NAME, METRICS_EXPORT_PORT_NAME, DASHBOARD_AGENT_LISTEN_PORT_NAME)


@contextmanager
def few_processes(agent: bool) -> Iterator[None]:
    """A Ray that is started inside has no server of the dashboard, no autoscaler, nobody who reads
    its logs, and no ``agent`` unless asked.

    Ray (2.60) starts all four whatever ``ray.init`` is asked for, and waits for server and agent:
    seconds on a small machine. The agent exports metrics; Ray does not start without one: a process
    that only waits takes its place, and it is said for it, as the agent of Ray's minimal
    installation says, that it listens nowhere. That its node is up Ray sees once a second; here as
    soon as it is.
    """
    node, services = ray._private.node.Node, ray._private.services
    start, node_of = services.start_ray_process, services.get_node

    def start_process(command: list[str], process_type: str, *arguments: Any, **named: Any) -> Any:
        if process_type == ray._private.ray_constants.PROCESS_TYPE_RAYLET and not agent:
            command = _without_agent(command)
        return start(command, process_type, *arguments, **named)

    def node_at_once(address: str, node_id: str) -> Any:
        client, end = GcsClient(address=address), time.monotonic() + 30
        while not client.get_all_node_info(timeout=30) and time.monotonic() < end:
            time.sleep(0.05)
        return node_of(address, node_id)

    with (
        mock.patch.multiple(
            node, start_api_server=_nothing, start_monitor=_nothing, start_log_monitor=_nothing
        ),
        mock.patch.multiple(services, start_ray_process=start_process, get_node=node_at_once),
    ):
        yield


def _without_agent(raylet: list[str]) -> list[str]:
    """The command that starts a raylet, with our process in the place of the dashboard's agent."""
    options = dict(
        part.lstrip("-").split("=", 1) for part in raylet if part.startswith("--") and "=" in part
    )
    for port in _PORTS:
        persist_port(options["session_dir"], options["node_id"], port, -1)
    agent = subprocess.list2cmdline(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("no_agent.py"))]
    )
    return [
        f"--dashboard_agent_command={agent}"
        if part.startswith("--dashboard_agent_command=")
        else part
        for part in raylet
    ]


def _nothing(*_: Any, **__: Any) -> None:
    return None
