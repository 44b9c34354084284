"""What each command spends in imports, and of which distribution they are.

    python benchmarks/imports.py [--rounds 3]

Each command is a new process in a project of two small series; the first rows are the libraries
alone. `python -X importtime` gives what every module took without those that it imported, by the
clock: run it on a quiet machine. The processor's seconds are those of the whole process; the least
of the rounds counts. Tracing takes about a tenth of the imports. The baseline is a process that
imports NumPy, pandas and pyarrow. `run=predict` and `run=promote` open the newest pair, that of
NLinear.

Two libraries cannot be imported in part (MLflow 3.17, XGBoost 3.2). `import mlflow` imports
mlflow.genai, models and projects whatever is asked for, and its store of a database imports
mlflow.genai itself. Each module of XGBoost imports xgboost.compat, which imports scikit-learn
where it is installed, and MLflow asks for it. What is left is to ask them late, or not at all.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
EXPERIMENT = """# @package _global_
defaults:
  - override /source: files
  - override /model: xgboost
name: small
source:
  files: {sales: sales.csv}
features:
  primary: sales
  views:
    sales: {entity: [shop], columns: [y]}
panel: {targets: [y], frequency: D, horizon: 2, season_length: 7}
backtest: {folds: 2}
"""
#: In this order: each finds what those before it left.
COMMANDS = {
    "--help": ["--help"],
    "--cfg job": ["+experiment=small", "--cfg", "job"],
    "refused": ["+experiment=small", "+model.objectives.z=count:poisson"],
    "run=ingest": ["+experiment=small", "run=ingest"],
    "run=train": ["+experiment=small"],
    "run=train, Feast": ["+experiment=small", "retrieval=feast", "feature_store=local"],
    "run=train, NLinear": ["+experiment=small", "model=nlinear", "model.n_epochs=1"],
    "run=predict": ["+experiment=small", "run=predict", "predict.output=forecast.parquet"],
    "run=promote": [
        "+experiment=small",
        "run=promote",
        "alias=production",
        "force=true",
        "reason=first",
    ],
}
#: The exit code of a command that is refused; every other one ends with 0.
CODES = {"refused": 2}
BASELINE = "import numpy, pandas, pyarrow"
#: What the libraries cost whoever imports them as their guides do, for comparison.
LIBRARIES = ("import feast", "import mlflow", "from darts.models import NLinearModel")
_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)")


def measured(arguments: list[str], folder: Path, code: int) -> tuple[float, Counter[str]]:
    """Run Python with arguments.

    Returns:
        Seconds of a processor, and those of the clock in imports by the package at the top.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines = process.stderr.readlines()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != code:
        raise SystemExit(f"{arguments}: exit code {process.returncode}: {''.join(lines[-5:])}")
    packages: Counter[str] = Counter()
    for line in lines:
        match = _LINE.match(line)
        if match:
            packages[match[2].partition(".")[0]] += int(match[1]) / 1e6
    return usage.ru_utime + usage.ru_stime, packages


def make_project(folder: Path) -> None:
    (folder / "conf" / "experiment").mkdir(parents=True)
    (folder / "conf" / "feature_store").mkdir()
    shutil.copy(ROOT / "conf" / "feature_store" / "local.yaml", folder / "conf" / "feature_store")
    (folder / "conf" / "config.yaml").write_text("defaults:\n  - framework\n  - _self_\n")
    (folder / "conf" / "experiment" / "small.yaml").write_text(EXPERIMENT)
    rows = [
        f"{shop},{date(2024, 1, 1) + timedelta(days=day)},{10 + day % 7}.5"
        for shop in "ab"
        for day in range(140)
    ]
    (folder / "sales.csv").write_text("\n".join(["shop,event_timestamp,y", *rows]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    table = Table("command", "CPU s", "imports s", "share", "the largest")
    spent: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_project(folder)
        base = min(measured(["-c", BASELINE], folder, 0)[0] for _ in range(rounds))
        libraries = {line: ["-c", line] for line in LIBRARIES}
        commands = {name: ["-m", "framework", *given] for name, given in COMMANDS.items()}
        for name, arguments in (libraries | commands).items():
            runs = [measured(arguments, folder, CODES.get(name, 0)) for _ in range(rounds)]
            seconds, packages = min(runs, key=lambda run: run[0])
            spent[name] = packages.total()
            largest = ", ".join(f"{p} {s:.2f}" for p, s in packages.most_common(5))
            share = f"{spent[name] / seconds:.0%}"
            table.add_row(name, f"{seconds:.2f}", f"{spent[name]:.2f}", share, largest)
    Console(width=110).print(table)
    ratios = ", ".join(f"{name} {seconds / base:.1f}" for name, seconds in spent.items())
    print(f"imports, as a multiple of NumPy, pandas and pyarrow ({base:.2f} s): {ratios}")


if __name__ == "__main__":
    main()
