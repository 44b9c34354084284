"""What a search costs beside the fits: 20 trials of a one-second fit on 2 cores, start to end.

    python benchmarks/tune.py

Four ways to do the same work (each trial: 4 folds of 0.25 s of one core, random values of one
option): Optuna alone with two processes, a naive Ray Tune job (a function, a new worker process for
each trial), Ray Tune with reused workers as ``tuner=ray`` drives it, and the ideal (20 s of work on
2 cores). Every way runs in a process of its own and is measured from its start to its end, imports
and Ray's start included. Prints a table and, last, one JSON line; the exit code is 1 when
``tuner=ray`` takes more than ``--limit`` seconds (default 18).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from framework.interfaces.tuner import Budget, Dimension, Evaluation, Objective, Search, Trial

TRIALS, FOLDS, SECONDS, CORES = 20, 4, 0.25, 2
WAYS = {"framework": "tuner=ray", "optuna": "Optuna alone, 2 processes", "naive": "naive Ray Tune"}


def work() -> None:
    """A quarter of a second of one core, whatever else the machine does."""
    end = time.process_time() + SECONDS
    while time.process_time() < end:
        sum(range(1000))


class Work(Evaluation):
    def __init__(self, x: float) -> None:
        self._x = x

    def fold(self, number: int) -> float:
        work()
        return (self._x - 0.3) ** 2


class WorkObjective(Objective):
    @property
    def folds(self) -> int:
        return FOLDS

    def evaluation(self, values: Mapping[str, Any]) -> Work:
        return Work(values["x"])


def framework_way(directory: Path) -> int:
    from framework_ray_tune import RayTuneOptions
    from framework_ray_tune.tuner import RayTuner

    done: list[Trial] = []
    options = RayTuneOptions(
        address=None,
        num_cpus=CORES,
        dashboard=False,
        search="random",
        scheduler="none",
        object_store_memory=10**8,
    )
    dimension = Dimension("x", "uniform", 0.0, 1.0)
    search = Search(
        (dimension,),
        WorkObjective(),
        Budget(TRIALS, None, None),
        7,
        (),
        directory,
        done.append,
        print,
    )
    RayTuner(options).search(search)
    return len(done)


def one_trial(x: float) -> float:
    for _ in range(FOLDS):
        work()
    return (x - 0.3) ** 2


def optuna_way(directory: Path) -> int:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(7))
    with ProcessPoolExecutor(CORES) as pool:
        asked = [study.ask() for _ in range(TRIALS)]
        for trial, value in zip(
            asked, pool.map(one_trial, [t.suggest_float("x", 0, 1) for t in asked]), strict=True
        ):
            study.tell(trial, value)
    return len(study.trials)


def naive_way(directory: Path) -> int:
    import ray
    from ray import tune

    def objective(config: dict[str, float]) -> None:
        for _ in range(FOLDS):
            work()
            tune.report({"objective": (config["x"] - 0.3) ** 2})

    ray.init(
        num_cpus=CORES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=10**8,
    )
    tuner = tune.Tuner(
        objective,
        param_space={"x": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(metric="objective", mode="min", num_samples=TRIALS),
        run_config=tune.RunConfig(storage_path=str(directory), verbose=0),
    )
    return len(tuner.fit())


def measure(way: str) -> float:
    command = [sys.executable, __file__, "--way", way]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{way}: {done.stderr[-2000:]}")
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=float, default=18.0)
    parser.add_argument(
        "--rounds", type=int, default=1, help="how often each way is measured; the quickest counts"
    )
    parser.add_argument("--only", choices=tuple(WAYS), action="append")
    parser.add_argument("--way", choices=tuple(WAYS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        with tempfile.TemporaryDirectory() as directory:
            ended = globals()[f"{given.way}_way"](Path(directory))
        return 0 if ended == TRIALS else 1
    figures = {way: min(measure(way) for _ in range(given.rounds)) for way in given.only or WAYS}
    ideal = TRIALS * FOLDS * SECONDS / CORES
    print(
        f"{TRIALS} trials of {FOLDS * SECONDS:g} s on {CORES} cores, load of the machine at "
        f"the end {os.getloadavg()[0]:.1f}\n"
    )
    for way, seconds in figures.items():
        print(f"{WAYS[way]:28s} {seconds:6.1f} s   {seconds / ideal:4.1f} x ideal")
    print(f"{'ideal':28s} {ideal:6.1f} s\n")
    taken = figures.get("framework")
    met = taken is not None and taken <= given.limit
    print(
        json.dumps(
            {
                "benchmark": "tune",
                **{w: round(s, 2) for w, s in figures.items()},
                "ideal": ideal,
                "limit": given.limit,
                "met": met,
            }
        )
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
