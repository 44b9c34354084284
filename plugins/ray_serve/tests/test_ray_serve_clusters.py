"""Somebody else's Ray: ``ray.address`` serves in it and leaves it as it was; ``serve deploy`` takes
what a dry run writes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

from framework.testing.servers.asking import wait_for
from framework.testing.servers.fake_server import make_row, server_process

from .conftest import free_ports, fresh_options

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Cluster:
    process: subprocess.Popen[bytes]
    address: str
    dashboard: str

    def applications(self) -> dict[str, Any]:
        """What Serve says of them."""
        found: dict[str, Any] = ServeSubmissionClient(self.dashboard).get_serve_details()[
            "applications"
        ]
        return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a pair."""
    found = tmp_path_factory.mktemp("project") / "shops"
    shutil.copytree(ROOT / "examples" / "project", found, ignore=shutil.ignore_patterns("state"))
    command(found, "+experiment=shops")
    return found


@pytest.fixture(scope="module")
def cluster(project: Path) -> Iterator[Cluster]:
    with started_cluster(project, "token") as cluster:
        yield cluster


@contextmanager
def started_cluster(folder: Path, mode: str) -> Iterator[Cluster]:
    """``ray start --head`` with ports, files and processes of its own, in a folder: paths mean the
    same there. ``mode``: whether it asks for a token, as Ray calls it.
    """
    gcs, dashboard, metrics, client, agent = free_ports(5)
    files = tempfile.mkdtemp(
        prefix="ray-", dir="/tmp"
    )  # a longer path has no room for the names of sockets
    given: dict[str, Any] = {
        "port": gcs,
        "dashboard-port": dashboard,
        "metrics-export-port": metrics,
        "ray-client-server-port": client,
        "dashboard-agent-listen-port": agent,
        "min-worker-port": 0,
        "max-worker-port": 0,
        "num-cpus": 8,
        "object-store-memory": 100_000_000,
        "temp-dir": files,
    }
    options = [f"--{name}={value}" for name, value in given.items()]
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    theirs |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": mode}
    start = [BIN / "ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", *options]
    with (Path(files) / "out").open("wb") as out:
        process = subprocess.Popen(
            start, cwd=folder, env=theirs, stdout=out, stderr=out, start_new_session=True
        )
    try:
        wait_for(lambda: _answers(f"http://127.0.0.1:{dashboard}/api/version"))
        yield Cluster(process, f"127.0.0.1:{gcs}", f"http://127.0.0.1:{dashboard}")
    finally:
        for found in (*psutil.Process(process.pid).children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):  # a parent took it along
                found.kill()
        process.wait(60)
        shutil.rmtree(files, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code in (200, 401)
    except httpx.TransportError:
        return False


def command(folder: Path, *overrides: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "framework", *overrides],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.stress
def test_a_ray_that_asks_for_no_token_is_refused_unless_that_is_meant(tmp_path: Path) -> None:
    join = (
        "import sys; from framework_ray import local; "
        "local.join(sys.argv[1], is_open=sys.argv[2] == 'open'); local.ray.shutdown()"
    )
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with started_cluster(tmp_path, "disabled") as cluster:
        for meant, code in (("closed", 1), ("open", 0)):
            done = subprocess.run(
                [sys.executable, "-c", join, cluster.address, meant],
                env=theirs | {"RAY_AUTH_MODE": "disabled"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == code, done.stderr
            if code:
                last = done.stderr.strip().splitlines()[-1]
                assert f"RefusedError: ray.address: {cluster.address} asks for no token" in last
                assert "ray.open=true" in last


@pytest.mark.stress
def test_a_ray_that_runs_is_served_in_and_left_as_it_was(cluster: Cluster, tmp_path: Path) -> None:
    """By two replicas of ForecastAPI: each shows what both counted."""
    (port,) = free_ports(1)
    options = fresh_options(
        address=cluster.address, port=port, topology="fused", forecast_api={"min_replicas": 2}
    )
    with server_process("ray", options, tmp_path) as (process, url):
        for _ in range(20):
            assert (
                httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30).status_code
                == 200
            )
        shown = [httpx.get(f"{url}/metrics", timeout=30).text.splitlines() for _ in range(6)]
        counted = (
            'framework_requests_total{arm="production",pair="3",route="/predict",status="200"}'
        )
        assert {line for lines in shown for line in lines if line.startswith(counted)} == {
            f"{counted} 20.0"
        }
        assert set(cluster.applications()) == {options["app"]}
        process.terminate()
        assert process.wait(60) == 0
    assert not _answers(f"{url}/health/live")
    assert cluster.process.poll() is None
    assert _answers(f"{cluster.dashboard}/api/version")


@pytest.mark.stress
def test_serve_deploy_takes_what_a_dry_run_writes(cluster: Cluster, project: Path) -> None:
    """The commands are the how-to's, for a cluster of few CPUs."""
    (port,) = free_ports(1)
    text = (ROOT / "docs" / "how-to" / "serve-with-ray.md").read_text().replace("NAME", "shops")
    page = [
        line.strip().replace("serving.preset=production", "serving.preset=laptop")
        for line in text.splitlines()
    ]
    (dry_run,) = (
        line.split()[3:]
        for line in page
        if "serving.dry_run=true" in line and line.startswith("python")
    )
    (deploy,) = (
        line.replace("http://127.0.0.1:8265", cluster.dashboard).split()
        for line in page
        if line.startswith("serve deploy")
    )
    written = command(project, *dry_run[:-1], "version=1", f"serving.port={port}")
    assert written["serve_config"] == deploy[2]
    deployed = subprocess.run(
        [BIN / deploy[0], *deploy[1:]], cwd=project, capture_output=True, text=True, check=False
    )
    assert deployed.returncode == 0, deployed.stderr
    url = f"http://127.0.0.1:{port}"

    def application() -> dict[str, Any]:
        found: dict[str, Any] = cluster.applications().get("shops", {"status": "asked for"})
        assert found["status"] != "DEPLOY_FAILED", found
        return found

    wait_for(lambda: application()["status"] == "RUNNING", 120)
    assert set(application()["deployments"]) == {
        "ForecastAPI",
        "FeastService",
        "PreprocessingService",
        "ModelService",
    }
    answer = httpx.post(
        f"{url}/predict/feast", json={"entity": {"shop": "harbour"}}, timeout=30
    ).json()
    assert answer["pair"]["version"] == 1
    assert answer["forecasts"][0]["status"] in ("ok", "stale")
    example = httpx.get(f"{url}/openapi.json", timeout=30).json()["paths"]["/predict"]["post"][
        "requestBody"
    ]
    row = example["content"]["application/json"]["example"]
    (forecast,) = httpx.post(f"{url}/predict", json=row, timeout=30).json()["forecasts"]
    assert (forecast["status"], len(forecast["times"])) == ("ok", 7)
