"""``run=materialize schedule=…``: at the times of a cron expression, until SIGTERM."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from framework.testing.servers import command

PROJECT = Path(__file__).parents[2] / "examples" / "project"
PROGRAM = [sys.executable, "-m", "framework", "+experiment=shops", "run=materialize"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(PROJECT, tmp_path / "project", ignore=shutil.ignore_patterns("state"))
    )


@pytest.mark.stress
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.stress)]
)
def test_a_schedule_runs_until_it_is_told_to_stop(project: Path, number: signal.Signals) -> None:
    command = [*PROGRAM, "schedule='* * * * * *'"]
    with subprocess.Popen(
        command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            announced = 0
            for line in process.stderr:
                announced += "materialize: next at" in line
                if announced == 3:
                    break
            process.send_signal(number)
            result = json.loads(process.stdout.read().splitlines()[-1])
            assert process.wait() == 0
        finally:
            process.kill()
    assert result["status"] == "done"
    assert result["done"] >= 2
    assert result["failed"] == 0


def test_a_schedule_that_is_none_is_refused_before_anything_is_done(project: Path) -> None:
    done = command.run("+experiment=shops", "run=materialize", "schedule=hourly", cwd=project)
    assert done.returncode == 2
    assert "schedule: no cron expression, such as '*/15 * * * *'" in done.stderr
