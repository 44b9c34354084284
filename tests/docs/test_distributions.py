"""The distributions go together: one version, bounds on the core, an extra for each, one table."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from framework.cli import main
from framework.plugins.discovery import load_plugins

ROOT = Path(__file__).parents[2]
CORE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PROJECTS = {
    path.parent: tomllib.loads(path.read_text())["project"]
    for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))
}
FOLDERS = {folder: project["name"] for folder, project in PROJECTS.items()}
PLUGINS = {project["name"]: project for project in PROJECTS.values()}
EXTRAS: dict[str, list[str]] = CORE["optional-dependencies"]


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_is_in_step_with_the_core(name: str) -> None:
    project, version = PLUGINS[name], Version(CORE["version"])
    assert project["version"] == CORE["version"]
    assert project["requires-python"] == CORE["requires-python"]
    assert project["license"] == CORE["license"]
    assert project["description"]
    following = f"{version.major}.{version.minor + 1}.0"
    own = [Requirement(line) for line in project["dependencies"] if line.startswith("framework-")]
    assert "framework-core" in {requirement.name for requirement in own}
    extra = EXTRAS[name.removeprefix("framework-")]
    for requirement in (*own, *map(Requirement, extra)):
        assert version in requirement.specifier
        assert following not in requirement.specifier
    assert [Requirement(line).name for line in extra] == [name]


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_has_a_page_of_its_own_and_the_licence(name: str) -> None:
    (folder,) = [path for path in FOLDERS if FOLDERS[path] == name]
    assert PLUGINS[name]["readme"] == "README.md"
    page = (folder / "README.md").read_text()
    assert page.startswith(f"# {name}\n")
    plugins = load_plugins()
    for component in plugins.components():
        if plugins.origin(component).distribution == name and component.kind != "extension":
            assert f"{component.kind}={component.name}" in page
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_every_distribution_names_the_same_addresses() -> None:
    """None, as long as nobody has published: CONTRIBUTING says which are to be filled in."""
    assert len({frozenset(each.get("urls", {})) for each in (CORE, *PLUGINS.values())}) == 1


def test_the_standard_extra_is_what_a_configuration_selects_by_itself() -> None:
    (line,) = EXTRAS["standard"]
    own = {EXTRAS[extra][0].partition(">")[0] for extra in Requirement(line).extras}
    assert own == {f"framework-{word}" for word in Requirement(line).extras}
    assert own >= {"framework-xgboost", "framework-mlflow", "framework-fastapi", "framework-files"}


def test_the_table_of_versions_names_every_distribution() -> None:
    page = (ROOT / "docs/reference/compatibility.md").read_text()
    minor = ".".join(CORE["version"].split(".")[:2])
    rows = [line for line in page.splitlines() if line.startswith("| `framework-")]
    assert rows == [f"| `{name}` | {minor} | {minor} | 1 |" for name in sorted(PLUGINS)]


def test_the_command_is_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["framework", "--version"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    module, _, function = CORE["scripts"]["framework"].partition(":")
    assert (module, function) == (main.__name__, "script")
    assert main.script() == 0
    assert sys.path[0] == str(tmp_path)


def test_output_that_nobody_reads_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "argv", ["framework", "--version"])
        monkeypatch.setattr(sys, "stdout", closed)
        assert main.main() == main.UNREAD
    assert capsys.readouterr().err == ""


def test_the_versions_installed_here_are_those_of_the_files() -> None:
    assert metadata.version("framework-core") == CORE["version"]
    text = subprocess.run(
        [sys.executable, "-m", "framework", "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert f"framework-core {CORE['version']}" in text.splitlines()
