"""The tutorial's commands are run as they are printed; links in the documentation lead
somewhere.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from framework.testing.servers.command import run

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def _commands(page: Path) -> list[str]:
    """Give the commands after those that install."""
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL)
    assert blocks[0].startswith("make install")
    return [block.strip() for block in blocks[1:]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if target.startswith("https://"):
            continue  # tests ask no other machine
        assert (page.parent / target).exists(), target


#: Runs a command of the tutorial, without ``python -m framework``, and gives its standard output.
Call = Callable[[list[str]], str]


def test_the_tutorial_works_as_printed(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    project = example(tmp_path)

    def call(words: list[str]) -> str:
        done = run(*words, cwd=project, env=environment, page=True)
        assert done.returncode == 0, f"{words}\n{done.stderr}"
        return done.stdout

    follow(project, environment, call, sys.executable)


def example(folder: Path) -> Path:
    """Copy the example's project."""
    ignored = shutil.ignore_patterns("state")
    source = ROOT / "examples" / "project"
    return Path(shutil.copytree(source, folder / "project", ignore=ignored))


def follow(project: Path, environment: dict[str, str], call: Call, python: str) -> None:
    """Run the commands of the tutorial as they are printed."""
    results = {}
    for command in _commands(DOCS / "tutorial.md"):
        if "run=serve" in command or command.startswith("curl"):
            continue
        output = call(shlex.split(command.removeprefix("python -m framework ")))
        results[command] = json.loads(output.splitlines()[-1])
    assert [r["run"] for r in results.values()] == ["train", "train", "pairs", "promote", "predict"]
    assert [
        p["version"] for p in results["python -m framework +experiment=shops run=pairs"]["pairs"]
    ] == [2, 1]
    assert len(pd.read_parquet(project / "forecast.parquet")) == 4 * 7
    trained = results["python -m framework +experiment=shops"]
    assert "<svg" in Path(trained["report"]).read_text()
    _serve_and_ask(project, environment, trained["pair"]["digest"], python)


def _serve_and_ask(project: Path, environment: dict[str, str], digest: str, python: str) -> None:
    """The server on a free port instead of the printed one, the question as printed."""
    serve, ask = [
        c for c in _commands(DOCS / "tutorial.md") if "run=serve" in c or c.startswith("curl")
    ]
    program = [python, *serve.replace("8123", "0").split()[1:]]
    server = subprocess.Popen(
        program, cwd=project, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        ready = json.loads(server.stdout.readline())
        assert ready["status"] == "ready"
        question = ask.replace("localhost:8123", ready["url"].removeprefix("http://"))
        answer = json.loads(
            subprocess.run(question, shell=True, capture_output=True, text=True, check=True).stdout
        )
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(timeout=60)
    assert code == 0
    assert answer["pair"]["digest"] == digest
    assert answer["forecasts"][0]["status"] == "ok"
    assert len(answer["forecasts"][0]["targets"]["sales"]["mean"]) == 7
