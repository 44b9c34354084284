"""A stranger's plugin follows a real server of two processes, importing the public surface only."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import tomllib
from pathlib import Path

import httpx
import pytest

from framework.testing.servers.asking import wait_for
from framework.testing.servers.fake_server import make_row, server_process

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_observer"
PUBLIC = ("framework.interfaces.", "framework.data.")


def test_the_example_is_small_and_imports_the_public_surface_only() -> None:
    code = (EXAMPLE / "framework_watchful.py").read_text()
    assert len(code.splitlines()) <= 60
    imported = [
        node.module
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("framework")
    ]
    assert imported
    assert all(str(module).startswith(PUBLIC) for module in imported)
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"framework": {"watchful": "framework_watchful"}}


@pytest.mark.stress
def test_it_follows_a_server_of_two_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    info = site / "framework_watchful-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(EXAMPLE / "framework_watchful.py", site)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: framework-watchful\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text("[framework]\nwatchful = framework_watchful\n")
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *([before] if before else [])]))
    identities = [f"id-{number}" for number in range(20)]
    with server_process("fastapi", {"port": 0, "workers": 2}, tmp_path) as (process, url):
        for identity in identities:  # each a connection of its own, so that both processes answer
            answer = httpx.post(
                f"{url}/predict",
                json={"rows": [make_row()]},
                headers={"X-Request-ID": identity},
                timeout=30,
            )
            assert answer.status_code == 200
        mean = answer.json()["forecasts"][0]["targets"]["departures"]["mean"][0]

        def counted() -> bool:
            text = httpx.get(f"{url}/metrics", timeout=30).text
            return 'watchful_requests_total{arm="production"} 20.0' in text

        wait_for(counted)
        wait_for(lambda: httpx.get(f"{url}/last", timeout=30).json() == {"JFK/DL": mean})
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    lines = [
        json.loads(line)
        for file in (tmp_path / "state" / "watchful").glob("*.jsonl")
        for line in file.read_text().splitlines()
    ]
    assert sorted(line["id"] for line in lines) == sorted(identities)
    assert {(line["arm"], line["version"], *line["status"]) for line in lines} == {
        ("production", 3, "ok")
    }
