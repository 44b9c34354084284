"""``run=init kind=plugin``: the plugin that it writes is found, makes no mistake, and keeps the
contract of its kind.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from framework.testing.servers import command


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new plugin, and beside it what an installation of it would leave."""
    folder = tmp_path_factory.mktemp("plugin")
    done = command.run("run=init", "kind=plugin", "init.name=Acme-trend", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["files"][0] == "pyproject.toml"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    ((name, module),) = project["entry-points"]["framework"].items()
    info = folder / "acme_trend-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n"
    )
    (info / "entry_points.txt").write_text(f"[framework]\n{name} = {module}\n")
    return folder


def test_it_is_listed_and_has_no_fault(plugin: Path) -> None:
    done = command.run("run=plugins", cwd=plugin)
    body = json.loads(done.stdout.splitlines()[-1])
    (entry,) = [p for p in body["plugins"] if p["distribution"] == "Acme-trend"]
    assert (entry["kind"], entry["name"], entry["status"]) == ("model", "acme_trend", "ok")
    assert entry["options"]["window"]["doc"]
    assert "warnings" not in body


@pytest.mark.stress
def test_its_contract_test_passes(plugin: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"],
        cwd=plugin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


def test_nothing_is_written_over_and_a_name_is_needed(plugin: Path, tmp_path: Path) -> None:
    done = command.run("run=init", "kind=plugin", "init.name=other", cwd=plugin)
    assert done.returncode == 2
    assert "has a pyproject.toml already" in done.stderr
    done = command.run("run=init", "kind=plugin", cwd=tmp_path)
    assert "init.name: missing; say how the plugin is called" in done.stderr
    for name in ("xgboost", "json"):
        done = command.run("run=init", "kind=plugin", f"init.name={name}", cwd=tmp_path)
        assert f"init.name: a module '{name}' is installed already" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    done = command.run("run=init", cwd=tmp_path)
    assert (done.returncode, "init.data: missing; name a CSV" in done.stderr) == (2, True)
