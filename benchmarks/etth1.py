"""Reproduces a published table through the framework's own path: NLinear on ETTh1.

    python benchmarks/etth1.py --data ETTh1.csv

Zeng et al., "Are Transformers Effective for Time Series Forecasting?", AAAI 2023, table 2: 12, 4
and 4 months of hourly rows for training, validation and test, seven variables at once, 336 past
steps, errors in units of each variable's training deviation. The file is ``ETT-small/ETTh1.csv`` of
the ETDataset repository (CC BY-ND 4.0); it is not part of this project.

Prints one line per horizon and, last, a JSON summary. The exit code is 1 when a figure differs from
the paper by more than ``--tolerance``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_module

from framework.config.catalog import Plugins
from framework.config.config import Config, build_config
from framework.evaluation.backtest import run_backtest
from framework.plugins import composition as offers
from framework.plugins.components import Components, make_setting
from framework.plugins.discovery import load_plugins
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.runs.steps.prepare_data import fill_store

#: Horizon: MSE and MAE of NLinear in the paper.
PAPER = {96: (0.374, 0.394), 192: (0.408, 0.415), 336: (0.429, 0.427), 720: (0.440, 0.453)}
VARIABLES = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
MONTH = 30 * 24
TRAIN, VALIDATION, TEST = 12 * MONTH, 4 * MONTH, 4 * MONTH
NLINEAR = {
    "input_chunk_length": 336,
    "shared_weights": True,
    "const_init": False,
    "normalize": True,
    "scaling": "global",
    "use_static_covariates": False,
    "n_epochs": 10,
    "patience": 3,
    "batch_size": 32,
    "lr": 0.005,
    "lr_gamma": 0.5,
}


def experiment(data: Path, state: Path, horizon: int, seed: int, plugins: Plugins) -> Config:
    """The experiment, composed as the command line composes one."""
    query = (
        f"SELECT 'ETTh1' AS transformer, date AS event_timestamp, {', '.join(VARIABLES)} "
        f"FROM etth1 ORDER BY date LIMIT {TRAIN + VALIDATION + TEST}"
    )
    columns = ", ".join(VARIABLES)
    overrides = [
        "run=backtest",
        "name=etth1",
        f"seed={seed}",
        f"paths.state='{state}'",
        "source=files",
        f"++source.files={{etth1: '{data}'}}",
        f'++source.tables={{etth1: {{query: "{query}"}}}}',
        f"++features={{primary: etth1, views: {{etth1: {{entity: [transformer], columns: "
        f"[{columns}], ttl: PT1H}}}}}}",
        "retrieval=file",
        "model=nlinear",
        *(
            f"model.{key}={str(value).lower() if isinstance(value, bool) else value}"
            for key, value in NLINEAR.items()
        ),
        f"panel.targets=[{columns}]",
        "panel.frequency=h",
        f"panel.horizon={horizon}",
        "panel.season_length=24",
        "backtest.refit=false",
        "backtest.step=1",
        f"backtest.folds={TEST - horizon + 1}",
        f"validation.steps={VALIDATION}",
    ]
    with initialize_config_module("framework.conf", version_base="1.3"):
        return build_config(compose("framework", overrides), plugins)


def measure(
    data: Path, state: Path, horizon: int, seed: int, plugins: Plugins
) -> tuple[float, float, float]:
    """MSE and MAE on the test windows in standard units, and seconds."""
    started = time.perf_counter()
    config = experiment(data, state, horizon, seed, plugins)
    run = Run(config, plugins, state, print)
    features = Features(config, run.make("retrieval"))
    fill_store(run, features)
    panel = features.panel()
    schema = features.schema(panel, run.make("model"))
    setting = make_setting(Components(config, plugins), panel, schema)
    result = run_backtest(
        setting,
        config.backtest,
        run.make("compute"),
        lambda fold, _: run.say(f"  fit up to {fold.cutoff}"),
    )
    assert len(result.origins) == TEST - horizon + 1
    error = (result.forecast[..., 0] - result.actual) / panel.past[:TRAIN].std(axis=0)
    assert np.isfinite(error).all()
    return float((error**2).mean()), float(np.abs(error).mean()), time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="ETTh1.csv")
    parser.add_argument("--horizons", type=int, nargs="+", default=list(PAPER), choices=list(PAPER))
    parser.add_argument("--seed", type=int, default=2021)
    parser.add_argument(
        "--tolerance", type=float, default=0.01, help="largest relative difference from the paper"
    )
    arguments = parser.parse_args()
    plugins = load_plugins()
    offers.register(plugins)
    figures, worst = {}, 0.0
    print(
        f"{'horizon':>8} {'MSE':>8} {'paper':>8} {'MAE':>8} {'paper':>8} {'largest':>9} "
        f"{'seconds':>8}"
    )
    for horizon in arguments.horizons:
        with tempfile.TemporaryDirectory() as state:
            mse, mae, seconds = measure(
                arguments.data.resolve(), Path(state), horizon, arguments.seed, plugins
            )
        difference = max((abs(mse / PAPER[horizon][0] - 1), abs(mae / PAPER[horizon][1] - 1)))
        worst = max(worst, difference)
        figures[horizon] = {
            "MSE": round(mse, 4),
            "MAE": round(mae, 4),
            "seconds": round(seconds, 1),
        }
        row = (
            f"{horizon:>8} {mse:>8.4f} {PAPER[horizon][0]:>8.3f} {mae:>8.4f} "
            f"{PAPER[horizon][1]:>8.3f}"
        )
        print(f"{row} {difference:>8.2%} {seconds:>8.1f}", flush=True)
    print(
        json.dumps(
            {
                "benchmark": "etth1",
                "largest_difference": round(worst, 4),
                "within": worst <= arguments.tolerance,
                "horizons": figures,
            }
        )
    )
    return 0 if worst <= arguments.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
