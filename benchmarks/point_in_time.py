"""Point-in-time rows for training: this project's join beside a polars as-of join, 10 features over
2 views.

    python benchmarks/point_in_time.py [--rows 1000000] [--rounds 3]
    python benchmarks/point_in_time.py --rows 10000000 --rounds 1 --sides parts polars

Sides read the same Parquet files and end with the same rows, each in a process of its own, in
turns; start-up and imports are not counted.

parts    the rows by parts of whole series, as a training reads them: one part is in memory
whole    all rows in one table
polars   the plain as-of join, in memory: all rows in one table

Ends with an error where a side has other rows than the others.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from framework_feast import FeastOptions
from framework_feast.retrieval import FeastRetrieval

from framework.data.vocabulary import TIME
from framework.features.views import FeatureSet
from framework.retrieval.stored_panel import PART

SERIES, STATIONS = 1000, 50
START = np.datetime64("2020-01-01", "us")
SALES = [f"s{i}" for i in range(6)]
WEATHER = [f"w{i}" for i in range(4)]
FEATURES = FeatureSet.model_validate(
    {
        "primary": "sales",
        "views": {
            "sales": {"entity": ["station", "shop"], "columns": SALES, "ttl": "1d"},
            "weather": {"entity": ["station"], "columns": WEATHER, "ttl": "2d"},
        },
    }
)


def make(root: Path) -> FeastRetrieval:
    store = {
        "project": "bench",
        "provider": "local",
        "registry": {"path": str(root / "registry.db")},
        "online_store": {"type": "sqlite", "path": str(root / "online.db")},
        "offline_store": {"type": "duckdb"},
        "entity_key_serialization_version": 3,
        "materialization": {"pull_latest_features": True},
    }
    return FeastRetrieval(FeastOptions(store=store, state=root / "offline"))


def fill(root: Path, rows: int) -> None:
    """Hourly rows of 1,000 series; the weather of 50 stations is observed at irregular minutes, as
    many rows again in all. Station by station, so that no more is in memory.
    """
    rng = np.random.default_rng(7)
    strategy, steps = make(root), rows // SERIES
    stations = [f"st{i:02}" for i in range(STATIONS)]
    with strategy.ingesting(FEATURES, "sales") as add:
        for number, station in enumerate(stations):
            shops = [f"shop{i:04}" for i in range(number, SERIES, STATIONS)]
            times = np.tile(np.arange(steps).astype("m8[h]"), len(shops))
            keys = {"station": station, "shop": np.repeat(np.array(shops, dtype=object), steps)}
            add(_random(rng, keys, times, SALES))
    each = rows // STATIONS
    with strategy.ingesting(FEATURES, "weather") as add:
        for station in stations:
            minutes = np.sort(rng.choice(steps * 60, each, replace=each > steps * 60))
            add(_random(rng, {"station": station}, minutes.astype("m8[m]"), WEATHER))


def _random(
    rng: np.random.Generator, keys: dict[str, Any], since: np.ndarray, columns: list[str]
) -> pd.DataFrame:
    times = pd.DatetimeIndex(START + since).tz_localize("UTC")
    values = {name: rng.normal(size=len(times)) for name in columns}
    return pd.DataFrame({TIME: times, **keys, **values})


def join_by_parts(root: Path) -> Iterator[pd.DataFrame]:
    with make(root).parts(FEATURES, PART) as parts:
        for part in parts:
            yield part.training_rows(FEATURES, [*SALES, *WEATHER])


def join_as_one(root: Path) -> Iterator[pd.DataFrame]:
    yield make(root).training_rows(FEATURES, [*SALES, *WEATHER])


def polars_join(root: Path) -> Iterator[Any]:
    """The plain as-of join: both files, each series' newest weather within the ttl, sorted by key
    and time.
    """
    import polars as pl

    sales, weather = (
        pl.read_parquet(next((root / "offline").glob(f"{name}-*.parquet")))
        for name in ("sales", "weather")
    )
    joined = sales.sort(TIME).join_asof(
        weather.sort(TIME),
        on=TIME,
        by="station",
        strategy="backward",
        tolerance=timedelta(days=2),
        check_sortedness=False,
    )
    yield joined.sort(["station", "shop", TIME])


SIDES = {"parts": join_by_parts, "whole": join_as_one, "polars": polars_join}


def measure(root: Path, side: str) -> dict[str, float]:
    """Measure one join in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--side", side, "--root", str(root)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def one(root: Path, side: str) -> dict[str, float]:
    """Measure the seconds of one join after its imports, its highest memory, and the sums that all
    sides must agree on, whose time is not counted.
    """
    if side == "polars":
        import polars  # noqa: F401  not counted
    else:
        import pyarrow.parquet  # noqa: F401
    seconds, rows, matches, total = 0.0, 0, 0, 0.0
    tables = SIDES[side](root)
    while True:
        started = time.perf_counter()
        table = next(tables, None)
        seconds += time.perf_counter() - started
        if table is None:
            break
        rows += len(table)
        for name in (*SALES, *WEATHER):
            values = table[name].to_numpy()
            total += float(np.nansum(values))
            matches += int(np.count_nonzero(~np.isnan(values))) if name == WEATHER[0] else 0
        del table, values
    return {
        "seconds": seconds,
        "MiB": _peak(),
        "rows": rows,
        "matched": matches,
        "sum": round(total, 3),
    }


def _peak() -> float:
    """MiB. Not ``ru_maxrss``: that is handed on from the process that started this one."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=[*SIDES])
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(one(options.root, options.side)))
        return
    sides = options.sides
    measured: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), options.rows)
        for turn in range(options.rounds):
            for side in sides if turn % 2 else reversed(sides):
                measured[side].append(measure(Path(folder), side))
    print(f"{'join':<10}{'seconds':>10}{'peak MiB':>10}{'rows':>12}{'matched':>12}")
    medians = {}
    for side, rounds in measured.items():
        first, seconds = rounds[0], statistics.median(r["seconds"] for r in rounds)
        memory = max(r["MiB"] for r in rounds)
        medians[side] = seconds, memory
        print(
            f"{side:<10}{seconds:>10.2f}{memory:>10.0f}{first['rows']:>12,}{first['matched']:>12,}"
        )
    answers = {(r["rows"], r["matched"], r["sum"]) for rounds in measured.values() for r in rounds}
    if len(answers) > 1:
        sys.exit(f"the sides have different rows (rows, matched, sum): {answers}")
    theirs = medians.get("polars", (float("nan"), float("nan")))
    for side in (side for side in sides if side != "polars"):
        seconds, memory = medians[side]
        print(
            f"point-in-time join of {options.rows:,} rows, {side}: {seconds / theirs[0]:.2f} x the "
            f"time of polars ({seconds:.2f} s, {theirs[0]:.2f} s), {memory / theirs[1]:.2f} x its "
            f"memory ({memory:.0f} MiB, {theirs[1]:.0f} MiB), same rows"
        )


if __name__ == "__main__":
    main()
