"""Two strangers, a model of scikit-learn and a registry in a folder, built as wheels and installed
beside ours in an environment of their own, are selected by one word each.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = {name: ROOT / "examples" / f"third_party_{name}" for name in ("model", "registry")}
#: No MLflow: the registry is the stranger's.
PLUGINS = ("baselines", "fastapi", "files", "preprocessing", "testing")
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"}
}
UV = Path(sys.executable).parent / "uv"
#: Of runs that use no model.
CHOSEN = ("+experiment=shops", "registry=folder")

SERVE = ("run=serve", "alias=production", "serving.port=0")

#: The tests of a stranger's repository.
SUITES = """
import pytest
from framework_folder import FolderOptions
from framework_folder.registry import FolderRegistry

from framework.testing.contracts.model import ModelContract
from framework.testing.contracts.registry import RegistryContract


class TestLinear(ModelContract):
    name = "linear"


class TestFolder(RegistryContract):
    @pytest.fixture
    def registry(self, tmp_path):
        return FolderRegistry(FolderOptions(folder=tmp_path / "pairs"))


def test_a_project_trains_with_both(project):
    chosen = ("model=linear", "registry=folder")
    assert project.run(*chosen)["pair"]["version"] == 1
    assert project.run("registry=folder", "run=pairs")["pairs"][0]["version"] == 1
"""


def command(*arguments: str | Path, cwd: Path | None = None, code: int = 0) -> tuple[str, str]:
    done = subprocess.run(
        [str(a) for a in arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_one_entry_point_and_needs_the_core_alone(name: str) -> None:
    project = tomllib.loads((EXAMPLES[name] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"].keys() == {"framework"}
    assert len(project["entry-points"]["framework"]) == 1
    assert [each for each in project["dependencies"] if each.startswith("framework")] == [
        "framework-core"
    ]


def test_the_model_has_at_most_forty_lines() -> None:
    code = [path.read_text() for path in EXAMPLES["model"].rglob("*.py")]
    assert len([line for text in code for line in text.splitlines() if line.strip()]) <= 40


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that holds wheels only."""
    folder = tmp_path_factory.mktemp("third_party")
    for source in (ROOT, *(ROOT / "plugins" / name for name in PLUGINS), *EXAMPLES.values()):
        # a source distribution, and the wheel of that
        command(UV, "build", "--quiet", "--out-dir", folder / "wheels", source)
    command(UV, "venv", "--quiet", "--python", sys.executable, folder / "environment")
    interpreter = folder / "environment" / "bin" / "python"
    wheels = sorted((folder / "wheels").glob("*.whl"))
    install = (UV, "pip", "install", "--quiet", "--python", interpreter)
    command(*install, "-c", ROOT / "constraints.txt", *wheels)
    return interpreter


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shops") / "project"
    ignored = shutil.ignore_patterns("state")
    return Path(shutil.copytree(ROOT / "examples" / "project", place, ignore=ignored))


def run(python: Path, project: Path, *overrides: str) -> dict[str, Any]:
    model = () if overrides[0] in ("run=history", "run=verify") else ("model=linear",)
    output, _ = command(python, "-m", "framework", *CHOSEN, *model, *overrides, cwd=project)
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


@pytest.mark.stress
def test_two_strangers_train_promote_and_serve(python: Path, project: Path) -> None:
    where, _ = command(
        python,
        "-c",
        "import framework, framework_linear; print(framework.__file__, framework_linear.__file__)",
        cwd=project,
    )
    assert str(ROOT) not in where, "the repository leaked into the fresh environment"
    trained = run(python, project, "model.alpha=2")
    assert trained["pair"]["version"] == 1
    assert trained["metrics"]["model"]["MAE"] != trained["metrics"]["baseline"]["MAE"]
    assert run(python, project, "model.alpha=2")["pair"]["version"] == 2
    for version in (1, 2):
        moved = run(
            *(python, project, "run=promote", "alias=production", f"version={version}"),
            *("force=true", "reason=tried"),
        )
        assert moved["pair"]["version"] == version
    assert run(python, project, "run=rollback", "alias=production")["pair"]["version"] == 1
    actions = [entry["action"] for entry in run(python, project, "run=history")["history"]]
    assert sorted(actions) == ["move", "move", "move", "register", "register"]
    assert run(python, project, "run=verify")["status"] == "done"
    run(python, project, "run=predict", "predict.output=forecast.parquet")
    forecast = pd.read_parquet(project / "forecast.parquet")
    assert len(forecast) == 4 * 7
    server = subprocess.Popen(
        [python, "-m", "framework", *CHOSEN, "model=linear", *SERVE],
        cwd=project,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        body = {"entity": {"shop": "harbour"}}
        answer = httpx.post(f"{url}/predict/feast", json=body, timeout=60).json()
        assert answer["pair"]["version"] == 1
        (one,) = answer["forecasts"]
        expected = forecast.loc[forecast["shop"] == "harbour", "mean"].tolist()
        assert one["targets"]["sales"]["mean"] == expected
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


@pytest.mark.stress
def test_the_kit_runs_in_a_strangers_repository(python: Path, tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(SUITES)
    output, _ = command(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path)
    assert "skipped" not in output
    new = tmp_path / "new"
    new.mkdir()
    arguments = ("run=init", "kind=plugin", "init.name=acme-trend")
    command(python, "-m", "framework", *arguments, cwd=new)
    install = (UV, "pip", "install", "--quiet", "--no-deps", "--python", python)
    command(*install, new)
    command(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=new)


@pytest.mark.stress
def test_what_is_uninstalled_is_named_in_one_line(python: Path, project: Path) -> None:
    for name, key in (
        ("framework-folder", "registry=folder"),
        ("framework-linear", "model=linear"),
    ):
        command(UV, "pip", "uninstall", "--quiet", "--python", python, name)
        arguments = ("+experiment=shops", key, "run=pairs" if "registry" in key else "run=train")
        _, errors = command(python, "-m", "framework", *arguments, cwd=project, code=2)
        (line,) = errors.splitlines()
        assert f"{key} is not known" in line or f"{key.partition('=')[2]}" in line
