"""A Ray of the server's own, beside one of somebody else's: it ends with the server, and the other does not notice."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx
import psutil
import pytest

from framework.testing.live import wait_for
from framework.testing.serving import make_row, server_process


@pytest.mark.parametrize(("number", "topology"), [(signal.SIGTERM, "fused"), (signal.SIGINT, "separate")])
def test_no_process_stays_behind(tmp_path: Path, number: signal.Signals, topology: str) -> None:
    from ray import serve

    there = set(serve.status().proxies)
    options = {"port": 0, "address": None, "num_cpus": 2, "dashboard": False, "object_store_memory": 100_000_000, "topology": topology}
    with server_process("ray", options, tmp_path) as (process, url):
        assert httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30).status_code == 200
        server = psutil.Process(process.pid)
        below = server.children(recursive=True)
        titles = {p.name() for p in below}
        assert {"raylet", "gcs_server"} <= titles
        # Ctrl-C reaches the whole group that the terminal has in front, so also those of Ray's processes that are in it.
        group = [p for p in (server, *below) if number == signal.SIGINT and _is_with(p, process.pid)]
        for one in group or [server]:
            one.send_signal(number)
        assert process.wait(60) == 0
    wait_for(lambda: not [p for p in below if p.is_running() and p.status() != psutil.STATUS_ZOMBIE])
    assert set(serve.status().proxies) == there


def _is_with(process: psutil.Process, pid: int) -> bool:
    return os.getpgid(process.pid) == os.getpgid(pid)
