"""``run=plugins``, blocking, and broken plugins beside a run, as the command line has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from omegaconf import OmegaConf
from pydantic import Field, PositiveInt

from framework.config.option_docs import describe_options, option_docs
from framework.options import Duration, Options
from framework.plugins.discovery import load_plugins
from framework.testing.servers import command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder, with a broken plugin that is found where the command runs."""
    folder = tmp_path_factory.mktemp("strangers")
    (folder / "acme_broken.py").write_text("raise ValueError('no licence')\n")
    info = folder / "acme-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text("[framework]\nsharp = acme_broken\n")
    return folder


def plugins(
    folder: Path, *overrides: str
) -> tuple[dict[tuple[str, str], Any], dict[str, Any], str]:
    done = command.run("run=plugins", *overrides, cwd=folder)
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout.splitlines()[-1])
    return {(p["kind"], p["name"]): p for p in body["plugins"]}, body, done.stderr


def test_plugins_are_listed_without_an_experiment(folder: Path) -> None:
    listed, body, told = plugins(folder)
    assert (body["run"], body["status"], body["api_version"]) == ("plugins", "done", 1)
    xgboost = listed["model", "xgboost"]
    assert (xgboost["distribution"], xgboost["status"]) == ("framework-xgboost", "ok")
    assert xgboost["version"]
    assert xgboost["options"]["max_depth"]["type"] == "int >= 0"
    assert xgboost["options"]["max_depth"]["default"] == 6
    assert listed["plugin", "report"]["distribution"] == "framework-report"
    assert listed["run", "train"]["distribution"] == "framework-core"
    broken = listed["plugin", "sharp"]
    assert {key: broken[key] for key in ("distribution", "version", "status", "reason")} == {
        "distribution": "acme",
        "version": "2.1",
        "status": "broken",
        "reason": "ValueError: no licence",
    }
    line = (
        "plugin sharp (acme 2.1): ValueError: no licence. It is left out; mend or uninstall it, "
        "or block it: plugins.block=[sharp]."
    )
    assert body["warnings"] == [line]
    assert told.splitlines().count(line) == 1
    help_text = command.run("--help", cwd=folder).stdout
    assert f"Plugins with a problem\n  {line}\n" in help_text


def test_a_blocked_plugin_is_said_to_be_blocked_and_warns_no_more(folder: Path) -> None:
    listed, body, told = plugins(folder, "plugins.block=[acme,shrap]")
    assert listed["plugin", "sharp"]["status"] == "blocked"
    assert "warnings" not in body
    assert "plugins.block: no plugin 'shrap' is installed; Did you mean 'sharp'?" in told


def test_a_project_blocks_in_its_configuration_alone(folder: Path, tmp_path: Path) -> None:
    for name in ("acme_broken.py", "acme-2.1.dist-info"):
        (tmp_path / name).symlink_to(folder / name)
    conf = tmp_path / "conf"
    (conf / "experiment").mkdir(parents=True)
    (conf / "config.yaml").write_text(
        "defaults: [framework, _self_]\nplugins: {block: [sharp, xgboost]}\n"
    )
    listed, _, _ = plugins(tmp_path)
    assert listed["plugin", "sharp"]["status"] == "blocked"
    assert ("model", "xgboost") not in listed
    (conf / "experiment" / "late.yaml").write_text(
        "# @package _global_\nplugins: {block: [lightgbm]}\n"
    )
    done = command.run("+experiment=late", "run=plugins", cwd=tmp_path)
    assert done.returncode == 2
    assert "plugins.block: 'lightgbm' is loaded before an experiment is read" in done.stderr
    done = command.run("run=plugins", "model=xgboost", "plugins.block=[xgboost]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr  # it is not used


class Inner(Options):
    """``depth``: of it."""

    depth: int = 1


class Documented(Options):
    """Names are those of a library.

    ``first``: what comes first; more of it. It goes on. ``second``, ``third``: two at once, until
    ``first``.
    """

    first: Literal["a", "b"] = "a"
    second: Annotated[tuple[PositiveInt, ...], Field(max_length=3)] = ()
    third: Duration | None = None
    fourth: float = Field(gt=0, le=1)
    fifth: dict[str, str] = Field(default_factory=dict, description="The fifth.")
    inner: Inner = Inner()


def test_options_are_described_by_their_types_defaults_and_docstrings() -> None:
    described = describe_options(Documented)
    assert described["first"] == {
        "type": "'a' | 'b'",
        "default": "a",
        "doc": "first: what comes first; more of it. It goes on.",
    }
    assert described["second"]["type"] == "list of int > 0 at most 3"
    assert described["second"]["doc"] == "second, third: two at once, until first."
    assert described["third"]["type"] == "duration | null"
    assert described["fourth"] == {
        "type": "float > 0 and <= 1",
        "default": "???",
        "doc": "Names are those of a library.",
    }
    assert described["fifth"]["doc"] == "The fifth."
    assert described["inner"]["options"]["depth"]["default"] == 1


def test_every_option_of_every_installed_component_is_documented() -> None:
    """One that is not is found by :func:`option_docs` giving nothing."""
    silent = [
        f"{component.kind}={component.name}: {name}"
        for component in load_plugins().components()
        for name in component.options.model_fields
        if not option_docs(component.options).get(name)
    ]
    assert silent == []


def test_a_component_is_selected_with_its_distribution(tmp_path: Path) -> None:
    (tmp_path / "acme_naive.py").write_text(
        "from framework.interfaces.plugin import Component, hookimpl\n@hookimpl\n"
        "def components():\n    return [Component('model', 'seasonal_naive', 'a:B')]\n"
    )
    info = tmp_path / "acme-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text("[framework]\nnaive = acme_naive\n")
    choices = ("model=framework-xgboost:xgboost", "baseline=acme:seasonal_naive")
    done = command.run(*choices, "--cfg", "job", cwd=tmp_path)
    composed = OmegaConf.create(done.stdout)
    assert composed.model.name == "framework-xgboost:xgboost"
    assert composed.model.max_depth == 6
    assert composed.baseline == {"name": "acme:seasonal_naive"}
    done = command.run("baseline=acme:naive", "run=plugins", cwd=tmp_path)
    assert done.returncode == 2
    assert "model=acme:naive is not known; Did you mean 'acme:seasonal_naive'?" in done.stderr
