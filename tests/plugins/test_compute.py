"""Work in other processes: the same results in order, its errors as they were raised, a killed
worker in one line.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pytest

from framework.errors import FrameworkError
from framework.plugins.builtin import ProcessesOptions
from framework.plugins.compute import LocalCompute, ProcessesCompute
from framework.testing.contracts.compute import ComputeContract
from framework.testing.servers import command

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a worker cannot import a test

EXAMPLE = Path(__file__).parents[2] / "examples" / "project"
COMPUTE = ProcessesCompute(ProcessesOptions(workers=2))


def _work(shared: dict[str, Any], item: int) -> tuple[float, int, str, bool, bool]:
    if item == -2:
        os.kill(os.getpid(), signal.SIGKILL)
    return (
        float(shared["rows"][:item].sum()),
        os.getpid(),
        os.environ["OMP_NUM_THREADS"],
        isinstance(shared["rows"], np.memmap),
        joblib.Parallel(n_jobs=2)(joblib.delayed(os.getpid)() for _ in range(2))
        == [os.getpid()] * 2,
    )


SHARED = {"rows": np.arange(1_000_000.0), "words": np.array(["a", "b"], dtype=object)}


def test_results_come_in_order_from_other_processes_that_map_the_same_array() -> None:
    results = list(COMPUTE.map(_work, SHARED, [5, 3, 1, 4]))
    assert [value for value, *_ in results] == [10.0, 3.0, 0.0, 6.0]
    assert os.getpid() not in {pid for _, pid, *_ in results}
    assert {tuple(facts) for _, _, *facts in results} == {("1", True, True)}


def test_without_a_number_of_workers_they_and_their_threads_fill_the_cores_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 5)
    results = list(ProcessesCompute(ProcessesOptions(threads=2)).map(_work, SHARED, list(range(8))))
    assert 1 <= len({pid for _, pid, *_ in results}) <= 2
    assert {threads for _, _, threads, *_ in results} == {"2"}


def test_a_killed_worker_is_one_line() -> None:
    with pytest.raises(
        FrameworkError, match=r"a worker process was killed.*lower compute\.workers"
    ):
        list(COMPUTE.map(_work, SHARED, [1, -2, 2]))


@pytest.mark.stress
def test_a_backtest_in_processes_gives_the_figures_of_a_local_one(tmp_path: Path) -> None:
    folder = Path(
        shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("state"))
    )
    arguments, figures = ("+experiment=shops", "run=backtest", "backtest.folds=3"), []
    in_processes = [sys.executable, "-m", "framework", *arguments, "compute=processes"]
    for done in (
        command.run(*arguments, cwd=folder),
        subprocess.run(in_processes, cwd=folder, capture_output=True, text=True, check=False),
    ):
        assert done.returncode == 0, done.stderr
        figures.append(json.loads(done.stdout.splitlines()[-1])["metrics"])
    assert figures[0] == figures[1]


class TestProcesses(ComputeContract):
    def make(self) -> ProcessesCompute:
        return ProcessesCompute(ProcessesOptions(workers=2))


class TestLocal(ComputeContract):
    def make(self) -> LocalCompute:
        return LocalCompute(None)
