"""A stranger's model, built as a wheel and installed beside ours in an environment of its own, is
selected by one word.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "third_party_model"
PLUGINS = ("files", "preprocessing", "baselines", "mlflow")


def command(*arguments: str | Path, cwd: Path | None = None) -> str:
    environment = {
        k: v
        for k, v in os.environ.items()
        if k not in {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"}
    }
    done = subprocess.run(
        [str(a) for a in arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that holds wheels only."""
    folder = tmp_path_factory.mktemp("third_party")
    uv = Path(sys.executable).parent / "uv"
    for source in (ROOT, *(ROOT / "plugins" / name for name in PLUGINS), EXAMPLE):
        command(uv, "build", "--quiet", "--wheel", "--out-dir", folder / "wheels", source)
    command(uv, "venv", "--quiet", "--python", sys.executable, folder / "environment")
    interpreter = folder / "environment" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    command(
        *(
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            interpreter,
            *(("-c", constraints) if constraints.is_file() else ()),
        ),
        *sorted((folder / "wheels").glob("*.whl")),
    )
    return interpreter


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(
            ROOT / "examples" / "project",
            tmp_path / "project",
            ignore=shutil.ignore_patterns("state"),
        )
    )


def run(python: Path, project: Path, *overrides: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(
        command(
            python, "-m", "framework", "+experiment=shops", *overrides, cwd=project
        ).splitlines()[-1]
    )
    return result


def test_the_example_is_small_and_has_one_entry_point() -> None:
    code = [path.read_text() for path in EXAMPLE.rglob("*.py")]
    lines = [line for text in code for line in text.splitlines() if line.strip()]
    assert len(lines) <= 40
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"framework": {"drift": "framework_drift"}}
    assert project["dependencies"] == ["framework-core"]


@pytest.mark.stress
def test_a_third_party_model_trains_and_predicts_by_its_name(python: Path, project: Path) -> None:
    where = command(
        python,
        "-c",
        "import framework, framework_drift; print(framework.__file__, framework_drift.__file__)",
        cwd=project,
    )
    assert str(ROOT) not in where, "the repository leaked into the fresh environment"

    trained = run(python, project, "model=drift", "model.window=8")
    assert trained["status"] == "done"
    assert trained["pair"]["version"] == 1
    assert trained["metrics"]["model"]["MAE"] != trained["metrics"]["baseline"]["MAE"]

    predicted = run(
        python, project, "model=drift", "run=predict", "predict.output=forecast.parquet"
    )
    assert predicted["rows"] == 4 * 7
    forecast = pd.read_parquet(project / "forecast.parquet")
    sales = pd.read_csv(project / "data" / "sales.csv")
    for shop, rows in sales.groupby("shop"):
        window = rows["sales"].to_numpy()[-8:]
        expected = window[-1] + (window[-1] - window[0]) / 7 * np.arange(1, 8)
        np.testing.assert_allclose(
            forecast.loc[forecast["shop"] == shop, "mean"], expected, rtol=1e-12
        )
