"""Searches with a real Ray, started from the command line; what goes wrong in trials, workers and
drivers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from omegaconf import OmegaConf

TUNE = ("+experiment=toy", "run=tune")
SLOW = ("model.seconds=0.3", "tuner.scheduler=none")


def wait_for(condition: Any, seconds: float = 150) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    tree = psutil.Process(process.pid).children(recursive=True)
    return [p for p in tree if any("FoldTrainable" in part for part in p.cmdline())]


def test_a_search_leaves_a_pair_an_experiment_a_table_and_plots(project: Any) -> None:
    result = project.run(*TUNE, "tune.trials=6", "tuner.scheduler=none")
    trials = project.trials()
    best = min(trials, key=lambda trial: trial["value"])
    assert result["trials"]["count"] == len(trials) == 6
    assert result["best"] == {
        "value": best["value"],
        "params": best["values"],
        "trial": best["number"],
    }
    assert result["pair"]["name"] == "toy"
    assert abs(best["values"]["model.level"] - 10.5) == pytest.approx(
        result["best"]["value"], abs=0.5
    )
    assert result["metrics"]["model"]["MAE"] == pytest.approx(best["value"], rel=1e-6)
    directory = Path(result["trials"]["table"]).parent
    assert {"search_history.png", "search_importance.png", "trials.csv"} <= {
        path.name for path in directory.iterdir()
    }
    assert sorted((directory / "hooked.txt").read_text().split("\n")[:-1]) == [
        f"{n} done True" for n in range(6)
    ]

    command = [sys.executable, "-m", "framework", "+experiment=toy_tuned", "--cfg", "job"]
    shown = subprocess.run(
        command,
        cwd=project.directory,
        env=project.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    composed = OmegaConf.create(shown.stdout)
    assert composed.model.level == best["values"]["model.level"]
    assert composed.model.name == "toy"
    assert composed.panel.horizon == 5


@pytest.mark.stress
def test_a_trial_that_fails_is_recorded_and_the_search_goes_on(project: Any) -> None:
    project.search_space("model.fault: {choice: [none, nan, raise, hang, die, threads, memory]}")
    limits = (
        "tuner.cpus_per_trial=2",
        "tuner.trial_seconds=4",
        "tuner.retries=0",
        "tune.trials=null",
        "tune.seconds=200",
    )
    result = project.run(*TUNE, "tuner.search=grid", *limits)
    errors = {trial["values"]["model.fault"]: trial["error"] for trial in project.trials()}
    assert result["trials"] | {"table": ""} == {
        "count": 7,
        "done": 1,
        "stopped": 0,
        "failed": 6,
        "table": "",
    }
    assert result["best"]["params"] == {"model.fault": "none"}
    assert "not finite" in errors["nan"]
    assert "ValueError: the toy broke" in errors["raise"]
    assert "time-out: more than 4 s" in errors["hang"]
    # those of the trial, though the environment says 1
    assert "ValueError: 2 threads" in errors["threads"]
    assert "MemoryError: " in errors["memory"]
    assert errors["die"].startswith("worker lost")


@pytest.mark.stress
def test_a_trial_that_eats_the_memory_of_its_node_is_ended_and_recorded(project: Any) -> None:
    """Ray's own watch over the node's memory, set to what is used now and 4 GiB more."""
    project.search_space("model.fault: {choice: [eat, none]}")
    memory = psutil.virtual_memory()
    limit = (memory.total - memory.available + 4 * 2**30) / memory.total
    project.variables |= {
        "RAY_memory_usage_threshold": f"{limit:.4f}",
        "RAY_memory_monitor_refresh_ms": "50",
    }
    result = project.run(
        *TUNE,
        "tuner.search=grid",
        "tuner.cpus_per_trial=2",
        "tuner.retries=0",
        "tune.trials=null",
        "tune.seconds=200",
    )
    eaten, good = sorted(project.trials(), key=lambda trial: trial["number"])
    assert (eaten["status"], good["status"]) == ("failed", "done")
    assert eaten["error"].startswith("worker lost: ")
    assert "out of memory" in eaten["error"]
    assert result["best"]["params"] == {"model.fault": "none"}


@pytest.mark.stress
def test_asha_ends_a_hopeless_trial_after_its_first_fold(project: Any) -> None:
    """One at a time, the best first, so that each later one is judged by it."""
    project.search_space("model.level: {choice: [10.5, 15, 16, 17, 18]}")
    one = (
        "tuner.search=grid",
        "tuner.cpus_per_trial=2",
        "tuner.reduction_factor=2",
        "tune.trials=null",
        "tune.seconds=200",
    )
    result = project.run(*TUNE, *one, "backtest.folds=4")
    trials = sorted(project.trials(), key=lambda trial: trial["number"])
    assert [trial["status"] for trial in trials] == [
        "done",
        "stopped",
        "stopped",
        "stopped",
        "stopped",
    ]
    assert [len(trial["folds"]) for trial in trials] == [4, 1, 1, 1, 1]
    assert all(trial["value"] is None for trial in trials[1:])
    assert result["best"]["params"] == {"model.level": 10.5}


@pytest.mark.stress
def test_sigterm_ends_a_search_as_ctrl_c_does(project: Any) -> None:
    process = project.start(*TUNE, *SLOW, "tune.trials=500")
    wait_for(lambda: len(project.trials()) >= 2)
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors[-2000:]
    assert '"interrupted": true' in out.splitlines()[-1]
    assert {trial["status"] for trial in project.trials()} == {"done"}


@pytest.mark.stress
def test_a_killed_driver_leaves_no_process_and_resume_repeats_no_trial(project: Any) -> None:
    process = project.start(*TUNE, *SLOW, "tune.trials=8")
    wait_for(lambda: len(project.trials()) >= 3)
    children = psutil.Process(process.pid).children(recursive=True)
    in_its_place = [child for child in children if child.cmdline()[-1].endswith("no_agent.py")]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = project.trials()
    result = project.run(*TUNE, *SLOW, "tune.trials=8", "resume=true")
    after = project.trials()
    assert after[: len(before)] == before
    assert [child.is_running() for child in in_its_place] == [False]
    assert len(after) == result["trials"]["count"] == 8
    assert len({trial["number"] for trial in after}) == 8
    assert len({trial["values"]["model.level"] for trial in after}) == 8
    assert "goes on after" in project.errors
    assert (
        "resume: panel is not that of the search"
        in project.run(*TUNE, *SLOW, "resume=true", "panel.horizon=4", code=2)["error"]
    )


@pytest.mark.stress
def test_a_killed_worker_costs_one_retry_and_ctrl_c_keeps_what_was_found(project: Any) -> None:
    process = project.start(*TUNE, "model.seconds=0.6", "tuner.scheduler=none", "tune.trials=500")
    wait_for(project.trials)
    killed: list[psutil.Process] = []
    wait_for(lambda: killed.extend(workers(process)) or killed)
    killed[0].kill()
    reached = len(project.trials()) + 3
    wait_for(lambda: len(project.trials()) >= reached)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors[-2000:]
    assert '"interrupted": true' in out.splitlines()[-1]
    assert '"pair": null' in out.splitlines()[-1]
    assert {trial["status"] for trial in project.trials()} == {"done"}
    assert (project.directory / "conf/experiment/toy_tuned.yaml").is_file()


@pytest.mark.stress
def test_the_trials_of_a_search_run_on_both_nodes_of_a_cluster(project: Any) -> None:
    from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = project.environment["PYTHONPATH"]
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": 10**8, "include_dashboard": False},
    )
    try:
        cluster.add_node(num_cpus=1, object_store_memory=10**8)
        cluster.wait_for_nodes()
        result = project.run(
            *TUNE,
            *SLOW,
            f"ray.address='{cluster.address}'",
            "tune.trials=6",
            "tune.register_best=false",
        )
    finally:
        cluster.shutdown()
        del os.environ["PYTHONPATH"]
    assert result["trials"]["done"] == 6
    assert len({trial["node"] for trial in project.trials()}) == 2


@pytest.mark.stress
def test_a_backtest_on_ray_gives_the_figures_of_a_local_one(project: Any) -> None:
    local = project.run("+experiment=toy", "run=backtest", "model.level=9.5")
    remote = project.run(
        "+experiment=toy",
        "run=backtest",
        "model.level=9.5",
        "compute=ray",
        "compute.object_store_memory=100000000",
    )
    assert remote["metrics"] == local["metrics"]
