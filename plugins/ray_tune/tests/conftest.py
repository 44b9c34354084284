"""A small project in a folder of its own, whose model is found by worker processes as any plugin
is.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

TOY = Path(__file__).parent / "toy"
EXPERIMENT = """# @package _global_
defaults:
  - override /model: toy
  - override /registry: toy
  - override /source: files
  - _self_
name: toy
source:
  files: {daily: data/daily.csv}
features:
  primary: daily
  views: {daily: {entity: [shop], columns: [y, promo], ttl: 1d}}
panel: {targets: [y], frequency: D, horizon: 5, season_length: 7}
backtest: {folds: 2}
model: {level: 8}
ray: {num_cpus: 2}
tuner: {object_store_memory: 100000000}
space:
  model.level: {uniform: [0, 20]}
tune: {trials: 4}
"""


@dataclass
class Project:
    """``python -m framework +experiment=toy …`` in a folder."""

    directory: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(TOY), "OMP_NUM_THREADS": "1", **self.variables}

    def start(self, *overrides: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "framework", *overrides]
        pipe, where, env = subprocess.PIPE, self.directory, self.environment
        process = subprocess.Popen(
            command, cwd=where, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )
        self.started.append(process)
        return process

    def run(self, *overrides: str, code: int = 0) -> dict[str, Any]:
        process = self.start(*overrides)
        out, self.errors = process.communicate(timeout=300)
        assert process.returncode == code, self.errors[-3000:] + out
        result: dict[str, Any] = json.loads(out.splitlines()[-1])
        return result

    def search_space(self, text: str) -> None:
        """Replace what the experiment searches."""
        before, after = "model.level: {uniform: [0, 20]}", text
        path = self.directory / "conf" / "experiment" / "toy.yaml"
        path.write_text(path.read_text().replace(before, after))

    def trials(self) -> list[dict[str, Any]]:
        files = sorted((self.directory / "state" / "tune" / "toy").glob("*/trials.jsonl"))
        return [json.loads(line) for line in files[-1].read_text().splitlines()] if files else []


@pytest.fixture(scope="session")
def left() -> Iterator[list[Path]]:
    """Folders of drivers that were killed: Ray's agents see only after a minute that their node is
    gone, while other tests run.
    """
    folders: list[Path] = []
    yield folders
    for folder in folders:
        wait_until_gone(folder)


@pytest.fixture
def project(tmp_path: Path, left: list[Path]) -> Iterator[Project]:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "toy.yaml").write_text(EXPERIMENT)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "daily.csv").write_text("\n".join(_daily()) + "\n")
    made = Project(tmp_path)
    yield made
    for process in made.started:
        if process.poll() is None:  # a test that failed left it
            process.kill()
            process.wait()
    if any(process.returncode == -signal.SIGKILL for process in made.started):
        left.append(tmp_path)
    else:
        wait_until_gone(tmp_path)


def wait_until_gone(directory: Path) -> None:
    end = time.monotonic() + 90
    while (found := alive(directory)) and time.monotonic() < end:
        time.sleep(0.2)
    assert not found, f"outlived its run: {found}"


def _daily() -> list[str]:
    days = [date(2024, 1, 1) + timedelta(days=i) for i in range(50)]
    return [
        "shop,event_timestamp,y,promo",
        *(f"{s},{d},{10 + (s == 'b')},{i % 2}" for s in "ab" for i, d in enumerate(days)),
    ]


def alive(directory: Path) -> list[str]:
    """Processes whose working folder is the project's, Ray's included: a run starts them there."""
    found = []
    for process in psutil.process_iter(["pid", "name", "status"]):
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(
                directory
            ):
                found.append(f"{process.pid} {' '.join(process.cmdline())[:100]}")
        except (psutil.Error, OSError):
            continue
    return found
