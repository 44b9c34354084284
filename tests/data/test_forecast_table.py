"""The table that ``run=predict`` writes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from framework.data.forecast_table import forecast_table
from framework.data.vocabulary import OK, SHORT_HISTORY
from framework.testing.fakes import make_pair

KEYS = ("airport", "carrier")


def test_one_row_a_step_and_target_with_the_forecast_in_it() -> None:
    pair, golden = make_pair(windows=2)
    forecast = pair.forecast(golden.context)
    table = forecast_table(forecast, KEYS)
    assert list(table) == [
        *KEYS,
        "origin",
        "event_timestamp",
        "step",
        "target",
        "mean",
        "q0.1",
        "q0.9",
        "status",
    ]
    assert len(table) == 2 * 3 * 2
    assert table["event_timestamp"].dtype == "datetime64[us, UTC]"
    row = table[
        (table["airport"] == "airport-1") & (table["step"] == 2) & (table["target"] == "delay")
    ].iloc[0]
    assert row["mean"] == forecast.values[1, 1, 1, 0]
    assert row["q0.9"] == forecast.values[1, 1, 1, 2]
    assert row["event_timestamp"] == pd.Timestamp("2024-03-03", tz="UTC")
    assert row["origin"] == pd.Timestamp("2024-03-01", tz="UTC")
    assert (table["status"] == OK).all()


def test_a_series_without_a_forecast_keeps_one_row_a_target_with_nulls_and_its_status() -> None:
    pair, golden = make_pair(windows=3)
    context = replace(golden.context, status=[OK, SHORT_HISTORY, OK])
    table = forecast_table(pair.forecast(context), KEYS)
    assert len(table) == 2 * 3 * 2 + 2
    failed = table[table["status"] != OK]
    assert failed["airport"].tolist() == ["airport-1"] * 2
    assert failed["target"].tolist() == ["departures", "delay"]
    assert failed["step"].tolist() == [1, 1]
    assert failed[["mean", "q0.1", "q0.9"]].isna().all(axis=None)
    assert table[table["status"] == OK]["mean"].notna().all()


def test_an_unknown_origin_is_null() -> None:
    pair, golden = make_pair(windows=1)
    context = replace(golden.context, status=[SHORT_HISTORY], origins=np.array(["NaT"], "M8[us]"))
    table = forecast_table(pair.forecast(context), KEYS)
    assert table["origin"].isna().all()
    assert table["event_timestamp"].isna().all()
