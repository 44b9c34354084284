"""Through ``mlflow server``: versions as text, artifacts by its proxy."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from framework_mlflow.options import MlflowOptions, Retention
from framework_mlflow.registry.registry import MlflowRegistry
from mlflow_cases import check_halves, options_in

from framework.errors import RefusedError, RegistryError
from framework.pairs.manifest import HALVES
from framework.testing.contracts.drafts import make_draft


@pytest.fixture
def served(tmp_path: Path, empty_database: Path) -> Iterator[MlflowOptions]:
    shutil.copy(empty_database, tmp_path / "served.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    places = [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/served.db",
        "--artifacts-destination",
        str(tmp_path / "served"),
    ]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        *places,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    without_jobs = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }  # six more processes
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            command, env=without_jobs, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(f"{uri}/health", server)
        retention = Retention(last=1, days=0)
        yield options_in(
            tmp_path,
            tracking_uri=uri,
            artifact_location="mlflow-artifacts:/pairs",
            retention=retention,
        )
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None, "mlflow server ended"
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError("mlflow server does not answer")


@pytest.mark.stress
def test_pairs_through_a_tracking_server(served: MlflowOptions, tmp_path: Path) -> None:
    registry = MlflowRegistry(served)
    for i in range(2):
        registry.register(make_draft(tmp_path / str(i)), "r")
    registry.move("fake", "production", 2, expected=None)
    check_halves(registry)
    pair = registry.resolve("fake", "production")
    assert registry.fetch(pair).model.is_relative_to(served.cache)
    assert [removed.version for removed in registry.prune("fake")] == [1]
    assert len(list((tmp_path / "served").rglob("pair.json"))) == len(HALVES)
    assert registry.verify() == []
    registry.store.tag("fake", "model", 2, "framework.digest", "0")
    with pytest.raises(RefusedError, match=r"model half: MLflow's tag framework.digest is 0"):
        registry.fetch(pair)
    registry.store.delete_version("fake", "model", 2)
    with pytest.raises(RefusedError, match=r"MLflow has no version 2 of its model half"):
        registry.fetch(pair)


def test_a_server_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = MlflowRegistry(options_in(tmp_path, tracking_uri="http://127.0.0.1:9"))
    with pytest.raises(RegistryError, match=r"MLflow could not .*127.0.0.1") as raised:
        registry.register(make_draft(tmp_path / "draft"), "r")
    assert "\n" not in str(raised.value)
    assert registry.pairs() == []
