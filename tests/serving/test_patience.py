"""A registry that is locked keeps nobody waiting, and everybody who asks is told."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from framework.errors import RegistryError
from framework.serving.arms.patience import PatientReads
from framework.testing.folder_registry import FolderRegistry
from framework.testing.servers.asking import wait_for
from framework.testing.servers.fake_server import make_deployment, make_row, server_process

#: Seconds in which everything is answered.
SOON = 2.5  # two, and what a machine needs that is busy with other tests


def timed(http: httpx.Client, method: str, path: str, **more: Any) -> Any:
    started = time.monotonic()
    answer = http.request(method, path, **more)
    assert time.monotonic() - started < SOON, (path, answer.text)
    return answer.json()


def test_a_locked_registry_is_said_at_once_and_taken_up_when_it_answers(
    tmp_path: Path,
) -> None:
    registry = FolderRegistry(tmp_path)
    make_deployment(tmp_path)
    registry.add(4)
    options = {"port": 0, "workers": 2, "reload": {"seconds": 0.2}}
    with (
        server_process("fastapi", options, tmp_path) as (_, url),
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        registry.lock()
        registry.point("production", 4)
        for _ in range(2):
            (alias,) = timed(http, "POST", "/admin/reload")["aliases"]
            assert (alias["status"], alias["version"]) == ("unreachable", 3)
            assert "the registry has not answered for" in alias["reason"]
        ready = timed(http, "GET", "/health/ready")
        assert ready["status"] == "degraded"
        assert "locked" in ready["reasons"]["production"]
        pairs = timed(http, "GET", "/console/pairs")
        assert "has not answered" in pairs["registry"]
        assert pairs["pairs"][0]["version"] == 3
        history = timed(http, "GET", "/console/history")
        assert "has not answered" in history["error"]["message"]
        assert timed(http, "POST", "/predict", json={"rows": [make_row()]})["pair"]["version"] == 3
        registry.unlock()
        wait_for(
            lambda: (
                http.post("/predict", json={"rows": [make_row()]}).json()["pair"]["version"] == 4
            )
        )
        wait_for(lambda: http.get("/health/ready").json()["status"] == "ready")


def test_no_read_is_begun_while_one_is_overdue() -> None:
    reads, begun = PatientReads(), list[int]()

    def hang() -> None:
        begun.append(1)
        time.sleep(2.2)

    for _ in range(3):
        with pytest.raises(RegistryError, match="has not answered"):
            reads(hang)
    assert len(begun) == 1
    time.sleep(1)
    assert reads(lambda: 5) == 5


def test_what_a_read_raises_is_raised() -> None:
    def late() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        PatientReads()(late)
