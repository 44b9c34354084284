"""Calendar columns against datetime, zoneinfo, pandas and the holidays package, row by row."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import holidays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.data.frequency import Frequency
from framework.errors import ConfigError, DataError
from framework.features.calendar import calendar_columns, check_fields, check_labels
from framework.features.operations import Calendar

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
ZONES = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]
DAYS = {
    country: set(holidays.country_holidays(country, years=range(1999, 2042)))
    for country in ("US", "DE")
}


def _reference(moment: datetime, country: str, zone: str) -> list[float]:
    local = moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    day = local.date()

    def distance(direction: int) -> int:
        return next(
            (n for n in range(15) if day + timedelta(days=direction * n) in DAYS[country]), 14
        )

    yearday = local.timetuple().tm_yday
    return [
        local.minute,
        local.hour,
        local.weekday(),
        local.weekday() >= 5,
        local.day,
        yearday,
        local.isocalendar().week,
        local.month,
        (local.month - 1) // 3 + 1,
        local.year,
        day in DAYS[country],
        distance(1),
        distance(-1),
    ]


@given(
    moments=st.lists(
        st.datetimes(datetime(2000, 1, 20), datetime(2040, 12, 1)),  # noqa: DTZ001
        min_size=1,
        max_size=20,
    ),
    zone=st.sampled_from(ZONES),
    country=st.sampled_from(["US", "DE"]),
)
def test_every_field_is_that_of_an_independent_calendar(
    moments: list[datetime], zone: str, country: str
) -> None:
    found = calendar_columns(np.array(moments, "M8[us]"), FIELDS, country, zone)
    assert found.tolist() == [
        [float(v) for v in _reference(moment, country, zone)] for moment in moments
    ]


@pytest.mark.parametrize(
    ("zone", "first"),
    [
        ("America/New_York", "2013-03-10"),
        ("America/New_York", "2013-11-03"),
        ("Europe/Berlin", "2024-10-27"),
    ],
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
    days = np.array(
        ["2013-12-20", "2013-12-25", "2013-12-30", "2014-01-01", "2014-01-02"], "M8[us]"
    )
    found = calendar_columns(days, ("is_holiday", "days_to_holiday", "days_since_holiday"), "US")
    assert found.tolist() == [[0, 5, 14], [1, 0, 0], [0, 2, 5], [1, 0, 0], [0, 14, 1]]
    assert date(2014, 1, 1) in DAYS["US"]


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    times = np.datetime64("2012-12-15", "us") + np.arange(400) * np.timedelta64(
        7 * 3600 * 10**6, "us"
    )
    together = calendar_columns(times, FIELDS, "US", "America/New_York")
    alone = [
        calendar_columns(times[i : i + 1], FIELDS, "US", "America/New_York")[0]
        for i in range(len(times))
    ]
    assert together.tobytes() == np.array(alone).tobytes()


@pytest.mark.parametrize(
    ("fields", "country", "zone", "message"),
    [
        (
            ("day_of_weak",),
            None,
            "UTC",
            "calendar field 'day_of_weak' is not known; Did you mean 'day_of_week'? Known: "
            "minute, hour,",
        ),
        (
            ("is_holiday",),
            None,
            "UTC",
            "calendar fields ['is_holiday'] need a country, such as country: US.",
        ),
        (
            ("is_holiday",),
            "Atlantis",
            "UTC",
            "calendar country: the holidays of 'Atlantis' are not known; use an ISO 3166 code",
        ),
        (
            ("hour",),
            None,
            "Mars/Olympus",
            "calendar time_zone 'Mars/Olympus' is not known; use an IANA name such as "
            "America/New_York.",
        ),
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
    with pytest.raises(
        DataError, match=f"the public holidays of US around {day[:4]} are not known"
    ):
        calendar_columns(times, ("is_holiday",), "US")


DATES = st.lists(st.dates(date(2000, 1, 20), date(2040, 12, 1)), min_size=1, max_size=20)


@given(
    dates=DATES, zone=st.sampled_from(ZONES), alias=st.sampled_from(["D", "2D", "W", "MS", "ME"])
)
def test_fields_of_a_label_of_days_are_those_of_its_date_whatever_the_zone(
    dates: list[date], zone: str, alias: str
) -> None:
    fields = FIELDS[:10]
    found = calendar_columns(np.array(dates, "M8[us]"), fields, None, zone, Frequency.parse(alias))
    expected = [
        _reference(datetime.combine(day, datetime.min.time()), "US", "UTC")[:10] for day in dates
    ]
    assert found.tolist() == [[float(v) for v in row] for row in expected]


def test_christmas_is_on_the_25th_in_new_york() -> None:
    days = np.datetime64("2024-12-24", "us") + np.arange(3) * np.timedelta64(1, "D")
    found = calendar_columns(
        days, ("day_of_week", "is_holiday"), "US", "America/New_York", Frequency.parse("D")
    )
    assert found.tolist() == [[1, 0], [2, 1], [3, 0]]


def test_days_that_begin_in_a_zone_are_the_local_days() -> None:
    tokyo = np.array(["2024-12-31T15:00"], "M8[us]")  # midnight of January 1 in Tokyo
    day = Frequency.parse("D")
    check_labels(tokyo, "Asia/Tokyo", day)
    assert calendar_columns(tokyo, ("year", "is_holiday"), "JP", "Asia/Tokyo", day).tolist() == [
        [2025, 1]
    ]
    with pytest.raises(
        DataError,
        match=r"2024-12-31T15:00:00.000000 labels a step of D and is no midnight; .*time_zone",
    ):
        check_labels(tokyo, "UTC", day)
    check_labels(tokyo, "UTC", Frequency.parse("h"))


@pytest.mark.parametrize(
    ("alias", "label", "first", "last"),
    [
        ("D", "2024-12-25", "2024-12-25", "2024-12-25"),
        ("W", "2024-12-22", "2024-12-22", "2024-12-28"),
        ("W", "2024-12-26", "2024-12-26", "2025-01-01"),
        ("2W", "2024-12-22", "2024-12-22", "2025-01-04"),
        ("MS", "2024-11-01", "2024-11-01", "2024-11-30"),
        ("ME", "2024-11-30", "2024-11-01", "2024-11-30"),
        ("QE", "2025-01-31", "2024-11-01", "2025-01-31"),
        ("YS", "2024-02-01", "2024-02-01", "2025-01-31"),
        ("YE", "2024-12-31", "2024-01-01", "2024-12-31"),
    ],
)
def test_holidays_of_a_step_are_counted(alias: str, label: str, first: str, last: str) -> None:
    frequency, days = Frequency.parse(alias), DAYS["US"]
    expected = sum(date.fromisoformat(first) <= day <= date.fromisoformat(last) for day in days)
    check_fields(("holidays",), "US", "UTC", frequency)
    for zone in ("UTC", "America/New_York"):
        found = calendar_columns(np.array([label], "M8[us]"), ("holidays",), "US", zone, frequency)
        assert found.tolist() == [[expected]]


@pytest.mark.parametrize(
    ("alias", "field"),
    [("W", "is_holiday"), ("MS", "days_to_holiday"), ("2D", "is_holiday"), ("h", "holidays")],
)
def test_a_holiday_field_that_a_step_lacks_is_refused_with_the_one_it_has(
    alias: str, field: str
) -> None:
    with pytest.raises(
        ConfigError,
        match="use is_holiday" if alias == "h" else f"a step of {alias} has several; use holidays",
    ):
        check_fields((field,), "US", "UTC", Frequency.parse(alias))


def test_holidays_of_steps_beyond_the_calendars_that_are_known() -> None:
    with pytest.raises(DataError, match="the public holidays of US around 2150 are not known"):
        calendar_columns(
            np.array(["2150-06-01"], "M8[us]"), ("holidays",), "US", "UTC", Frequency.parse("MS")
        )


def test_a_state_and_own_dates_have_their_holidays() -> None:
    days = np.array(["2025-03-31", "2025-07-04", "2025-11-28", "2025-11-29"], "M8[us]")

    def of(country: str) -> list[float]:
        return calendar_columns(days, ("is_holiday",), country)[:, 0].tolist()

    assert of("US") == [0, 1, 0, 0]
    assert of("US-CA") == [1, 1, 1, 0]  # Cesar Chavez Day, the day after Thanksgiving
    assert of("US+2025-11-29") == [0, 1, 0, 1]
    assert of("2025-11-28") == [0, 0, 1, 0]
    away = calendar_columns(days, ("days_to_holiday", "days_since_holiday"), "2025-11-28")
    assert away.tolist() == [[14, 14], [14, 14], [0, 0], [14, 1]]


def test_a_prefix_names_the_columns_and_is_not_stored_where_there_is_none() -> None:
    options = {"op": "calendar", "fields": ["month"]}
    plain, own = Calendar(**options), Calendar(**options, prefix="fr")
    assert (plain.names(), own.names()) == (("calendar_month",), ("fr_month",))
    assert "prefix" not in plain.model_dump()
    assert own.model_dump()["prefix"] == "fr"
