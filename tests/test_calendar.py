"""Calendar columns against datetime, zoneinfo, pandas and the holidays package, row by row."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import holidays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.calendar import calendar_columns, check_fields
from framework.errors import ConfigError, DataError

FIELDS = (
    "minute",
    "hour",
    "day_of_week",
    "is_weekend",
    "day_of_month",
    "day_of_year",
    "week_of_year",
    "month",
    "quarter",
    "year",
    "is_holiday",
    "days_to_holiday",
    "days_since_holiday",
)
ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
DAYS = {country: set(holidays.country_holidays(country, years=range(1999, 2042))) for country in ("US", "DE")}


def _reference(moment: datetime, country: str, zone: str) -> list[float]:
    local = moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    day = local.date()

    def distance(direction: int) -> int:
        return next((n for n in range(15) if day + timedelta(days=direction * n) in DAYS[country]), 14)

    yearday = local.timetuple().tm_yday
    return [
        local.minute,
        local.hour,
        local.weekday(),
        local.weekday() >= 5,
        local.day,
        yearday,
        (yearday - 1) // 7 + 1,
        local.month,
        (local.month - 1) // 3 + 1,
        local.year,
        day in DAYS[country],
        distance(1),
        distance(-1),
    ]


@given(
    moments=st.lists(st.datetimes(datetime(2000, 1, 20), datetime(2040, 12, 1)), min_size=1, max_size=20),  # noqa: DTZ001
    zone=st.sampled_from(ZONES),
    country=st.sampled_from(["US", "DE"]),
)
def test_every_field_is_that_of_an_independent_calendar(moments: list[datetime], zone: str, country: str) -> None:
    found = calendar_columns(np.array(moments, "M8[us]"), FIELDS, country, zone)
    assert found.tolist() == [[float(v) for v in _reference(moment, country, zone)] for moment in moments]


@pytest.mark.parametrize(
    ("zone", "first"), [("America/New_York", "2013-03-10"), ("America/New_York", "2013-11-03"), ("Europe/Berlin", "2024-10-27")]
)
def test_every_hour_of_the_days_around_a_change_of_clocks(zone: str, first: str) -> None:
    hours = np.datetime64(first, "us") + np.arange(-24, 48) * np.timedelta64(3600 * 10**6, "us")
    expected = [[float(v) for v in _reference(moment, "US", zone)] for moment in hours.tolist()]
    assert calendar_columns(hours, FIELDS, "US", zone).tolist() == expected


def test_the_missing_hour_is_skipped_and_the_second_one_repeats() -> None:
    spring = np.array(["2013-03-10T06:00", "2013-03-10T07:00"], "M8[us]")
    autumn = np.array(["2013-11-03T05:00", "2013-11-03T06:00"], "M8[us]")
    assert calendar_columns(spring, ("hour",), None, "America/New_York").ravel().tolist() == [1, 3]
    assert calendar_columns(autumn, ("hour",), None, "America/New_York").ravel().tolist() == [1, 1]


def test_holidays_across_the_turn_of_the_year() -> None:
    days = np.array(["2013-12-20", "2013-12-25", "2013-12-30", "2014-01-01", "2014-01-02"], "M8[us]")
    found = calendar_columns(days, ("is_holiday", "days_to_holiday", "days_since_holiday"), "US")
    assert found.tolist() == [[0, 5, 14], [1, 0, 0], [0, 2, 5], [1, 0, 0], [0, 14, 1]]
    assert date(2014, 1, 1) in DAYS["US"]


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    times = np.datetime64("2012-12-15", "us") + np.arange(400) * np.timedelta64(7 * 3600 * 10**6, "us")
    together = calendar_columns(times, FIELDS, "US", "America/New_York")
    alone = [calendar_columns(times[i : i + 1], FIELDS, "US", "America/New_York")[0] for i in range(len(times))]
    assert together.tobytes() == np.array(alone).tobytes()


@pytest.mark.parametrize(
    ("fields", "country", "zone", "message"),
    [
        (("day_of_weak",), None, "UTC", "calendar field 'day_of_weak' is not known; Did you mean 'day_of_week'? Known: minute, hour,"),
        (("is_holiday",), None, "UTC", "calendar fields ['is_holiday'] need a country, such as country: US."),
        (("is_holiday",), "Atlantis", "UTC", "calendar country 'Atlantis' is not known; use an ISO 3166 code such as US."),
        (("hour",), None, "Mars/Olympus", "calendar time_zone 'Mars/Olympus' is not known; use an IANA name such as America/New_York."),
        (("hour",), None, "../etc/passwd", "calendar time_zone '../etc/passwd' is not known;"),
    ],
)
def test_refusals(fields: tuple[str, ...], country: str | None, zone: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_fields(fields, country, zone)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("day", ["1700-01-01", "2150-06-01", "2200-12-31"])
def test_beyond_the_calendars_that_are_known_there_is_no_answer(day: str) -> None:
    times = np.array([day], dtype="M8[us]")
    assert calendar_columns(times, ("month",), "US").tolist() == [[int(day[5:7])]]
    with pytest.raises(DataError, match=f"the public holidays of US around {day[:4]} are not known"):
        calendar_columns(times, ("is_holiday",), "US")
