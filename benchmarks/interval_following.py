"""How prediction intervals cover whose levels follow what was served, day by day, beside those of
the pair alone.

    python benchmarks/interval_following.py --experiment xgb_daily --origins 182

Every step of the data is an origin; the last ``--origins`` are judged. A pair is trained every
``--retrain`` origins and calibrated on the ``backtest.folds`` origins a horizon apart before it;
its levels begin as its own. At each origin they follow the misses that have come by then, by the
rule that ``run=monitor`` with ``monitor.follow=true`` applies. ``--week`` is shown by itself: the
actuals of the seven days from that day on.

The last line is JSON: by target the coverage of the 80 % intervals in per cent, and their interval
score beside that of the pair alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from interval_coverage import configure, forecasts

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.pairs.adaptive_levels import FOLLOWED
from framework.pairs.domain import Domain
from framework.pairs.followed_levels import at_each_pace, moved, widest
from framework.pairs.intervals import Calibration, calibrate
from framework.plugins.discovery import load_plugins


def ends_at(
    rows: pd.DataFrame, schema: Schema, calibration: Calibration, levels: Float64
) -> list[tuple[Float64, Float64]]:
    """The lower and upper ends of the intervals of levels, ``[n]`` each."""
    entities = rows[list(schema.entity_keys)].to_numpy(dtype=object).astype(str).astype(object)
    values = rows[["mean", *(f"q{q:g}" for q in schema.quantiles)]].to_numpy(dtype=np.float64)
    target = rows["target"].map(schema.targets.index).to_numpy()
    domain, place, step = Domain(schema), np.arange(len(rows)), rows["step"].to_numpy()
    ends = [
        calibration.interval_of_steps(values, entities, place, target, step, float(level))
        for level in levels
    ]
    return [
        (domain.settle_steps(low, target), domain.settle_steps(high, target)) for low, high in ends
    ]


def missed(rows: pd.DataFrame, schema: Schema, calibration: Calibration) -> Float64:
    """Say which actuals lie outside the interval of each level, ``[n, L]``."""
    actual, outside = rows["actual"].to_numpy(), np.zeros((len(rows), len(FOLLOWED)))
    able = np.flatnonzero(calibration.highest_level() >= FOLLOWED)
    ends = ends_at(rows, schema, calibration, FOLLOWED[able])
    for place, (low, high) in zip(able, ends, strict=True):
        outside[:, place] = (actual < low) | (actual > high)
    return outside


def score_of(rows: pd.DataFrame, schema: Schema, calibration: Calibration) -> Float64:
    """The interval score at 80 %, ``[n]`` (Gneiting & Raftery 2007): width, and what was missed by
    ten times.
    """
    ((low, high),) = ends_at(rows, schema, calibration, np.array([80.0]))
    actual = rows["actual"].to_numpy()
    return high - low + 10 * (np.maximum(low - actual, 0) + np.maximum(actual - high, 0))


def excess_of(
    rows: pd.DataFrame, outside: Float64, schema: Schema, able: np.ndarray
) -> dict[pd.Timestamp, Float64]:
    """The excess of an origin by the time of its actuals, ``[T, L]`` each."""
    excess = {}
    for (time, target), places in rows.groupby([TIME, "target"]).indices.items():
        sums = excess.setdefault(time, np.zeros((len(schema.targets), len(FOLLOWED))))
        share = outside[places].mean(axis=0) - (1 - FOLLOWED / 100)
        sums[schema.targets.index(target)] = np.where(able, share, 0.0) / schema.horizon
    return excess


def replay(
    table: pd.DataFrame, schema: Schema, *, folds: int, judged: int, retrain: int
) -> pd.DataFrame:
    """Follow the levels through the judged origins.

    Returns:
        The known rows with ``own`` and ``followed``: whether they are inside at 80 %, and the
        interval ``score`` of both.
    """
    origins = sorted(table["origin"].unique())
    by_origin = {o: rows.reset_index(drop=True) for o, rows in table.groupby("origin")}
    first, parts, at = len(origins) - judged, [], int(np.flatnonzero(FOLLOWED == 80)[0])
    calibration: Calibration | None = None
    for number in range(first, len(origins)):
        origin = origins[number]
        if (number - first) % retrain == 0:
            before = origins[max(0, number - folds * schema.horizon) : number : schema.horizon]
            known = table[table["origin"].isin(before) & (table[TIME] <= origin)]
            calibration = calibrate(known, schema)
            assert calibration is not None
            levels, waiting = at_each_pace(calibration.used), dict[pd.Timestamp, Float64]()
        assert calibration is not None
        for time in sorted(time for time in waiting if time <= origin):
            levels = moved(levels, waiting.pop(time), schema.horizon)
        rows = by_origin[origin]
        rows = rows[rows["actual"].notna() & rows["mean"].notna()].reset_index(drop=True)
        following = replace(calibration, used=widest(levels))
        outside = missed(rows, schema, following)
        able = calibration.highest_level() >= FOLLOWED
        for time, sums in excess_of(rows, outside, schema, able).items():
            waiting[time] = waiting.get(time, 0.0) + sums
        own = missed(rows, schema, calibration)
        scores = {
            f"{name}_score": score_of(rows, schema, one)
            for name, one in (("own", calibration), ("followed", following))
        }
        parts.append(rows.assign(own=own[:, at] == 0, followed=outside[:, at] == 0, **scores))
    return pd.concat(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", default="xgb_daily")
    parser.add_argument("--origins", type=int, default=182)
    parser.add_argument("--retrain", type=int, default=42)
    parser.add_argument("--refit", type=int, help="fit at every n-th origin; default: --retrain")
    parser.add_argument("--week", default="2013-11-25")
    parser.add_argument("overrides", nargs="*", help="of the experiment, such as model.n_jobs=1")
    options = parser.parse_args()
    plugins = load_plugins()
    with tempfile.TemporaryDirectory() as directory:
        config = configure(
            options.experiment, Path(directory) / "state", options.overrides, plugins
        )
        folds, horizon = config.backtest.folds, config.panel.horizon
        planned = config.backtest.model_copy(
            update={"folds": options.origins + folds * horizon, "step": 1, "refit": False}
        )
        result = forecasts(
            config.model_copy(update={"backtest": planned}),
            plugins,
            Path(directory),
            options.refit or options.retrain,
        )
    judged = replay(
        result.table(),
        result.schema,
        folds=folds,
        judged=options.origins,
        retrain=options.retrain,
    )
    start = pd.Timestamp(options.week, tz="UTC")
    week = judged[TIME].between(start, start + pd.Timedelta(days=6))
    figures: dict[str, dict[str, float]] = {}
    print(
        f"{'target':<14}{'n':>8}{'own':>8}{'followed':>10}{'week own':>10}{'week followed':>15}"
        f"{'score own':>11}{'followed':>10}"
    )
    for target, rows in judged.groupby("target"):
        of_week = rows[week[judged["target"] == target]]
        shares = [100 * part[c].mean() for part in (rows, of_week) for c in ("own", "followed")]
        names = ("own", "followed", "week_own", "week_followed")
        figures[str(target)] = dict(zip(names, np.round(shares, 1).tolist(), strict=True))
        scores = [float(rows[f"{name}_score"].mean()) for name in ("own", "followed")]
        figures[str(target)]["score_ratio"] = round(scores[1] / scores[0], 3)
        print(
            f"{target:<14}{len(rows):>8}{shares[0]:>8.1f}{shares[1]:>10.1f}"
            f"{shares[2]:>10.1f}{shares[3]:>15.1f}{scores[0]:>11.2f}{scores[1]:>10.2f}"
        )
    print(json.dumps({"benchmark": "interval_following", "level": 80, "coverage": figures}))


if __name__ == "__main__":
    main()
