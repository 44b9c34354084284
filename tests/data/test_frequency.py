"""Steps against pandas' own offsets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.data.frequency import Frequency
from framework.errors import ConfigError

MOMENTS = st.datetimes(
    pd.Timestamp("1975-01-01").to_pydatetime(), pd.Timestamp("2090-01-01").to_pydatetime()
)


@pytest.mark.parametrize(
    ("alias", "seconds", "months"),
    [("D", 86400, 0), ("15min", 900, 0), ("2W", 1209600, 0), ("QS", 0, 3), ("2YS", 0, 24)],
)
def test_parse(alias: str, seconds: int, months: int) -> None:
    assert Frequency.parse(alias) == Frequency(alias, seconds, months)


KNOWN = "use one of s min h D W MS QS YS ME QE YE, such as 15min or D."


@pytest.mark.parametrize("alias", ["", "0h", "00D", "-1D", "1.5h", "D D", "15", "PT1H", "SM"])
def test_unknown_alias_is_refused_with_the_known_ones(alias: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Frequency.parse(alias)
    assert str(caught.value) == f"panel.frequency '{alias}' is not known; {KNOWN}"


@pytest.mark.parametrize(
    ("alias", "hint"),
    [
        ("H", "write h"),
        ("2H", "write 2h"),
        ("T", "write min"),
        ("15T", "write 15min"),
        ("d", "write D"),
        ("daily", "write D"),
        ("M", "write MS for month starts or ME for month ends"),
        ("Q", "write QS for the starts of quarters or QE for their ends"),
        ("A", "write YS for the starts of years or YE for their ends"),
        ("W-MON", "write W: each series' first row says where its steps begin"),
        ("QE-FEB", "write QE: each series' first row says where its steps begin"),
        (
            "B",
            "business days are not supported, D with panel.gaps=insert has a row of nulls "
            "for the days between",
        ),
        (
            "BMS",
            "business days are not supported, D with panel.gaps=insert has a row of nulls "
            "for the days between",
        ),
    ],
)
def test_the_word_of_another_tool_is_refused_with_ours(alias: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Frequency.parse(alias)
    assert str(caught.value) == f"panel.frequency '{alias}' is not known; {hint}; {KNOWN}"


ENDS = {
    "ME": pd.offsets.MonthEnd,
    "QE": pd.offsets.MonthEnd,
    "YE": pd.offsets.MonthEnd,
    "2ME": pd.offsets.MonthEnd,
}


@given(
    year=st.integers(1975, 2090),
    month=st.integers(1, 12),
    alias=st.sampled_from(list(ENDS)),
    steps=st.integers(-60, 60),
)
def test_month_ends_are_pandas_offsets_and_never_overflow(
    year: int, month: int, alias: str, steps: int
) -> None:
    start = pd.Timestamp(year, month, 1) + pd.offsets.MonthEnd(0)
    frequency = Frequency.parse(alias)
    expected = start + ENDS[alias](steps * frequency.months)
    label = np.array([start.to_datetime64()])
    moved = frequency.shift(label, steps)
    assert moved[0] == expected.to_datetime64()
    assert frequency.labels(moved).all()
    assert frequency.steps_between(label, moved).tolist() == [steps]
    assert (frequency.shift(moved, -steps) == label).all()


@given(moment=MOMENTS, alias=st.sampled_from(["MS", "QS", "ME", "QE", "YE"]))
def test_a_time_between_two_labels_counts_from_the_one_before(
    moment: pd.Timestamp, alias: str
) -> None:
    frequency, times = Frequency.parse(alias), np.array([moment], "M8[us]")
    label = frequency.shift(times, 0)
    assert frequency.labels(label).all()
    assert (
        label[0] <= times[0] < frequency.shift(label, 1)[0]
        if frequency.months == 1
        else label[0] <= times[0]
    )
    assert frequency.steps_between(label, times).tolist() == [0]


def test_a_step_is_over_where_the_next_begins_and_a_month_end_a_day_later() -> None:
    times = np.array(["2024-01-31", "2024-02-29"], "M8[us]")
    assert (
        Frequency.parse("ME").over(times).tolist()
        == np.array(["2024-02-01", "2024-03-01"], "M8[us]").tolist()
    )
    assert (
        Frequency.parse("QE").over(times).tolist()
        == np.array(["2024-02-01", "2024-03-01"], "M8[us]").tolist()
    )
    assert (
        Frequency.parse("MS").over(np.array(["2024-01-01"], "M8[us]")).tolist()
        == np.array(["2024-02-01"], "M8[us]").tolist()
    )
    assert (
        Frequency.parse("D").over(times).tolist()
        == np.array(["2024-02-01", "2024-03-01"], "M8[us]").tolist()
    )


@given(
    moment=MOMENTS,
    alias=st.sampled_from(["s", "min", "15min", "h", "6h", "D", "W", "2W"]),
    steps=st.integers(-500, 500),
)
def test_fixed_steps_are_pandas_timedeltas(moment: pd.Timestamp, alias: str, steps: int) -> None:
    length = pd.tseries.frequencies.to_offset(alias.replace("W", "h")).nanos * (
        168 if alias.endswith("W") else 1
    )
    expected = pd.Timestamp(moment) + pd.Timedelta(length, "ns") * steps
    moved = Frequency.parse(alias).shift(np.array([moment], "M8[us]"), steps)
    assert moved.dtype == "M8[us]"
    assert moved[0] == expected.to_datetime64()


@given(
    year=st.integers(1975, 2090),
    month=st.integers(1, 12),
    alias=st.sampled_from(["MS", "2MS", "QS", "YS"]),
    steps=st.integers(-60, 60),
)
def test_month_starts_are_pandas_date_offsets(
    year: int, month: int, alias: str, steps: int
) -> None:
    start = pd.Timestamp(year, month, 1)
    frequency = Frequency.parse(alias)
    expected = start + pd.DateOffset(months=steps * frequency.months)
    assert frequency.shift(np.array([start.to_datetime64()]), steps)[0] == expected.to_datetime64()


@given(moment=MOMENTS, alias=st.sampled_from(["h", "D", "MS", "YS"]), steps=st.integers(-50, 50))
def test_there_and_back(moment: pd.Timestamp, alias: str, steps: int) -> None:
    frequency = Frequency.parse(alias)
    start = (
        np.array([moment], "M8[us]").astype("M8[D]").astype("M8[us]")
        if frequency.seconds
        else np.array([moment], "M8[M]").astype("M8[us]")
    )
    assert (frequency.shift(frequency.shift(start, steps), -steps) == start).all()


def test_after_lists_the_steps_of_each_origin() -> None:
    origins = np.array(["2024-01-31", "2023-02-27"], "M8[us]")
    expected = [["2024-02-01", "2024-02-02"], ["2023-02-28", "2023-03-01"]]
    assert Frequency.parse("D").after(origins, 2).tolist() == np.array(expected, "M8[us]").tolist()
