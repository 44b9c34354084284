"""The commands of the README and of each document run, in the order of the page, in a project that
has what the page expects. ``docs/commands.py`` says which, and why others are composed only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
import yaml

from framework.testing.servers import command

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))

import commands  # noqa: E402

pytestmark = pytest.mark.stress
UNITS = [
    unit
    for unit in commands.every_unit()
    if commands.account(unit) == commands.Account("stress", commands.RUNNER)
]
PAGES = sorted({unit.page for unit in UNITS})
#: Pages about Feast's stores.
FEAST = ("docs/how-to/online-features.md", "docs/how-to/offline-stores.md")
_SERVE = "python -m framework +experiment=shops run=serve alias=production"
#: What a reader does before a command that a page shows for another case than the one before.
BEFORE = {
    "init.data=sales.csv": "mv conf aside",
    "experiment=xgb_daily": "[ ! -d aside ] || { rm -r conf; mv aside conf; }",
    "run=backup": "mv /srv/forecasts state",
    "run=restore": "rm -rf /srv/forecasts",
    "what=features": "python -m framework +experiment=shops run=materialize",
    "run=monitor": _SERVE,
}
#: What a command says of itself beside 0: nothing was found.
CODES = {"grep": 1}
NAMES = ("shops", "xgb_daily", "berlin")


def experiment(name: str, data: str = "sales") -> str:
    """Give the example's experiment under another name; every pair passes its gate."""
    body = yaml.safe_load((ROOT / "examples/project/conf/experiment/shops.yaml").read_text())
    body |= {"name": name, "gate": {"margin": 10.0, "baseline_margin": 10.0}}
    body["source"]["files"]["sales"] = f"data/{data}.csv"
    return "# @package _global_\n" + yaml.safe_dump(body, sort_keys=False)


def framework(project: Path, *overrides: str, env: dict[str, str] | None = None) -> Any:
    done = command.run(*overrides, cwd=project, env=env)
    assert done.returncode == 0, f"{overrides}\n{done.stderr[-3000:]}"
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["status"] == "done", result
    return result


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pairs of each name, under the aliases of the documents."""
    project = tmp_path_factory.mktemp("prepared") / "project"
    ignored = shutil.ignore_patterns("state")
    shutil.copytree(ROOT / "examples" / "project", project, ignore=ignored)
    for name in ("shops", "xgb_daily"):
        (project / f"conf/experiment/{name}.yaml").write_text(experiment(name))
    for name in ("berlin", "hamburg", "munich"):
        (project / f"conf/experiment/{name}.yaml").write_text(experiment(name, name))
        shutil.copy(project / "data/sales.csv", project / f"data/{name}.csv")
    shutil.copy(project / "data/sales.csv", project / "sales.csv")
    for name in NAMES:
        for seed in (1, 2, 3):
            framework(project, f"+experiment={name}", f"seed={seed}")
        for alias, version in (("staging", 1), ("candidate", 2), ("challenger", 1)):
            moved = (f"name={name}", f"alias={alias}", f"version={version}")
            framework(project, "run=alias", *moved)
        for version in (1, 2):
            moved = ("run=promote", "alias=production", f"version={version}")
            framework(project, f"+experiment={name}", *moved)
    return project


class Reader:
    """Does what a page says, in a project of its own."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.env = {**os.environ, "OLD_PASSWORD": "hunter2"}
        self.env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{self.env['PATH']}"
        self.server: subprocess.Popen[str] | None = None
        self.url = ""

    def do(self, text: str) -> None:
        """Run one command of a page."""
        here = str(self.project.parent)
        text = re.sub(r"(?<![\w.])/(srv|backups)\b", rf"{here}/\1", text)
        before = next((line for words, line in BEFORE.items() if words in text), None)
        unit = commands.Unit("", 0, "bash", text)
        if before and not text.startswith(before):
            self.do(before)
        if text.startswith("export "):
            self.env.update([text.removeprefix("export ").split("=", 1)])
        elif unit.is_framework:
            for overrides in commands.overrides(unit):
                self._framework(overrides, text.partition(" | ")[2])
        else:
            if text.startswith("curl ") and not self.url:
                self._serve(["+experiment=shops", "run=serve", "alias=production"])
            line = text.replace("http://127.0.0.1:8000", self.url)
            done = self._shell(line)
            assert done.returncode == CODES.get(text.split()[0], 0), f"{line}\n{done.stderr}"
            if text.startswith("curl "):
                assert '"ok"' in done.stdout, done.stdout

    def close(self) -> None:
        """Stop the server; it writes what it still holds."""
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            assert self.server.wait(60) == 0
            self.server = None

    def _framework(self, overrides: list[str], pipe: str) -> None:
        if "run=serve" in overrides:
            self._serve(overrides)
            return
        self.close()
        result = framework(self.project, *overrides, env=self.env)
        if pipe:
            done = self._shell(pipe, json.dumps(result) + "\n")
            assert done.returncode == 0, done.stderr
            assert "null" not in done.stdout

    def _serve(self, overrides: list[str]) -> None:
        self.close()
        words = [word for word in overrides if not word.startswith("serving.port")]
        self.server = subprocess.Popen(
            [sys.executable, "-m", "framework", *words, "serving.port=0"],
            cwd=self.project,
            env=self.env,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.server.stdout is not None
        ready = json.loads(self.server.stdout.readline())
        assert ready["status"] == "ready", ready
        self.url = ready["url"]
        answer = httpx.post(
            f"{self.url}/predict/feast", json={"entity": {"shop": "harbour"}}, timeout=60
        )
        assert answer.json()["forecasts"][0]["status"] == "ok", answer.text
        paths = httpx.get(f"{self.url}/openapi.json", timeout=60).json()["paths"]
        for name in ("predict", "invocations"):
            body = paths[f"/{name}"]["post"]["requestBody"]["content"]["application/json"]
            example = body.get("example") or body["examples"]["dataframe_split"]["value"]
            (self.project / f"{name}.json").write_text(json.dumps(example))

    def _shell(self, line: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            line,
            shell=True,
            cwd=self.project,
            env=self.env,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def reader(prepared: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Reader]:
    """A reader of the page that the test is for."""
    page = request.node.callspec.params["page"]
    project = tmp_path / "project"
    for folder in ("srv", "backups"):
        (tmp_path / folder).mkdir()
    if page.endswith("start-a-project.md"):
        shutil.copytree(prepared / "data", project / "data")
    else:
        shutil.copytree(prepared, project)
    if page in FEAST:
        shutil.rmtree(project / "state")
        with_created(project)
        framework(project, "+experiment=shops")
    if page.endswith("score-in-batch.md"):
        write_rows(project)
    reader = Reader(project)
    yield reader
    reader.close()


def with_created(project: Path) -> None:
    """Keep the features in Feast, and say when each row became known."""
    shutil.copytree(ROOT / "conf/feature_store", project / "conf/feature_store")
    shutil.copy(ROOT / "conf/config.yaml", project / "conf/config.yaml")
    path = project / "conf/experiment/shops.yaml"
    body = yaml.safe_load(path.read_text())
    body["features"]["views"]["sales"]["created"] = "seen_at"
    path.write_text("# @package _global_\n" + yaml.safe_dump(body, sort_keys=False))
    rows = pd.read_csv(project / "data/sales.csv", parse_dates=["date"])
    rows["seen_at"] = rows["date"] + pd.Timedelta(1, "D")
    rows.to_csv(project / "data/sales.csv", index=False)


def write_rows(project: Path) -> None:
    """Write the rows of the store as a user has them: the columns that the pair takes."""
    stored = [
        rows
        for path in sorted((project / "state").rglob("*.parquet"))
        if "sales_lag_1" in (rows := pd.read_parquet(path))
    ]
    own = [name for name in stored[0] if not name.startswith("__")]
    stored[0][own].to_parquet(project / "rows.parquet")


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page: str, reader: Reader) -> None:
    for unit in UNITS:
        if unit.page == page:
            reader.do(unit.text)
