"""Multiruns: each job a run with a folder of its own, in parallel, one table and one JSON line at
the end.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SWEEP = ("-m", "+experiment=toy", "run=backtest", "model.level=9,11")


@pytest.mark.stress
@pytest.mark.parametrize(
    "launcher",
    [
        pytest.param(("joblib", "n_jobs=2"), marks=pytest.mark.stress),
        ("ray", "object_store_memory=100000000"),
    ],
)
def test_jobs_in_parallel_begin_with_an_empty_store_and_end_in_one_table(
    project: Any, launcher: tuple[str, str]
) -> None:
    name, option = launcher
    result = project.run(
        *SWEEP,
        "model.fault=none,raise",
        f"hydra/launcher={name}",
        f"hydra.launcher.{option}",
        code=1,
    )
    assert (result["run"], result["status"]) == ("sweep", "failed")
    jobs = result["jobs"]
    assert [job["overrides"] for job in jobs] == [
        [f"model.level={v}", f"model.fault={f}"] for v in (9, 11) for f in ("none", "raise")
    ]
    assert [job["status"] for job in jobs] == ["done", "failed"] * 2
    assert [job["metrics"]["model"]["MAE"] for job in jobs[::2]] == [1.5, 0.5]
    assert "the toy broke" in jobs[1]["error"]
    folders = [Path(job["directory"]) for job in jobs]
    assert len({folder.parent for folder in folders}) == 1
    assert len(set(folders)) == 4
    kept = [
        json.loads((project.directory / folder / "result.json").read_text()) for folder in folders
    ]
    assert [body["result"]["status"] for body in kept] == ["done", "failed"] * 2
    assert "sweep: 4 jobs" in project.errors
    assert project.errors.count("ingest: daily") <= 1


@pytest.mark.stress
def test_a_sweep_in_one_process_ends_in_the_same_line(project: Any) -> None:
    result = project.run(*SWEEP)
    assert (result["run"], result["status"]) == ("sweep", "done")
    assert [job["metrics"]["model"]["MAE"] for job in result["jobs"]] == [1.5, 0.5]
    unknown = project.run(*SWEEP, "model.levle=1,2", code=2)
    assert "model.levle: unknown key" in unknown["error"]
