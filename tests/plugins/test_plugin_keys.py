"""A stranger's plugin brings its own keys: those of a run, those of an extension, and a section.

The example is installed beside the project and asked by the command line.
"""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from omegaconf import OmegaConf

from framework.cli.overrides import check_taken, explain_override
from framework.config.config import layout_of
from framework.config.recorded import decisive_sections
from framework.errors import ConfigError, UnavailableError
from framework.interfaces.plugin import Component, Section, hookimpl
from framework.options import TOP_LEVEL, FreeOptions, Options
from framework.plugins.discovery import load_plugins
from framework.testing.servers import command

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "third_party_run"
PUBLIC = {"framework.interfaces.plugin", "framework.options", "framework.plugins.run"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's project with rows in its store, and the stranger's distribution beside it."""
    folder = tmp_path_factory.mktemp("strangers")
    shutil.copytree(ROOT / "examples" / "project", folder, dirs_exist_ok=True)
    shutil.copytree(EXAMPLE / "framework_shift", folder / "framework_shift")
    info = folder / "framework_shift-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: framework-shift\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[framework]\nshift = framework_shift\n")
    result(folder, "run=ingest")
    return folder


def result(project: Path, *overrides: str, code: int = 0) -> dict[str, Any]:
    done = command.run("+experiment=shops", *overrides, cwd=project)
    assert done.returncode == code, done.stderr
    body: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return body


def test_the_example_is_small_and_imports_the_public_surface_alone() -> None:
    files = [path.read_text() for path in EXAMPLE.rglob("*.py")]
    assert sum(len(text.splitlines()) for text in files) <= 60
    imports = {
        node.module
        for text in files
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("framework.")
    }
    assert imports == PUBLIC


def test_options_of_a_plugins_run_are_handed_to_it(project: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "framework", "+experiment=shops", "run=drift", "drift.window=3"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    body = json.loads(process.stdout.splitlines()[-1])
    assert (body["run"], body["status"], body["warnings"]) == ("drift", "done", [])
    assert body["shift"] != result(project, "run=drift")["shift"]
    assert result(project, "run=drift", "drift.limit=0")["warnings"] == ["sales has shifted"]


def test_they_may_stand_in_the_projects_files(project: Path) -> None:
    experiment = project / "conf" / "experiment" / "drifting.yaml"
    experiment.write_text(
        "# @package _global_\ndefaults: [shops]\nrun: drift\ndrift: {limit: 0, window: 3}\n"
    )
    done = command.run("+experiment=drifting", cwd=project)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["warnings"] == ["sales has shifted"]
    experiment.write_text("# @package _global_\ndefaults: [shops]\ndrift: {limt: 0}\n")
    done = command.run("+experiment=drifting", "run=ingest", cwd=project)
    assert done.returncode == 2
    assert "error: drift.limt: unknown key. Did you mean 'limit'? Known: window, limit." in (
        done.stderr.splitlines()
    )


@pytest.mark.gate_cases(3)
@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        (["run=drift", "drift.windw=3"], "drift.windw: unknown key. Did you mean 'window'?"),
        (["run=drift", "+drift.windw=3"], "drift.windw: unknown key. Did you mean 'window'?"),
        (["run=drift", "drift.window=0"], "drift.window: Input should be greater than 0, got 0"),
        (["run=drift", "drift=3"], "drift: keys with values are needed there, such as drift.KEY"),
        (["run=drift", "tune.trials=3"], "tune.trials: run=drift does not use it; leave "),
        (
            ["run=pairs", "drift.window=3"],
            "drift.window: run=pairs does not use it; leave drift.window=3 out, or choose a run "
            "that does: run=drift.",
        ),
        (["run=drift", "extensions.notes.fle=x"], "extensions.notes.fle: unknown key. Did you "),
        (
            ["run=drift", "+extensions.note.file=x"],
            "extensions.note: no installed plugin has this extension; Did you mean 'notes'? "
            "Installed: notes.",
        ),
    ],
)
def test_a_key_that_does_nothing_is_refused_by_its_path(
    project: Path, overrides: list[str], error: str
) -> None:
    assert result(project, *overrides, code=2)["error"].startswith(error)


def test_an_extension_has_its_options_and_its_hooks_are_called(
    project: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.txt"
    result(project, "run=drift", f"extensions.notes.file={notes}")
    result(project, "run=pairs", f"extensions.notes.file={notes}")
    assert notes.read_text() == "drift done\npairs done\n"
    assert (project / "state" / "notes.txt").read_text().startswith("ingest done\n")


def test_a_composition_and_the_help_show_them(project: Path) -> None:
    done = command.run("+experiment=shops", "run=drift", "--cfg", "job", cwd=project)
    composed = OmegaConf.create(done.stdout)
    assert composed.drift == {"window": 28, "limit": 0.5}
    assert composed.extensions.notes == {"file": "state/notes.txt"}
    text = command.run("--help", cwd=project).stdout
    assert "  run=drift        how far the targets" in text
    assert "  drift.window=28  drift.limit=0.5\n" in text
    assert "  extensions.notes.file=${paths.state}/notes.txt\n" in text


_numbers = count()


class Needing(Options):
    limit: float
    since: Annotated[str | None, TOP_LEVEL] = None


def strangers(*components: Component, sections: tuple[Section, ...] = ()) -> Any:
    @hookimpl
    def offers() -> list[Component]:
        return list(components)

    @hookimpl
    def offered_sections() -> list[Section]:
        return list(sections)

    name = f"stranger-{next(_numbers)}"
    return SimpleNamespace(components=offers, sections=offered_sections, __name__=name)


def test_a_required_option_is_required_by_its_own_run_alone() -> None:
    layout = layout_of(load_plugins([strangers(Component("run", "audit", "x:y", Needing))]))
    assert layout.defaults()["audit"] == {"limit": "???"}
    assert layout.defaults()["since"] is None
    assert "audit" not in layout.read({}, "train", str)
    with pytest.raises(ConfigError, match=r"^audit\.limit: Field required$"):
        layout.read({}, "audit", str)
    with pytest.raises(ConfigError, match=r"^audit\.since: unknown key; it stands at the top"):
        layout.read({"audit": {"since": "x"}}, "train", str)
    with pytest.raises(ConfigError, match=r"^since: a text is needed, got 3$"):
        layout.read({"since": 3}, "train", str)
    options = layout.read({"audit": {"limit": 1}, "since": "2024"}, "audit", str)["audit"]
    assert options == Needing(limit=1, since="2024")


def test_a_key_at_the_top_level_belongs_to_the_runs_that_declare_it() -> None:
    plugins = load_plugins([strangers(Component("run", "audit", "x:y", Needing, takes=("at",)))])
    check_taken(["since=2024", "audit.limit=1", "at=2024"], "audit", plugins)
    with pytest.raises(ConfigError, match=r"since: run=train does not use it.*: run=audit\."):
        check_taken(["since=2024"], "train", plugins)


@pytest.mark.parametrize("name", ["model", "panel", "extensions"])
def test_a_section_whose_key_is_there_already_is_left_out(name: str) -> None:
    plugins = load_plugins([strangers(sections=(Section(name, Needing),))])
    (problem,) = plugins.problems
    assert f"section '{name}' declares the key '{name}', which the core has" in str(problem)
    assert name not in layout_of(plugins).parts
    assert list(plugins.sections()) == list(load_plugins().sections())


def test_a_run_whose_key_is_there_already_is_left_out() -> None:
    plugins = load_plugins([strangers(Component("run", "panel", "x:y", Needing))])
    with pytest.raises(UnavailableError, match="run=panel declares the key 'panel', which the co"):
        plugins.find("run", "panel")


def test_a_section_is_one_whoever_brings_it() -> None:
    cloud = Section("cloud", FreeOptions, decisive=True)
    plugins = load_plugins([strangers(sections=(cloud,)), strangers(sections=(cloud,))])
    assert "cloud" in decisive_sections(plugins)
    text = explain_override("Could not override 'cloud.region.name'.", [], plugins)
    assert text == "cloud.region.name: there is no such key yet; +cloud.region.name=… adds it."
    plugins = load_plugins(
        [strangers(sections=(cloud,)), strangers(sections=(Section("cloud", Needing),))]
    )
    assert ["different sections 'cloud'" in str(problem) for problem in plugins.problems] == [
        True,
        True,
    ]
    assert "cloud" not in layout_of(plugins).parts
