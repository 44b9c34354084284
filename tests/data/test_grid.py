"""Gaps without bound are refused before the memory for them is taken."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.panel_rows import panel_from_rows
from framework.errors import DataError


def make(times: list[str] | pd.DatetimeIndex, frequency: str = "h") -> Panel:
    rows = pd.DataFrame({"shop": "a", "event_timestamp": pd.DatetimeIndex(times), "y": 1.0})
    return panel_from_rows(
        rows,
        entity_keys=["shop"],
        past=["y"],
        known=[],
        categories=[],
        frequency=Frequency.parse(frequency),
        gaps="insert",
    )


HOURS = pd.date_range("2024-01-01", periods=200, freq="h")


@pytest.mark.parametrize("wrong", ["2204-01-09T08:00", "1904-01-09T08:00"])
def test_a_wrong_year_is_refused_by_name_and_takes_no_memory(wrong: str) -> None:
    times = HOURS.union(pd.DatetimeIndex([wrong]))
    tracemalloc.start()
    with pytest.raises(DataError) as caught:
        make(times)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    missing = int(max(abs(np.diff(times.values)) / np.timedelta64(1, "h"))) - 1
    first, last = (
        ("2024-01-09T07", "2204-01-09T08") if wrong > "2" else ("1904-01-09T08", "2024-01-01T00")
    )
    zeros = ":00:00.000000"
    assert f"series {{shop: a}}: nothing between {first}{zeros} and {last}{zeros}" in str(
        caught.value
    )
    assert f"{missing:,} rows would be inserted beside 201 given ones" in str(caught.value)
    assert peak < 5_000_000


def test_a_gap_may_be_as_long_as_the_rows_or_a_thousand() -> None:
    assert len(make([*HOURS, HOURS[-1] + pd.Timedelta(hours=1001)])) == 1201
    with pytest.raises(DataError, match=r"1,001 rows would be inserted"):
        make([*HOURS, HOURS[-1] + pd.Timedelta(hours=1002)])


def test_many_gaps_together_are_bound_too() -> None:
    with pytest.raises(
        DataError,
        match=r"1,196,602 rows would be inserted beside 1,200 given ones, more than 1,000,000",
    ):
        make(pd.date_range("2000-01-01", periods=1200, freq="999h"))
