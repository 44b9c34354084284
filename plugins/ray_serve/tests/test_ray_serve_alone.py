"""A Ray of the server's own, beside one of somebody else's: it ends with the server, and the other
does not notice.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from framework_ray_serve.board import RAY

from framework.testing.servers.asking import wait_for
from framework.testing.servers.fake_server import make_row, server_process

from .conftest import free_ports


@pytest.mark.stress
@pytest.mark.parametrize(
    ("number", "topology"),
    [
        (signal.SIGTERM, "fused"),
        pytest.param(signal.SIGINT, "separate", marks=pytest.mark.stress),
    ],
)
def test_no_process_stays_behind(
    tmp_path: Path, number: signal.Signals, topology: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both export Ray's metrics; one has Ray's dashboard, and with it all of Ray's processes."""
    from ray import serve

    there = set(serve.status().proxies)
    monkeypatch.setenv("RAY_metrics_report_interval_ms", "500")
    options: dict[str, Any] = {
        "port": 0,
        "address": None,
        "num_cpus": 2,
        "ray_open": False,
        "topology": topology,
        "metrics_port": free_ports(1)[0],
    }
    options |= {"object_store_memory": 100_000_000, "dashboard": number == signal.SIGTERM}
    log = tmp_path / "log"
    with (
        log.open("w") as written,
        server_process("ray", options, tmp_path / "pairs", stderr=written) as (process, url),
    ):
        assert (
            httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30).status_code == 200
        )
        _exports(options["metrics_port"])
        dashboards = re.findall(r"dashboard is at (http://\S+)", log.read_text())
        assert len(dashboards) == options["dashboard"]
        for dashboard in dashboards:  # it is there; 401 where Ray asks for its token
            assert httpx.get(dashboard, timeout=30).status_code in (200, 401)
        server = psutil.Process(process.pid)
        below = server.children(recursive=True)
        titles = {p.name() for p in below}
        assert {"raylet", "gcs_server"} <= titles
        # Ctrl-C reaches the whole group that the terminal has in front, so also those of Ray's
        # processes that are in it.
        group = [
            p for p in (server, *below) if number == signal.SIGINT and _is_with(p, process.pid)
        ]
        for one in group or [server]:
            one.send_signal(number)
        assert process.wait(60) == 0
    wait_for(
        lambda: not [p for p in below if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    )
    assert set(serve.status().proxies) == there


def _is_with(process: psutil.Process, pid: int) -> bool:
    return os.getpgid(process.pid) == os.getpgid(pid)


def _exports(port: int) -> None:
    def exported() -> str:
        return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text

    wait_for(
        lambda: re.search(
            r'^ray_framework_requests_total\{.*route="/predict"', exported(), re.MULTILINE
        )
    )
    # what the dashboard asks for; a node without a GPU has no figure of one
    queries = " ".join(query for panel in RAY.panels for query, _ in panel.queries)
    names = set(re.findall(r"\bray_\w+", queries)) - {"ray_node_gpus_utilization"}
    assert len(names) == len(RAY.panels) - 1
    wait_for(lambda: names <= set(re.findall(r"^(ray_\w+)", exported(), re.MULTILINE)))
