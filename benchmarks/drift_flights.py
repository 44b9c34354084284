"""A real year replayed: the alarms of drift on the flights of New York, 2013.

    python benchmarks/drift_flights.py --experiment xgb_daily --refit 30

A model is fitted to the first ``--train`` days and forecasts every day after that, as a server
would; it is fitted anew at each ``--refit``-th origin only. The first ``--promised`` origins are
the pair's backtest. The others are served, and watched at the end of the year as ``run=monitor``
does. Each alarm is printed with the weeks in which its evidence grew most, and what the errors were
in them.

The last line is JSON: ``highest``, the most evidence of any test as a share of what is an alarm,
``alarms``, each with ``target``, ``signal``, ``steps``, ``since``, ``live``
and ``backtest``, and ``controls``, what PSI and the Kolmogorov-Smirnov test say of the actuals.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from drift import ks_fires, psi_fires
from interval_coverage import configure, forecasts

from framework.data.frequency import Frequency
from framework.data.grouping import series_numbers
from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.monitoring.promised import Promise
from framework.monitoring.served import Served
from framework.monitoring.watching import Watched, watch
from framework.pairs.intervals import calibrate
from framework.plugins.discovery import load_plugins


def served_of(table: pd.DataFrame, schema: Schema, before: pd.Series) -> Served:
    """The rows of a backtest as forecasts of a server. ``before``: the actual a step before."""
    (series,) = series_numbers(schema.entity_keys, table)
    _, first = np.unique(series, return_index=True)
    columns = ["mean", *(f"q{q:g}" for q in schema.quantiles)]
    return Served(
        table[list(schema.entity_keys)].to_numpy(dtype=object)[first].astype(str).astype(object),
        np.asarray(series),
        _times(table["origin"]),
        _times(table[TIME]),
        table["step"].to_numpy(),
        table["target"].map(list(schema.targets).index).to_numpy(),
        table[columns].to_numpy(np.float64),
        table["actual"].to_numpy(np.float64),
        before.to_numpy(np.float64),
    )


def _times(column: pd.Series) -> np.ndarray:
    return column.dt.tz_localize(None).to_numpy().astype("M8[us]")


def explained(finding: dict[str, Any], live: pd.DataFrame, target: str) -> str:
    """The two weeks in which the evidence grew most, and the errors of these."""
    path = pd.Series(
        [value for _, value in finding["path"]],
        pd.DatetimeIndex([origin for origin, _ in finding["path"]]),
    )
    growth = np.log(path).diff().resample("W").sum().nlargest(2)
    first, last = finding["steps"]
    rows = live[(live["target"] == target) & live["step"].between(first, last)]
    week = _times(rows["origin"]).astype("M8[D]")
    parts = []
    for end in growth.index:
        inside = (week > (end - pd.Timedelta(days=7)).to_numpy()) & (week <= end.to_numpy())
        error = (rows["actual"] - rows["mean"])[inside]
        parts.append(
            f"week to {end:%Y-%m-%d}: actual less forecast {error.mean():+.1f}, "
            f"size {error.abs().mean():.1f}"
        )
    return "; ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", default="xgb_daily")
    parser.add_argument("--train", type=int, default=90, help="days before the first origin")
    parser.add_argument("--promised", type=int, default=60, help="origins of the backtest")
    parser.add_argument("--refit", type=int, default=30, help="fit at every n-th origin")
    parser.add_argument("overrides", nargs="*", help="of the experiment, such as model.n_jobs=1")
    given = parser.parse_args()
    plugins = load_plugins()
    with tempfile.TemporaryDirectory() as directory:
        config = configure(given.experiment, Path(directory) / "state", given.overrides, plugins)
        days = 365 - given.train - config.panel.horizon
        planned = config.backtest.model_copy(update={"folds": days, "step": 1, "refit": False})
        result = forecasts(
            config.model_copy(update={"backtest": planned}), plugins, Path(directory), given.refit
        )
    table, schema = result.table(), result.schema
    keys = [*schema.entity_keys, "target"]
    actuals = table.drop_duplicates([*keys, TIME]).set_index([*keys, TIME])["actual"]
    step = pd.Timedelta(days=1)
    index = pd.MultiIndex.from_frame(table[[*keys, TIME]].assign(**{TIME: table[TIME] - step}))
    before = pd.Series(actuals.reindex(index).to_numpy(), table.index)
    origins = np.sort(table["origin"].unique())
    split = table["origin"] < origins[given.promised]
    backtest, live = table[split], table[table["origin"] >= origins[given.promised]]
    calibration = calibrate(backtest, schema)
    promise = Promise(
        schema,
        served_of(backtest, schema, before[split]),
        backtest["scale"].to_numpy(np.float64),
        calibration,
    )
    served = served_of(live, schema, before[live.index])
    how = Watched(Frequency.parse("D"), 7, 0.05, 0.1, 365, 0.01)
    alarms = []
    tested, highest = 0, (0.0, "")
    controls: dict[str, dict[str, int]] = {}
    for t, target in enumerate(schema.targets):
        for finding in watch(served, promise, t, how):
            tested += finding["verdict"] != "too few"
            name = f"{target} {finding['signal']} steps {finding['steps']}"
            highest = max(highest, (finding["evidence"] / finding["threshold"], name))
            if finding["verdict"] != "alarm":
                continue
            print(f"{name} since {finding['since']}")
            print(f"    {explained(finding, live, target)}")
            kept = ("signal", "steps", "since", "live", "backtest")
            alarms.append({"target": target, **{key: finding[key] for key in kept}})
        ones = table[(table["target"] == target) & (table["step"] == 1)]
        past = np.sort(ones[ones["origin"] < origins[given.promised]]["actual"].dropna())
        months = [
            np.sort(rows["actual"].dropna())
            for _, rows in ones[ones["origin"] >= origins[given.promised]].groupby(
                ones[TIME].dt.month
            )
        ]
        controls[target] = {
            "months": len(months),
            "psi": sum(bool(psi_fires(past, month)) for month in months),
            "ks": sum(bool(ks_fires(past, month)) for month in months),
        }
    print(
        json.dumps(
            {
                "benchmark": "drift_flights",
                "experiment": given.experiment,
                "origins": len(origins) - given.promised,
                "tests": tested,
                "alarms": alarms,
                "highest": {"test": highest[1], "of_threshold": round(highest[0], 4)},
                "controls": controls,
            }
        )
    )


if __name__ == "__main__":
    main()
