"""The fixtures that ``framework-testing`` gives to the tests of a stranger's plugin."""

from __future__ import annotations

import runpy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from framework.data.panel import Panel
from framework.testing.folder_registry import FolderRegistry
from framework.testing.servers.asking import wait_for

if TYPE_CHECKING:  # pytest imports the plugin first
    from framework.testing.fixtures import Project

pytest_plugins = ["framework.testing.fixtures"]


def test_the_distribution_registers_every_fixture() -> None:
    folder = Path(__file__).parents[2] / "plugins" / "testing"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    (module,) = project["entry-points"]["pytest11"].values()
    names = runpy.run_path(str(folder / f"{module}.py"))["__all__"]
    assert names == ["panels", "project", "registry", "server"]


def test_panels_are_made_and_each_is_its_own(panels: Callable[..., Panel]) -> None:
    one, other = panels(series=2), panels(series=2)
    one.past[:] = 0
    assert len(other.entities) == 2
    assert other.past[:, 0].min() > 0


def test_a_project_runs_and_an_error_is_told(project: Project) -> None:
    plugins = project.run("run=plugins")["plugins"]
    assert ("model", "seasonal_naive") in {(p["kind"], p["name"]) for p in plugins}
    assert project.run("run=ingest")["rows"] == {"sales": 6 * 120 - 5 * 15}
    with pytest.raises(AssertionError, match=r"^framework model=nobody ends with 2: .*nobody"):
        project.run("model=nobody")


def test_a_server_follows_the_registry(
    registry: FolderRegistry, server: Callable[..., httpx.Client]
) -> None:
    registry.add(4)
    options: dict[str, Any] = {"reload": {"seconds": 0.1}}
    client = server("fastapi", port=0, **options)
    assert client.get("/pair").json()["version"] == 3
    registry.point("production", 4)
    wait_for(lambda: client.get("/pair").json()["version"] == 4)
