"""What proving a pair adds to loading it: the same files read and opened without the registry, in
turn with the proven load.

    python -m framework +experiment=xgb_daily            # once, for a pair to load
    python benchmarks/pair_load.py [--state state] [--name xgb_daily] [--rounds 200]

proven    what a server and run=predict do: resolve `latest`, compare ledger and MLflow, hash every
byte of both artifacts, then as below unproven  read and open both halves from a folder that is
already known, and replay the golden batch bytes     only `read_bytes` of every file: what no loader
can do without mlflow    `mlflow.pyfunc.load_model("models:/…")` of both halves, which checks no
byte, for comparison (a few rounds)

All files are in the page cache, and the process is warm. Medians, in milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from framework_mlflow.options import MlflowOptions
from framework_mlflow.quiet_mlflow import import_mlflow
from framework_mlflow.registry.registry import MlflowRegistry
from rich.console import Console
from rich.table import Table

from framework.pairs.loading import open_proven
from framework.pairs.manifest import HALVES
from framework.plugins.discovery import load_plugins


def options_of(state: Path) -> MlflowOptions:
    return MlflowOptions(
        tracking_uri=f"sqlite:///{state}/mlflow.db",
        ledger=f"sqlite:///{state}/ledger.db",
        artifact_location=str(state / "artifacts"),
        cache=str(state / "cache"),
    )


def milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def measured(state: Path, name: str, rounds: int) -> dict[str, float]:
    registry, plugins = MlflowRegistry(options_of(state)), load_plugins()
    known = registry.fetch(registry.resolve(name, "latest"))
    files = [
        path
        for data in (known.preprocessor, known.model)
        for path in data.parent.parent.rglob("*")
        if path.is_file()
    ]

    def proven() -> object:
        return open_proven(registry.fetch(registry.resolve(name, "latest")), plugins)

    def by_mlflow() -> object:
        mlflow = import_mlflow()
        mlflow.set_tracking_uri(registry.options.tracking_uri)
        return [
            mlflow.pyfunc.load_model(f"models:/{name}_{half}/{known.version.version}")
            for half in HALVES
        ]

    work: dict[str, tuple[Callable[[], object], int]] = {
        "proven": (proven, rounds),
        "unproven": (lambda: open_proven(known, plugins), rounds),
        "bytes": (lambda: [path.read_bytes() for path in files], rounds),
        "mlflow": (by_mlflow, max(1, rounds // 40)),
    }
    spent: dict[str, list[float]] = {label: [] for label in work}
    for i in range(-1, rounds):
        for label, (load, times) in work.items():
            if i < times:
                took = milliseconds(load)
                if i >= 0:
                    spent[label].append(took)
    return {label: statistics.median(values) for label, values in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state", type=Path, default=Path("state"))
    parser.add_argument("--name", default="xgb_daily")
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    found = measured(arguments.state.resolve(), arguments.name, arguments.rounds)
    table = Table("load", "median ms", "of unproven")
    for label, value in found.items():
        table.add_row(label, f"{value:.2f}", f"{value / found['unproven']:.2f}")
    Console().print(table)
    print(
        f"proving adds {found['proven'] / found['unproven'] - 1:.0%} to reading and opening "
        f"the files of '{arguments.name}'"
    )


if __name__ == "__main__":
    main()
