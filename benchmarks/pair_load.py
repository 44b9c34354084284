"""What proving a pair adds to loading it: the same files read and opened without the registry, in
turn with the proven load.

    python -m framework +experiment=xgb_daily            # once, for a pair to load
    python benchmarks/pair_load.py [--state state] [--name xgb_daily] [--rounds 200]
        [--reference latest] [--trust sign.pub]

proven    what a server and run=predict do: resolve the reference, compare ledger and MLflow, hash
          every byte of both artifacts, then as below
signed    with --trust, as proven by who has it in registry.trust: the pair's signatures, and of an
          alias that of its newest move
unproven  read and open both halves from a folder that is already known, and replay the golden batch
hashes    only the SHA-256 of every file: what no proof can do without
bytes     only `read_bytes` of every file: what no loader can do without
mlflow    `mlflow.pyfunc.load_model("models:/…")` of both halves, which checks no byte, for
          comparison (a few rounds)

All files are in the page cache, and the process is warm. Medians, in milliseconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from framework_mlflow.options import MlflowOptions
from framework_mlflow.quiet_mlflow import import_mlflow
from framework_mlflow.registry.registry import MlflowRegistry
from rich.console import Console
from rich.table import Table

from framework.cli.threads import limit_threads
from framework.pairs.loading import open_proven
from framework.pairs.manifest import HALVES, hash_files
from framework.plugins.discovery import load_plugins


def options_of(state: Path, trust: Sequence[str] = ()) -> MlflowOptions:
    return MlflowOptions(
        trust=tuple(trust),
        tracking_uri=f"sqlite:///{state}/mlflow.db",
        ledger=f"sqlite:///{state}/ledger.db",
        artifact_location=str(state / "artifacts"),
        cache=str(state / "cache"),
    )


def milliseconds(work: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of processor time, which others on the machine disturb less."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - start) * 1e3, (time.process_time() - used) * 1e3


def measured(
    state: Path, name: str, rounds: int, reference: str, trust: Sequence[str]
) -> dict[str, tuple[float, float]]:
    registry, plugins = MlflowRegistry(options_of(state)), load_plugins()
    trusting = MlflowRegistry(options_of(state, trust))
    known = registry.fetch(registry.resolve(name, reference))
    halves = (known.preprocessor, known.model)
    files = [path for data in halves for path in data.parent.parent.rglob("*") if path.is_file()]

    def proven(registry: MlflowRegistry) -> object:
        return open_proven(registry.fetch(registry.resolve(name, reference)), plugins)

    def by_mlflow() -> object:
        mlflow = import_mlflow()
        mlflow.set_tracking_uri(registry.options.tracking_uri)
        return [
            mlflow.pyfunc.load_model(f"models:/{name}_{half}/{known.version.version}")
            for half in HALVES
        ]

    work: dict[str, tuple[Callable[[], object], int]] = {
        "proven": (lambda: proven(registry), rounds),
        "signed": (lambda: proven(trusting), rounds if trust else 0),
        "unproven": (lambda: open_proven(known, plugins), rounds),
        "hashes": (lambda: [hash_files(data.parent.parent) for data in halves], rounds),
        "bytes": (lambda: [path.read_bytes() for path in files], rounds),
        "mlflow": (by_mlflow, max(1, rounds // 40)),
    }
    spent: dict[str, list[tuple[float, float]]] = {label: [] for label in work}
    for i in range(-1, rounds):
        for label, (load, times) in work.items():
            if i < times:
                took = milliseconds(load)
                if i >= 0:
                    spent[label].append(took)
    return {
        label: (statistics.median(wall), statistics.median(used))
        for label, values in spent.items()
        if values
        for wall, used in (zip(*values, strict=True),)
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state", type=Path, default=Path("state"))
    parser.add_argument("--name", default="xgb_daily")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--reference", default="latest")
    parser.add_argument("--trust", nargs="*", default=[])
    arguments = parser.parse_args()
    limit_threads(os.environ)  # as the command line does
    medians = measured(
        arguments.state.resolve(),
        arguments.name,
        arguments.rounds,
        arguments.reference,
        arguments.trust,
    )
    table = Table("load", "median ms", "of unproven", "processor ms")
    base = medians["unproven"][0]
    for label, (wall, used) in medians.items():
        table.add_row(label, f"{wall:.2f}", f"{wall / base:.2f}", f"{used:.2f}")
    Console().print(table)
    added = medians["proven"][1] - medians["unproven"][1]
    print(
        f"proving adds {medians['proven'][0] / base - 1:.0%} to reading and opening the files of "
        f"'{arguments.name}', {added / medians['unproven'][1]:.0%} of the processor time; "
        f"{medians['hashes'][1] / added:.0%} of that are hashes"
    )
    if "signed" in medians:
        wall, used = (medians["signed"][i] - medians["proven"][i] for i in (0, 1))
        ratio = medians["signed"][0] / medians["proven"][0]
        print(
            f"the signatures add {wall:.1f} ms, {used:.1f} ms of processor time: {ratio:.2f} x a "
            "proven load"
        )


if __name__ == "__main__":
    main()
