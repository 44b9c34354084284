"""A year of the loop at speed: a server forecasts each day, the actuals arrive, the level of one
group of shops changes, an alert trains a new pair, and the server takes it up.

python examples/loop_demo.py                      # one screen, loop_demo.png, a verdict
python examples/loop_demo.py --noise              # the noise alone changes: nothing moves
python examples/loop_demo.py --kills 20 --seed 1  # the retraining killed at random moments
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import loop_story
from loop_year import EXPERIMENT, MONITOR, Year, begin, made, play
from rich.console import Console

from framework.testing.servers import command

#: What the killed processes find imported: a kill hits the work, not the start.
MODULES = (
    "framework.runs.monitor",
    "framework_baselines.strongest",
    "framework_files.file",
    "framework_mlflow.registry.registry",
    "framework_mlflow.tracking.runs",
    "framework_preprocessing.native",
    "framework_xgboost.boosters",
    "framework_xgboost.matrix",
    "framework_xgboost.model",
    "mlflow.store.tracking.sqlalchemy_store",
)
console = Console(width=110)


def ended(folder: Path, year: Year) -> dict[str, Any]:
    """What the loop leaves: pairs, aliases, history, attempts, what run=verify finds.

    Runs of MLflow whose process was killed are closed by the first run=verify; the second must find
    nothing.
    """
    here = Year(folder, year.sales, year.change, year.days, year.seed)
    here.run("run=verify")
    pairs = here.run("run=pairs", "name=shops")["pairs"]
    attempts = json.loads((folder / "state" / "monitoring" / "shops.retrain.json").read_text())
    return {
        "pairs": [(one["version"], one["aliases"]) for one in pairs],
        "history": [(one["action"], one["before"], one["after"]) for one in here.history()],
        "attempts": [(one["status"], one["version"], one["recent"]) for one in attempts],
        "verify": here.run("run=verify")["findings"],
    }


def killed(year: Year, replays: int) -> bool:
    """Play to the retraining, then replay that step with kills at random moments."""
    begin(year)
    before = play(year, until_retrained=True)
    expected = ended(year.folder, year)
    console.print(f"without kills: {expected}", soft_wrap=True)
    arguments = [*EXPERIMENT, *MONITOR]
    moments, same, kills, seconds = random.Random(year.seed), 0, 0, None
    command.preload(*MODULES)
    for replay in range(-1, replays):  # the first one says how long it takes
        folder = year.folder.with_name(f"replay{replay}")
        shutil.copytree(before, folder)
        for _ in range(2 if seconds else 0):
            try:
                command.run(*arguments, cwd=folder, timeout=moments.uniform(0, 0.8 * seconds))
                break
            except TimeoutError:  # killed by SIGKILL
                kills += 1
        started = time.perf_counter()
        last = command.run(*arguments, cwd=folder)
        seconds = seconds or time.perf_counter() - started
        state = ended(folder, year)
        same += last.returncode == 0 and state == expected and replay >= 0
        if last.returncode or state != expected:
            console.print(f"replay {replay}: {last.stderr[-500:]} {state}", soft_wrap=True)
        shutil.rmtree(folder)
    console.print(f"{same} of {replays} replays ended as without kills; {kills} kills")
    return same == replays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--noise", action="store_true", help="the noise changes, not the level")
    parser.add_argument("--kills", type=int, help="so many replays of the retraining, killed")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--change", type=int, default=120, help="the day of the change")
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--output", type=Path, default=Path("loop_demo.png"))
    given = parser.parse_args()
    started = time.perf_counter()
    size, factor = (0, 2.5) if given.noise else (25, 1)
    sales = made(given.days, given.change, size, factor, given.seed)
    folder = Path(mkdtemp(prefix="loop-demo-"))
    year = Year(folder / "project", sales, given.change, given.days, given.seed)
    try:
        if given.kills:
            passed = killed(year, given.kills)
        else:
            begin(year)
            play(year)
            passed = loop_story.told(year, given.noise, given.output, console)
    finally:
        shutil.rmtree(folder)
    console.print(f"[dim]{time.perf_counter() - started:.0f} s in all")
    sys.exit(not passed)


if __name__ == "__main__":
    main()
