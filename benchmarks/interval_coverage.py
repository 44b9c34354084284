"""Whether the prediction intervals of an experiment hold forward in time, over held-out origins of
its own data.

    python benchmarks/interval_coverage.py --experiment xgb_daily --origins 30 --refit 3
    python benchmarks/interval_coverage.py --experiment xgb_hourly --origins 180 --refit 20

Origins are a horizon apart and end with the data. At each one the intervals come from the errors of
the ``--calibrated-on`` origins before it (default: the experiment's ``backtest.folds``), as a pair
that was trained then would answer; nothing later is known to the model or to the calibration. To
save time the model is fitted anew at every ``--refit``-th origin only: its forecasts get worse, not
better.

Three columns on the same windows: the model's own quantiles where they make that level, split
conformal intervals, and the same with levels that follow their misses, which is what a pair
answers. ``score`` is the interval score, lower is better: it prices width and misses.

The last line is JSON: the largest distance of a target's coverage from its level in points, as a
ratio to that of the split intervals.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir

from framework.config.catalog import Plugins
from framework.config.config import Config, build_config
from framework.data.schema import Schema
from framework.evaluation.backtest import run_backtest
from framework.evaluation.coverage import forward_coverage
from framework.evaluation.folds import plan_folds
from framework.evaluation.result import BacktestResult, join_folds
from framework.pairs.adaptive_levels import PACE
from framework.plugins import composition as offers
from framework.plugins.components import Components, make_setting
from framework.plugins.discovery import load_plugins
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.runs.steps.prepare_data import fill_store

LEVELS = (80, 95)
CONF = Path(__file__).parents[1] / "conf"


def configure(experiment: str, state: Path, overrides: list[str], plugins: Plugins) -> Config:
    """The experiment, composed as the command line composes it."""
    offers.register(plugins)
    chosen = [
        f"+experiment={experiment}",
        "run=backtest",
        f"paths.state='{state}'",
        "retrieval=file",
        *overrides,
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build_config(compose("config", chosen), plugins)


def forecasts(config: Config, plugins: Plugins, directory: Path, refit: int) -> BacktestResult:
    run = Run(config, plugins, directory, print)
    features = Features(config, run.make("retrieval"))
    fill_store(run, features)
    panel = features.panel()
    schema = features.schema(panel, run.make("model"))
    setting = make_setting(Components(config, plugins), panel, schema)
    origins = np.array(
        [
            f.origin
            for f in plan_folds(panel.times, panel.frequency, schema.horizon, config.backtest)
        ]
    )
    parts = []
    for start in range(0, len(origins), refit):
        run.say(f"fit up to {origins[start]}")
        parts.append(
            run_backtest(
                setting,
                config.backtest,
                run.make("compute"),
                lambda *_: None,
                origins[start : start + refit],
            )
        )
    return join_folds(parts)


def own_quantiles(
    table: pd.DataFrame, schema: Schema, level: float, judged: pd.DataFrame
) -> dict[str, float]:
    """Coverage by target of the model's own quantiles on the judged windows; empty when no two of
    them make the level.
    """
    tail = round((1 - level / 100) / 2, 8)
    low, high = f"q{tail:g}", f"q{1 - tail:g}"
    if low not in table or high not in table:
        return {}
    here = table[
        table["origin"].isin(judged["origin"]) & table["actual"].notna() & table["mean"].notna()
    ]
    inside = (here[low] <= here["actual"]) & (here["actual"] <= here[high])
    return {
        str(target): float(share) for target, share in inside.groupby(here["target"]).mean().items()
    }


def step_group(steps: pd.Series, horizon: int) -> pd.Series:
    """Three groups of steps: near, middle, far."""
    third = (3 * (steps - 1) // horizon).clip(upper=2)
    edges = [
        [h for h in range(1, horizon + 1) if min(2, 3 * (h - 1) // horizon) == g] for g in range(3)
    ]
    return third.map({g: f"{e[0]}-{e[-1]}" for g, e in enumerate(edges) if e})


def show(
    split: pd.DataFrame, followed: pd.DataFrame, table: pd.DataFrame, schema: Schema
) -> dict[str, float]:
    """Print the table; the largest distance from a level over targets, in points, of split and of
    followed.
    """
    print(
        f"{'target':<14}{'level':>6}{'steps':>8}{'n':>8}{'quantiles':>11}{'split':>8}{'adapted':>9}{'width':>9}{'score':>9}{'of split':>9}"  # noqa: E501
    )
    worst = {"split": 0.0, "adapted": 0.0}
    for (target, level), mine in followed.groupby(["target", "level"]):
        other = split[(split["target"] == target) & (split["level"] == level)]
        quantiles = own_quantiles(table, schema, float(level), mine).get(str(target))
        groups = [("all", mine, other)]
        labels = step_group(mine["step"], schema.horizon)
        groups += [
            (str(g), mine[labels == g], other[step_group(other["step"], schema.horizon) == g])
            for g in labels.unique()
        ]
        for name, a, b in groups:
            own = f"{100 * quantiles:.1f}" if name == "all" and quantiles is not None else ""
            figures = f"{100 * b['inside'].mean():>8.1f}{100 * a['inside'].mean():>9.1f}{a['width'].mean():>9.2f}{a['score'].mean():>9.2f}"  # noqa: E501
            print(
                f"{target:<14}{level:>6g}{name:>8}{len(a):>8}{own:>11}{figures}{b['score'].mean():>9.2f}"
            )
        for key, frame in (("split", other), ("adapted", mine)):
            worst[key] = max(worst[key], abs(100 * frame["inside"].mean() - float(level)))
    return worst


def show_origins(split: pd.DataFrame, followed: pd.DataFrame) -> None:
    """The windows that were covered least, and how those of each quarter of the origins were."""
    for (target, level), mine in followed.groupby(["target", "level"]):
        by_origin = mine.groupby("origin")["inside"].mean()
        same = (
            split[(split["target"] == target) & (split["level"] == level)]
            .groupby("origin")["inside"]
            .mean()
        )
        quarters = " ".join(
            f"{100 * part.mean():.0f}" for part in np.array_split(by_origin.to_numpy(), 4)
        )
        low = ", ".join(
            f"{origin:%Y-%m-%d} {100 * share:.0f} (split {100 * same[origin]:.0f})"
            for origin, share in by_origin.nsmallest(4).items()
        )
        print(f"{target} {level:g} %: quarters of the origins {quarters}; least covered: {low}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", default="xgb_daily")
    parser.add_argument("--origins", type=int, default=30)
    parser.add_argument("--refit", type=int, default=3, help="fit at every n-th origin")
    parser.add_argument(
        "--first", type=int, default=4, help="origins before the first that is judged"
    )
    parser.add_argument(
        "--calibrated-on",
        type=int,
        default=None,
        help="origins; default: the experiment's backtest.folds",
    )
    parser.add_argument("overrides", nargs="*", help="of the experiment, such as model.n_jobs=1")
    given = parser.parse_args()
    plugins = load_plugins()
    with tempfile.TemporaryDirectory() as directory:
        config = configure(given.experiment, Path(directory) / "state", given.overrides, plugins)
        folds = given.calibrated_on or config.backtest.folds
        planned = config.backtest.model_copy(
            update={"folds": given.origins, "step": config.panel.horizon, "refit": False}
        )
        result = forecasts(
            config.model_copy(update={"backtest": planned}), plugins, Path(directory), given.refit
        )
    table = result.table()
    split, followed = (
        forward_coverage(table, result.schema, LEVELS, folds, given.first, pace)
        for pace in (0.0, PACE)
    )
    worst = show(split, followed, table, result.schema)
    show_origins(split, followed)
    print(
        json.dumps(
            {
                "benchmark": "coverage",
                "experiment": given.experiment,
                "calibrated_on": folds,
                "n": len(followed) // len(LEVELS),
                "largest_distance_points": round(worst["adapted"], 2),
                "split_points": round(worst["split"], 2),
                "ratio": round(worst["adapted"] / worst["split"], 2),
                "within_3": bool(worst["adapted"] <= 3),
            }
        )
    )


if __name__ == "__main__":
    main()
