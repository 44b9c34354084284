"""Steps against pandas' own offsets."""

from __future__ import annotations

import holidays
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.data.frequency import Frequency
from framework.errors import ConfigError, DataError

MOMENTS = st.datetimes(
    pd.Timestamp("1975-01-01").to_pydatetime(), pd.Timestamp("2090-01-01").to_pydatetime()
)


@pytest.mark.parametrize(
    ("alias", "seconds", "months"),
    [("D", 86400, 0), ("15min", 900, 0), ("2W", 1209600, 0), ("QS", 0, 3), ("2YS", 0, 24)],
)
def test_parse(alias: str, seconds: int, months: int) -> None:
    assert Frequency.parse(alias) == Frequency(alias, seconds, months)


KNOWN = "use one of s min h D B W MS QS YS ME QE YE, such as 15min, D, W-SUN, QE-MAR or B:US."


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
        (
            "Q-DEC",
            "write QS for the starts of quarters or QE for their ends: each series' first "
            "row says where its steps begin",
        ),
        ("BMS", "write B for business days, or B:US without the holidays of a country"),
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


CLOSED = ["2024-07-04", "2024-12-25", "2025-01-01"]


@given(moment=MOMENTS, steps=st.integers(-300, 300), count=st.integers(1, 3))
def test_business_days_are_pandas_own(moment: pd.Timestamp, steps: int, count: int) -> None:
    day = pd.offsets.CustomBusinessDay(holidays=CLOSED)
    label = day.rollback(pd.Timestamp(moment).normalize())
    frequency = Frequency.parse(f"{count}B:{'+'.join(CLOSED)}")
    labels = np.array([label.to_datetime64()])
    moved = frequency.shift(labels, steps)
    assert moved[0] == (label + steps * count * day).to_datetime64()
    assert frequency.labels(moved).all()
    assert frequency.steps_between(labels, moved)[0] == steps
    assert not frequency.labels(labels + np.timedelta64(1, "h")).any()


def test_a_weekend_and_a_holiday_are_no_steps() -> None:
    frequency = Frequency.parse("B:US")
    times = np.array(["2024-07-03", "2024-07-04", "2024-07-06", "NaT"], dtype="M8[us]")
    assert frequency.labels(times).tolist() == [True, False, False, False]
    assert frequency.after(times[:1], 2)[0].astype("M8[D]").astype(str).tolist() == [
        "2024-07-05",
        "2024-07-08",
    ]
    assert np.isnat(frequency.shift(times, 1)[3])
    friday = np.array(["2024-07-05"], dtype="M8[us]")
    assert frequency.over(friday).astype(str).tolist() == ["2024-07-06T00:00:00.000000"]
    assert frequency.whole_days
    with pytest.raises(DataError, match="holidays of US in 2071 are not known"):
        frequency.shift(np.array(["2069-12-31"], dtype="M8[us]"), 400)


@pytest.mark.parametrize("alias", ["B:LK", "B:US+LK+2045-01-02"])
def test_a_calendar_that_ends_soon_is_not_taken_for_one_without_holidays(alias: str) -> None:
    end = holidays.country_holidays("LK").end_year
    assert end < 2069
    times = np.array([f"{end}-12-21"], dtype="M8[us]")
    assert Frequency.parse(alias).shift(times, 1).astype("M8[Y]") == times.astype("M8[Y]")
    with pytest.raises(DataError, match=f"in {end + 1} are not known, those from 1900 to {end}"):
        Frequency.parse(alias).shift(times, 30)


@pytest.mark.parametrize(
    ("alias", "words"),
    [
        ("B:ZZ", "the holidays of 'ZZ' are not known; use an ISO 3166 code such as US or US-CA"),
        ("B:US-XX", "'US' has no part 'XX' with holidays of its own; it has AK, AL"),
        ("B:US+2024-02-30", "'2024-02-30' is no date"),
    ],
)
def test_a_calendar_that_is_none_is_refused(alias: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"^panel.frequency: {words}"):
        Frequency.parse(alias)


def test_an_exchange_and_a_state_have_holidays_of_their_own() -> None:
    days = np.array(["2024-03-29", "2024-03-31", "2024-11-11"], dtype="M8[us]")
    assert Frequency.parse("B:XNYS").labels(days).tolist() == [False, False, True]  # Good Friday
    assert Frequency.parse("B:US").labels(days).tolist() == [True, False, False]
    chavez = np.array(["2025-03-31"], dtype="M8[us]")
    assert not Frequency.parse("B:US-CA").labels(chavez).any()
    assert Frequency.parse("B:US").labels(chavez).all()


@pytest.mark.parametrize(
    "alias", ["W-SUN", "W-WED", "2W-FRI", "QE-MAR", "QS-FEB", "YE-JUN", "YS-APR", "QE-DEC"]
)
def test_anchored_steps_are_those_of_pandas(alias: str) -> None:
    labels = pd.date_range("2019-01-01", periods=12, freq=alias).to_numpy().astype("M8[us]")
    frequency = Frequency.parse(alias)
    assert frequency.labels(labels).all()
    assert frequency.shift(labels[0], np.arange(12)).tolist() == labels.tolist()
    assert frequency.steps_between(labels[0], labels).tolist() == list(range(12))
    days = pd.date_range("2019-01-01", "2019-12-31").to_numpy().astype("M8[us]")
    single = alias.removeprefix("2")
    wanted = pd.date_range("2019-01-01", "2019-12-31", freq=single).to_numpy().astype("M8[us]")
    assert days[frequency.labels(days)].tolist() == wanted.tolist()


def test_a_week_that_is_labelled_by_its_last_day_is_known_the_day_after() -> None:
    sunday = np.array(["2024-07-07"], dtype="M8[us]")
    frequency = Frequency.parse("W-SUN")
    assert frequency.over(sunday).astype("M8[D]").astype(str).tolist() == ["2024-07-08"]
    first, after = (d.astype("M8[D]").astype(str).tolist() for d in frequency.days(sunday))
    assert (first, after) == (["2024-07-01"], ["2024-07-08"])
