"""Many series: features, three folds and forecasts of XGBoost through the framework, beside mlforecast on the same rows.

    python benchmarks/many_series.py --series 100 1000 10000

Each series has 1,000 days. Both sides begin with the same long table and learn from the values 1, 7, 14 and 28 days before a step and the
means of 7 and 28 days, with the same booster, anew in each of three folds. mlforecast leaves out the first 28 rows of a series, whose lags
are null; a sliding window of the framework's does the same. With ``--horizon 1`` their rows of training are the same, and so are their
errors; for longer horizons the framework learns each step directly from every ``--stride``-th origin, mlforecast forecasts recursively.
Each measurement is a process of its own, the sides take turns; seconds are without imports and without making the table, the peak memory is
the process's. Prints one line per size and, last, a JSON summary.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import pandas as pd

DAYS, FOLDS, SEASON, WARM_UP = 1_000, 3, 7, 28
SIDES = ("framework", "mlforecast")
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


def framework_side(rows: pd.DataFrame, arguments: argparse.Namespace) -> tuple[float, float]:
    from hydra import compose, initialize_config_module

    from framework import compose as offers
    from framework.backtest import backtest, make_setting
    from framework.components import Components
    from framework.config import build_config
    from framework.engineering import engineer
    from framework.features import make_schema, past_columns
    from framework.frequency import Frequency
    from framework.interfaces.values import TIME
    from framework.panel import panel_from_rows
    from framework.plugins import load_plugins

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
        f"model.origin_stride={arguments.stride if arguments.horizon > 1 else 1}",
        "preprocessor.static=[]",
        "panel.targets=[y]",
        "panel.frequency=D",
        f"panel.horizon={arguments.horizon}",
        f"panel.season_length={SEASON}",
        f"backtest.folds={FOLDS}",
        "backtest.window=sliding",
        f"backtest.window_length={DAYS - WARM_UP - FOLDS * arguments.horizon}",
        "++features={primary: y, views: {y: {entity: [unique_id], columns: [y], ttl: 1d, engineer: ["
        "{op: lag, columns: [y], steps: [6, 13, 27]}, {op: rolling, columns: [y], windows: [7, 28], statistics: [mean]}]}}}",
    ]
    with initialize_config_module("framework.conf", version_base="1.3"):
        config = build_config(compose("framework", overrides), plugins)
    components = Components(config, plugins)
    components.pair()
    rows = rows.rename(columns={"ds": TIME})
    rows[TIME] = rows[TIME].dt.tz_localize("UTC")
    started = time.perf_counter()
    day = Frequency.parse("D")
    engineered = engineer(config.features.views["y"], rows, day)
    panel = panel_from_rows(engineered, entity_keys=("unique_id",), past=past_columns(config), known=(), categories=(), frequency=day)
    del engineered
    schema = make_schema(config, panel, components.make("model"), None)
    result = backtest(make_setting(components, panel, schema), config.backtest, components.make("compute"), lambda *_: None)
    mae = result.metrics()["y"]["model"]["MAE"]
    return time.perf_counter() - started, mae


def mlforecast_side(rows: pd.DataFrame, arguments: argparse.Namespace) -> tuple[float, float]:
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean
    from xgboost import XGBRegressor

    model = XGBRegressor(n_estimators=arguments.trees, n_jobs=arguments.threads, **BOOSTER)
    started = time.perf_counter()
    forecaster = MLForecast(
        models={"booster": model},
        freq="D",
        lags=[1, 7, 14, 28],
        lag_transforms={1: [RollingMean(7), RollingMean(28)]},
        num_threads=arguments.threads,
    )
    found = forecaster.cross_validation(rows, n_windows=FOLDS, h=arguments.horizon, step_size=arguments.horizon, refit=True)
    mae = float((found["y"] - found["booster"]).abs().mean())
    return time.perf_counter() - started, mae


def measure(side: str, series: int, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--side", side, "--series", str(series)]
    for name in ("trees", "threads", "horizon", "stride"):
        command += [f"--{name}", str(getattr(arguments, name))]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--horizon", type=int, default=1)
    parser.add_argument("--stride", type=int, default=6, help="shares no factor with the season")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=SIDES)
    arguments = parser.parse_args()
    if arguments.side:
        rows = table(arguments.series[0])
        seconds, mae = {"framework": framework_side, "mlforecast": mlforecast_side}[arguments.side](rows, arguments)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "MB": peak, "MAE": mae}))
        return
    summary = {}
    print(f"{'series':>7} " + " ".join(f"{side + ' s':>13} {'MB':>6} {'MAE':>7}" for side in SIDES) + f" {'time':>6} {'memory':>7}")
    for series in arguments.series:
        taken: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for _ in range(arguments.rounds):
            for side in SIDES:
                taken[side].append(measure(side, series, arguments))
        middle = {side: {k: statistics.median(one[k] for one in taken[side]) for k in ("seconds", "MB", "MAE")} for side in SIDES}
        ours, theirs = (middle[side] for side in SIDES)
        ratios = {k: round(ours[k] / theirs[k], 3) for k in ("seconds", "MB")}
        summary[series] = ratios
        cells = " ".join(f"{m['seconds']:>13.2f} {m['MB']:>6.0f} {m['MAE']:>7.3f}" for m in (ours, theirs))
        print(f"{series:>7} {cells} {ratios['seconds']:>6.2f} {ratios['MB']:>7.2f}", flush=True)
    given = {name: getattr(arguments, name) for name in ("trees", "threads", "horizon")}
    print(json.dumps({"benchmark": "many_series", "days": DAYS, "folds": FOLDS, **given, "ratios_to_mlforecast": summary}))


if __name__ == "__main__":
    main()
