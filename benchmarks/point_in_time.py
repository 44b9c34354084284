"""Point-in-time rows for training: this project's join beside a polars as-of join, 1,000,000 rows x
10 features over 2 views.

    python benchmarks/point_in_time.py [--rows 1000000] [--rounds 3]

Both sides read the same Parquet files and end with the same table, each in a process of its own, in
turns; start-up and imports are not counted.
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
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from framework_feast import FeastOptions
from framework_feast.retrieval import FeastRetrieval

from framework.data.vocabulary import TIME
from framework.features.views import FeatureSet

SERIES, STATIONS = 1000, 50
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
    many rows again in all.
    """
    rng = np.random.default_rng(7)
    steps = rows // SERIES
    start = np.datetime64("2020-01-01", "us")
    shops = np.repeat(np.arange(SERIES), steps)
    sales = pd.DataFrame(
        {"station": [f"st{i % STATIONS:02}" for i in shops], "shop": [f"shop{i:04}" for i in shops]}
    )
    sales[TIME] = pd.DatetimeIndex(
        start + np.tile(np.arange(steps), SERIES).astype("m8[h]")
    ).tz_localize("UTC")
    for name in SALES:
        sales[name] = rng.normal(size=len(sales))
    each = rows // STATIONS
    minutes = np.concatenate(
        [np.sort(rng.choice(steps * 60, each, replace=each > steps * 60)) for _ in range(STATIONS)]
    )
    weather = pd.DataFrame({"station": np.repeat([f"st{i:02}" for i in range(STATIONS)], each)})
    weather[TIME] = pd.DatetimeIndex(start + minutes.astype("m8[m]")).tz_localize("UTC")
    for name in WEATHER:
        weather[name] = rng.normal(size=len(weather))
    strategy = make(root)
    strategy.ingest(FEATURES, "sales", sales)
    strategy.ingest(FEATURES, "weather", weather)


def framework_join(root: Path) -> pd.DataFrame:
    return make(root).training_rows(FEATURES, [*SALES, *WEATHER])


def polars_join(root: Path) -> Any:
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
    return joined.sort(["station", "shop", TIME])


SIDES = {"framework": framework_join, "polars": polars_join}


def measure(root: Path, side: str) -> dict[str, float]:
    """In a new process: seconds of one join after its imports, its highest memory, and the sums
    that both sides must agree on.
    """
    done = subprocess.run(
        [sys.executable, __file__, "--side", side, "--root", str(root)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def one(root: Path, side: str) -> dict[str, float]:
    if side == "polars":
        import polars  # noqa: F401  not counted
    else:
        import pyarrow.parquet  # noqa: F401
    started = time.perf_counter()
    rows = SIDES[side](root)
    seconds, peak = time.perf_counter() - started, _peak()
    frame = rows if isinstance(rows, pd.DataFrame) else rows.to_pandas()
    total = round(float(frame[[*SALES, *WEATHER]].sum().sum()), 3)
    return {
        "seconds": seconds,
        "MiB": peak,
        "rows": len(frame),
        "matched": int(frame[WEATHER[0]].notna().sum()),
        "sum": total,
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
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(one(given.root, given.side)))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fill(root, given.rows)
        sides = ["framework", "polars"]
        measured: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for turn in range(given.rounds):
            for side in sides if turn % 2 else reversed(sides):
                measured[side].append(measure(root, side))
    print(f"{'join':<12}{'seconds':>10}{'peak MiB':>10}{'rows':>12}{'matched':>10}")
    for side, rounds in measured.items():
        seconds, memory = (statistics.median(r[key] for r in rounds) for key in ("seconds", "MiB"))
        print(
            f"{side:<12}{seconds:>10.2f}{memory:>10.0f}{rounds[0]['rows']:>12,}{rounds[0]['matched']:>10,}"
        )
    answers = {(r["rows"], r["matched"], r["sum"]) for rounds in measured.values() for r in rounds}
    ours, theirs = (statistics.median(r["seconds"] for r in measured[side]) for side in sides)
    peak = max(r["MiB"] for r in measured["framework"])
    same = "same answers" if len(answers) == 1 else f"DIFFERENT ANSWERS {answers}"
    ratio = f"{ours / theirs:.2f} x polars ({ours:.2f} s, {theirs:.2f} s)"
    print(f"point-in-time join of {given.rows:,} rows: {ratio}, peak {peak:.0f} MiB, {same}")


if __name__ == "__main__":
    main()
