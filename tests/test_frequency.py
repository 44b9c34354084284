"""Steps against pandas' own offsets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.errors import ConfigError
from framework.frequency import Frequency

MOMENTS = st.datetimes(pd.Timestamp("1975-01-01").to_pydatetime(), pd.Timestamp("2090-01-01").to_pydatetime())


@pytest.mark.parametrize(
    ("alias", "seconds", "months"), [("D", 86400, 0), ("15min", 900, 0), ("2W", 1209600, 0), ("QS", 0, 3), ("2YS", 0, 24)]
)
def test_parse(alias: str, seconds: int, months: int) -> None:
    assert Frequency.parse(alias) == Frequency(alias, seconds, months)


@pytest.mark.parametrize("alias", ["", "day", "d", "0h", "H", "M", "-1D", "1.5h", "D D", "15"])
def test_unknown_alias_is_refused_with_the_known_ones(alias: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Frequency.parse(alias)
    assert str(caught.value) == f"panel.frequency '{alias}' is not known; use one of s min h D W MS QS YS, such as 15min or D."


@given(moment=MOMENTS, alias=st.sampled_from(["s", "min", "15min", "h", "6h", "D", "W", "2W"]), steps=st.integers(-500, 500))
def test_fixed_steps_are_pandas_timedeltas(moment: pd.Timestamp, alias: str, steps: int) -> None:
    length = pd.tseries.frequencies.to_offset(alias.replace("W", "h")).nanos * (168 if alias.endswith("W") else 1)
    expected = pd.Timestamp(moment) + pd.Timedelta(length, "ns") * steps
    moved = Frequency.parse(alias).shift(np.array([moment], "M8[us]"), steps)
    assert moved.dtype == "M8[us]"
    assert moved[0] == expected.to_datetime64()


@given(year=st.integers(1975, 2090), month=st.integers(1, 12), alias=st.sampled_from(["MS", "2MS", "QS", "YS"]), steps=st.integers(-60, 60))
def test_month_starts_are_pandas_date_offsets(year: int, month: int, alias: str, steps: int) -> None:
    start = pd.Timestamp(year, month, 1)
    frequency = Frequency.parse(alias)
    expected = start + pd.DateOffset(months=steps * frequency.months)
    assert frequency.shift(np.array([start.to_datetime64()]), steps)[0] == expected.to_datetime64()


@given(moment=MOMENTS, alias=st.sampled_from(["h", "D", "MS", "YS"]), steps=st.integers(-50, 50))
def test_there_and_back(moment: pd.Timestamp, alias: str, steps: int) -> None:
    frequency = Frequency.parse(alias)
    start = (
        np.array([moment], "M8[us]").astype("M8[D]").astype("M8[us]") if frequency.seconds else np.array([moment], "M8[M]").astype("M8[us]")
    )
    assert (frequency.shift(frequency.shift(start, steps), -steps) == start).all()


def test_after_lists_the_steps_of_each_origin() -> None:
    origins = np.array(["2024-01-31", "2023-02-27"], "M8[us]")
    expected = [["2024-02-01", "2024-02-02"], ["2023-02-28", "2023-03-01"]]
    assert Frequency.parse("D").after(origins, 2).tolist() == np.array(expected, "M8[us]").tolist()
