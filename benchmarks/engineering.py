"""Feature engineering of 5,000 daily series of a year, beside pandas groupby for what it offers:
`python benchmarks/engineering.py`.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import pandas as pd

from framework.data.frequency import Frequency
from framework.data.vocabulary import TIME
from framework.features.engineering import engineer
from framework.features.views import View

SERIES, STEPS, ROUNDS = 5_000, 365, 3
OPERATIONS = {
    "lag 1 7 28": {"op": "lag", "columns": ["y"], "steps": [1, 7, 28]},
    "rolling 7 28": {
        "op": "rolling",
        "columns": ["y"],
        "windows": [7, 28],
        "statistics": ["mean", "std", "max"],
    },
    "expanding": {"op": "expanding", "columns": ["y"], "statistics": ["mean", "std", "max"]},
    "difference 1 7": {"op": "difference", "columns": ["y"], "steps": [1, 7]},
}


def rows() -> pd.DataFrame:
    names = np.repeat(np.array([f"s{i:05}" for i in range(SERIES)], dtype=object), STEPS)
    times = np.tile(pd.date_range("2023-01-01", periods=STEPS, tz="UTC").to_numpy(), SERIES)
    return pd.DataFrame(
        {
            "s": names,
            TIME: pd.DatetimeIndex(times, tz="UTC"),
            "y": np.random.default_rng(0).normal(size=SERIES * STEPS),
        }
    )


def pandas_way(name: str, table: pd.DataFrame) -> None:
    group = table.groupby("s", sort=False)["y"]
    if name.startswith("lag"):
        [group.shift(k) for k in (1, 7, 28)]
    elif name.startswith("rolling"):
        [
            getattr(group.rolling(w, min_periods=1), s)()
            for w in (7, 28)
            for s in ("mean", "std", "max")
        ]
    elif name.startswith("expanding"):
        [getattr(group.expanding(), s)() for s in ("mean", "std", "max")]
    else:
        [group.diff(k) for k in (1, 7)]


def seconds(what: object, *arguments: object) -> float:
    started = time.perf_counter()
    what(*arguments)  # type: ignore[operator]
    return time.perf_counter() - started


def main() -> None:
    table, day = rows(), Frequency.parse("D")
    total = 0.0
    print(f"{'operation':<16}{'engineer s':>12}{'pandas s':>12}{'ratio':>8}")
    for name, op in OPERATIONS.items():
        view = View.model_validate(
            {"entity": ["s"], "columns": ["y"], "ttl": "1d", "engineer": [op]}
        )
        rounds = [
            (seconds(engineer, view, table, day), seconds(pandas_way, name, table))
            for _ in range(ROUNDS)
        ]
        ours, theirs = (statistics.median(r[i] for r in rounds) for i in (0, 1))
        total += ours
        print(f"{name:<16}{ours:>12.2f}{theirs:>12.2f}{ours / theirs:>8.2f}")
    print(f"engineering: {SERIES:,} series x {STEPS} steps, 14 columns in {total:.1f} s")


if __name__ == "__main__":
    main()
