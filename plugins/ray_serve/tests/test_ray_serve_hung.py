"""A Ray of the server's own whose processes hang or are lost: replaced in seconds, or the server
ends and says why. It listens on this machine alone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from framework_ray.private_parts import asks_for_token

from framework.testing.servers import command
from framework.testing.servers.asking import wait_for
from framework.testing.servers.fake_server import make_row, server_process

from .conftest import _ADDRESS

EXAMPLE = Path(__file__).parents[3] / "examples" / "project"
#: Seconds, many times what is promised for a machine that has nothing else to do.
LIMIT = 40.0


class Server:
    def __init__(self, process: psutil.Process, url: str, log: Path) -> None:
        self.process, self.url, self.log = process, url, log

    def processes(self, title: str) -> list[psutil.Process]:
        """Those of its Ray whose command has a text."""
        return [p for p in self.process.children(recursive=True) if title in _command(p)]

    def answers(self) -> bool:
        try:
            answer = httpx.post(f"{self.url}/predict", json={"rows": [make_row()]}, timeout=30)
        except httpx.TransportError:
            return False
        return answer.status_code == 200


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it ended meanwhile
        return ""


def seconds_until(condition: Callable[[], object]) -> float:
    begun = time.monotonic()
    wait_for(condition, LIMIT)
    return time.monotonic() - begun


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hung")
    own = {"address": None, "num_cpus": 2, "dashboard": False, "ray_open": False}
    options = {"port": 0, "object_store_memory": 100_000_000, **own}
    with (
        (folder / "log").open("w") as log,
        server_process("ray", options, folder / "pairs", stderr=log) as (process, url),
    ):
        yield Server(psutil.Process(process.pid), url, folder / "log")


def test_a_ray_that_is_started_here_is_reached_from_here_alone_and_by_token() -> None:
    """The Ray of these tests, which is started as a server starts its own."""
    nodes = [p for p in psutil.Process().children() if p.name() in ("gcs_server", "raylet")]
    listening = [
        connection.laddr.ip.removeprefix("::ffff:")
        for node in nodes
        for connection in node.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(nodes) == 2
    assert set(listening) == {"127.0.0.1"}
    assert asks_for_token(os.environ[_ADDRESS]) is True


@pytest.mark.stress
def test_a_replica_that_hangs_is_replaced(server: Server) -> None:
    (victim,) = server.processes("ServeReplica:fake:ModelService")
    assert server.answers()
    victim.send_signal(signal.SIGSTOP)

    def is_replaced() -> bool:
        pids = {process.pid for process in server.processes("ServeReplica:fake:ModelService")}
        return bool(pids) and victim.pid not in pids

    # three checks of a second, half a second before them, and the imports of a new process
    seconds = seconds_until(is_replaced)
    print(f"a replica that hung was replaced after {seconds:.1f} s, load {os.getloadavg()[0]:.1f}")
    assert seconds < LIMIT
    wait_for(server.answers)


@pytest.mark.stress
def test_a_replica_that_stands_still_for_a_moment_is_kept(server: Server) -> None:
    """As one may on a node that is overloaded: the pause is that of two checks."""
    (replica,) = server.processes("ServeReplica:fake:ModelService")
    replica.send_signal(signal.SIGSTOP)
    time.sleep(2.0)
    replica.send_signal(signal.SIGCONT)
    wait_for(server.answers)
    time.sleep(2.0)
    assert [p.pid for p in server.processes("ServeReplica:fake:ModelService")] == [replica.pid]


@pytest.mark.stress
def test_a_killed_proxy_is_replaced(server: Server) -> None:
    (victim,) = server.processes("ray::ProxyActor")
    victim.kill()
    victim.wait(10)
    seconds = seconds_until(server.answers)
    print(f"a killed proxy answered after {seconds:.1f} s, load {os.getloadavg()[0]:.1f}")
    assert seconds < LIMIT


@pytest.mark.stress
def test_a_lost_control_service_ends_the_server_with_its_line(tmp_path: Path) -> None:
    """The command line's: one object of JSON is the last line of its output."""
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("state"))
    pair = ("+experiment=shops", "model=seasonal_naive", "retrieval=file")
    assert command.run(*pair, cwd=project).returncode == 0
    serve = ("run=serve", "serving=ray", "serving.port=0", "ray.num_cpus=2", "alias=latest")
    output = tmp_path / "output"
    arguments = (sys.executable, "-m", "framework", *pair, *serve)
    with (
        output.open("w") as out,
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(arguments, cwd=project, stdout=out, stderr=log) as process,
    ):
        try:
            wait_for(lambda: '"url"' in output.read_text(), 120)
            below = psutil.Process(process.pid).children(recursive=True)
            (control,) = [p for p in below if p.name() == "gcs_server"]
            control.kill()
            assert process.wait(LIMIT) == 1
        finally:
            process.kill()
    result = json.loads(output.read_text().splitlines()[-1])
    assert (result["run"], result["status"]) == ("serve", "failed")
    assert "Ray's control service (GCS) at " in result["error"]
    assert "start the server again" in result["error"]
    wait_for(
        lambda: not [p for p in below if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    )
