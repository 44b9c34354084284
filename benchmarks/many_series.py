"""Many series: features, three folds and forecasts of XGBoost through the framework, beside
mlforecast on the same rows.

    python benchmarks/many_series.py --series 100 1000 10000

Both sides begin with the same long table of 1,000 days a series and do the same work: the column
``rows`` counts what reaches ``xgboost.train``, and the script ends with an error where the sides
differ. Features: the values 1, 7, 14 and 28 days before a step and the means of 7 and 28 days.
Rows: of each series the last so many days of each fold, less the first 28, whose lags are null. The
booster is fitted anew in each of three folds, with the same trees, depth, bins and threads. With
``--horizon 1`` one step is learned and forecast, so that direct and recursive are the same, and so
are the errors. With a longer horizon both sides are direct: the framework learns all steps with one
booster (and the step as one more column), mlforecast one booster for each step (``max_horizon``),
on as many rows together. The framework also fits and judges its baseline, which is in its time.

Each measurement is a process of its own, the sides take turns; seconds are without imports and
without making the table (``CPU s``: those of all threads, which other work on the machine moves
less), the peak memory is the process's. OpenMP's waiting threads sleep on both sides, as the
framework has it. ``--only framework`` measures one side, for sizes where both would take too long.
Prints one line per size and, last, a JSON summary.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

DAYS, FOLDS, SEASON, WARM_UP = 1_000, 3, 7, 28
SIDES = ("framework", "mlforecast")
OPTIONS = ("trees", "threads", "horizon")
BOOSTER = {"max_depth": 6, "learning_rate": 0.08, "max_bin": 256, "tree_method": "hist"}


def table(series: int) -> pd.DataFrame:
    """Weekly season, trend and noise, levels that differ by a factor of 100."""
    generator = np.random.default_rng(0)
    day = np.arange(DAYS)
    level = np.geomspace(1, 100, series)[:, None]
    week = generator.normal(0, 0.2, (series, SEASON))[:, day % SEASON]
    values = level * (1 + week + 0.0003 * day + generator.normal(0, 0.1, (series, DAYS)))
    names = np.repeat(np.array([f"s{i:05}" for i in range(series)], dtype=object), DAYS)
    times = np.tile(pd.date_range("2021-01-01", periods=DAYS).to_numpy(), series)
    return pd.DataFrame({"unique_id": names, "ds": times, "y": values.ravel()})


def clocks() -> dict[str, float]:
    return {"seconds": time.perf_counter(), "cpu": time.process_time()}


def since(started: dict[str, float]) -> dict[str, float]:
    return {clock: now - started[clock] for clock, now in clocks().items()}


def days_of_a_fold(horizon: int) -> int:
    """What the first fold has is what each fold gets."""
    return DAYS - FOLDS * horizon


def counted(train: Callable[..., Any], rows: list[int]) -> Callable[..., Any]:
    """``xgboost.train``, writing down how many rows it was given, once for each tree."""

    def wrapper(params: dict[str, Any], data: Any, rounds: int, *args: Any, **kwargs: Any) -> Any:
        rows.append(data.num_row() * rounds)
        return train(params, data, rounds, *args, **kwargs)

    return wrapper


def framework_side(
    rows: pd.DataFrame, arguments: argparse.Namespace, work: list[int]
) -> dict[str, float]:
    from dataclasses import replace

    import xgboost
    from hydra import compose, initialize_config_module

    from framework.config.config import build_config
    from framework.data.frequency import Frequency
    from framework.data.panel_rows import panel_from_rows
    from framework.data.vocabulary import TIME
    from framework.evaluation.backtest import run_backtest
    from framework.features.engineering import engineer
    from framework.plugins import composition as offers
    from framework.plugins.components import Components, make_setting
    from framework.plugins.discovery import load_plugins
    from framework.retrieval.schema import make_schema, past_columns

    xgboost.train = counted(xgboost.train, work)
    plugins = load_plugins()
    offers.register(plugins)
    overrides = [
        "run=backtest",
        "source=files",
        "++source.files={y: y.csv}",
        "++source.tables={y: {query: SELECT * FROM y}}",
        "retrieval=file",
        "model=xgboost",
        *(f"model.{key}={value}" for key, value in BOOSTER.items()),
        f"model.n_estimators={arguments.trees}",
        f"model.n_jobs={arguments.threads}",
        "preprocessor.static=[]",
        "panel.targets=[y]",
        "panel.frequency=D",
        f"panel.horizon={arguments.horizon}",
        f"panel.season_length={SEASON}",
        f"backtest.folds={FOLDS}",
        "backtest.window=sliding",
        f"backtest.window_length={days_of_a_fold(arguments.horizon) - WARM_UP + 1}",
        "++features={primary: y, views: {y: {entity: [unique_id], columns: [y], ttl: 1d, "
        "engineer: ["
        "{op: lag, columns: [y], steps: [6, 13, 27]}, {op: rolling, columns: [y], windows: "
        "[7, 28], statistics: [mean]}]}}}",
    ]
    with initialize_config_module("framework.conf", version_base="1.3"):
        config = build_config(compose("framework", overrides), plugins)
    components = Components(config, plugins)
    components.pair()
    rows = rows.rename(columns={"ds": TIME})
    rows[TIME] = rows[TIME].dt.tz_localize("UTC")
    started = clocks()
    day = Frequency.parse("D")
    engineered = engineer(config.features.views["y"], rows, day)
    panel = panel_from_rows(
        engineered,
        entity_keys=("unique_id",),
        past=past_columns(config),
        known=(),
        categories=(),
        frequency=day,
    )
    del engineered
    panel = replace(panel, held={"y": panel.times})  # each row is as old as its step
    schema = make_schema(config, panel, components.make("model"), None)
    result = run_backtest(
        make_setting(components, panel, schema),
        config.backtest,
        components.make("compute"),
        lambda *_: None,
    )
    mae = result.metrics()["y"]["model"]["MAE"]
    return {**since(started), "MAE": mae}


def mlforecast_side(
    rows: pd.DataFrame, arguments: argparse.Namespace, work: list[int]
) -> dict[str, float]:
    import xgboost
    import xgboost.sklearn
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean

    xgboost.sklearn.train = counted(xgboost.sklearn.train, work)
    model = xgboost.XGBRegressor(n_estimators=arguments.trees, n_jobs=arguments.threads, **BOOSTER)
    started = clocks()
    forecaster = MLForecast(
        models={"booster": model},
        freq="D",
        lags=[1, 7, 14, 28],
        lag_transforms={1: [RollingMean(7), RollingMean(28)]},
        num_threads=arguments.threads,
    )
    horizon = arguments.horizon
    found = forecaster.cross_validation(
        rows,
        n_windows=FOLDS,
        h=horizon,
        step_size=horizon,
        refit=True,
        input_size=days_of_a_fold(horizon),
        max_horizon=horizon if horizon > 1 else None,
    )
    mae = float((found["y"] - found["booster"]).abs().mean())
    return {**since(started), "MAE": mae}


def measure(side: str, series: int, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--side", side, "--series", str(series)]
    for name in OPTIONS:
        command += [f"--{name}", str(getattr(arguments, name))]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
        done = subprocess.run(
            command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--horizon", type=int, default=1)
    parser.add_argument(
        "--rounds", type=int, default=3, help="measurements of each side; the median counts"
    )
    parser.add_argument("--only", choices=SIDES, help="measure this side alone")
    parser.add_argument("--side", choices=SIDES, help="one measurement, in this process")
    arguments = parser.parse_args()
    if arguments.side:
        rows, work = table(arguments.series[0]), list[int]()
        found = {"framework": framework_side, "mlforecast": mlforecast_side}[arguments.side](
            rows, arguments, work
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**found, "MB": peak, "rows": sum(work)}))
        return
    sides = SIDES if arguments.only is None else (arguments.only,)
    summary: dict[int, dict[str, Any]] = {}
    print(
        f"{'series':>7} "
        + " ".join(
            f"{side + ' s':>13} {'CPU s':>7} {'MB':>6} {'MAE':>7} {'rows':>11}" for side in sides
        )
        + f" {'time':>6} {'CPU':>6} {'memory':>7}"
    )
    for series in arguments.series:
        taken: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for _ in range(arguments.rounds):
            for side in sides:
                taken[side].append(measure(side, series, arguments))
        middle = {
            side: {k: statistics.median(one[k] for one in taken[side]) for k in taken[side][0]}
            for side in sides
        }
        work = {m["rows"] for m in middle.values()}
        if len(work) > 1:
            raise SystemExit(f"many_series: not the same work: {middle}")
        first, last = middle[sides[0]], middle[sides[-1]]
        both = len(sides) > 1
        summary[series] = {
            k: round(first[k] / last[k] if both else first[k], 3) for k in ("seconds", "cpu", "MB")
        }
        cells = " ".join(
            f"{m['seconds']:>13.2f} {m['cpu']:>7.2f} {m['MB']:>6.0f} {m['MAE']:>7.3f} "
            f"{m['rows'] // arguments.trees:>11,.0f}"
            for m in middle.values()
        )
        ratios = (
            f" {summary[series]['seconds']:>6.2f} {summary[series]['cpu']:>6.2f} "
            f"{summary[series]['MB']:>7.2f}"
            if both
            else ""
        )
        print(f"{series:>7} {cells}{ratios}", flush=True)
    given = {name: getattr(arguments, name) for name in OPTIONS}
    name = "ratios_to_mlforecast" if len(sides) > 1 else sides[0]
    print(
        json.dumps(
            {"benchmark": "many_series", "days": DAYS, "folds": FOLDS, **given, name: summary}
        )
    )


if __name__ == "__main__":
    main()
