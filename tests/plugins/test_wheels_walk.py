"""From a stranger's file to a served forecast, from wheels alone and outside this repository: six
commands and three minutes for each of three kinds of data.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pyarrow.parquet as pq
import pytest

ROOT, BIN = Path(__file__).parents[2], Path(sys.executable).parent
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
#: The makers of the three files: hourly with gaps, monthly, daily with covariates.
FILES = runpy.run_path(str(ROOT / "tests/runs/test_init.py"))
#: ``framework-core[standard]`` without what these commands do not need and takes long to install.
EXTRAS = "baselines,fastapi,files,mlflow,preprocessing,report,xgboost"
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"}
}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of each project of this repository, and the wheel made of that."""
    folder = tmp_path_factory.mktemp("distributions")
    for project in PROJECTS:
        run([BIN / "uv", "build", "--quiet", "--out-dir", folder, project], folder)
    return folder


@pytest.fixture(scope="module")
def framework(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command ``framework`` of a fresh environment, installed by the extras of the core."""
    folder, uv = tmp_path_factory.mktemp("wheels"), BIN / "uv"
    run([uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], folder)
    install = [uv, "pip", "install", "--quiet", "--python", folder / "venv/bin/python"]
    links = ["--find-links", distributions, "-c", ROOT / "constraints.txt"]
    run([*install, *links, f"framework-core[{EXTRAS}]"], folder)
    return folder / "venv/bin/framework"


def run(command: list[Any], cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def three_minutes(what: str) -> Iterator[None]:
    """Bound the processor time of the commands inside, whose processes have ended with it. The time
    of the clock, which depends on what else runs, is printed.
    """
    start, spent = time.monotonic(), _spent()
    yield
    spent = _spent() - spent
    print(f"{what}: {spent:.1f} s of a processor, {time.monotonic() - start:.1f} s in all")
    assert spent < 180


def _spent() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


@contextmanager
def server(framework: Path, project: Path, chosen: str) -> Iterator[str]:
    """The URL of a server, which has ended with the block."""
    process = subprocess.Popen(
        [str(framework), chosen, "run=serve", "alias=production", "serving.port=0"],
        cwd=project,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.mark.stress
@pytest.mark.parametrize("make", ["hourly_with_gaps", "monthly", "daily_with_covariates"])
def test_a_strangers_file_is_served_by_four_commands(
    framework: Path, tmp_path: Path, make: str
) -> None:
    data = FILES[make](tmp_path)
    with three_minutes(make):
        init = json.loads(
            run([framework, "run=init", f"init.data='{data}'"], tmp_path).splitlines()[-1]
        )
        chosen = f"+experiment={init['experiment']}"
        trained = json.loads(run([framework, chosen], tmp_path).splitlines()[-1])
        assert trained["pair"]["version"] == 1
        run(
            [framework, chosen, "run=promote", "alias=production", "force=true", "reason=first"],
            tmp_path,
        )
        with server(framework, tmp_path, chosen) as url:
            assert httpx.get(f"{url}/health/ready", timeout=60).status_code == 200
            entities = httpx.get(f"{url}/console/entities", timeout=60).json()["entities"]
            body = {"entity": entities[0]}
            answer = httpx.post(f"{url}/predict/feast", json=body, timeout=60).json()
    (forecast,) = answer["forecasts"] if "forecasts" in answer else (answer["forecast"],)
    assert forecast["status"] == "ok"
    assert len(forecast["times"]) == init["guesses"]["horizon"]["value"]


@pytest.mark.stress
def test_every_distribution_can_be_published(distributions: Path) -> None:
    """``make dist`` does the same. A source distribution and a wheel, of one version."""
    metadata = [tomllib.loads((p / "pyproject.toml").read_text())["project"] for p in PROJECTS]
    (version,) = {each["version"] for each in metadata}
    files = {
        file
        for each in metadata
        for stem in [f"{each['name'].replace('-', '_')}-{version}"]
        for file in (f"{stem}.tar.gz", f"{stem}-py3-none-any.whl")
    }
    assert {path.name for path in distributions.iterdir() if path.name != ".gitignore"} == files
    run([BIN / "twine", "check", "--strict", *sorted(distributions.glob("*-*"))], distributions)
    for each in metadata:
        stem = f"{each['name'].replace('-', '_')}-{version}"
        with zipfile.ZipFile(distributions / f"{stem}-py3-none-any.whl") as wheel:
            assert f"{stem}.dist-info/licenses/LICENSE" in wheel.namelist()


#: The pages of the tutorial, as ``tests/docs`` follows them.
TUTORIAL = runpy.run_path(str(ROOT / "tests/docs/test_docs.py"))


@pytest.mark.stress
def test_the_tutorial_works_from_wheels(framework: Path, tmp_path: Path) -> None:
    project, python = TUTORIAL["example"](tmp_path), framework.with_name("python")
    modules = run(
        [python, "-c", "import framework, framework_xgboost as x; print(framework, x)"], tmp_path
    )
    assert str(ROOT) not in modules, "the repository leaked into the fresh environment"
    TUTORIAL["follow"](
        project, ENVIRONMENT, lambda words: run([framework, *words], project), str(python)
    )


#: The experiments of ``how-to/bring-your-own-data.md``, and a file of the kind that each is for.
OWN_DATA = runpy.run_path(str(ROOT / "tests/docs/test_own_data.py"))


@pytest.mark.stress
@pytest.mark.parametrize("name", OWN_DATA["FILES"])
def test_an_experiment_of_the_page_trains_and_forecasts(
    framework: Path, tmp_path: Path, name: str
) -> None:
    write, times, _ = OWN_DATA["FILES"][name]
    for folder in ("data", "conf/experiment"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "conf/config.yaml").write_text("defaults:\n  - framework\n  - _self_\n")
    (tmp_path / f"conf/experiment/{name}.yaml").write_text(OWN_DATA["BLOCKS"][name])
    write(tmp_path / "data")
    with three_minutes(name):
        run([framework, f"+experiment={name}"], tmp_path)
        run(
            [framework, f"+experiment={name}", "run=predict", "predict.output=forecast.parquet"],
            tmp_path,
        )
    rows = pq.read_table(tmp_path / "forecast.parquet").to_pandas()
    assert set(rows["status"]) == {"ok"}
    assert rows["event_timestamp"].dt.tz_convert(None).min() == pd.Timestamp(times[0])
