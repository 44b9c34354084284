"""Calendar and holiday columns of a step, from its label alone. Used at ingestion and by
preprocessors: one definition.

The label of a step of whole days is a date: its fields are those of the date, wherever that is. Any
other time is a moment, and its fields are those of the clock and calendar of a time zone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from framework.data.arrays import Float64, Times
from framework.data.frequency import Frequency
from framework.data.holiday_dates import holiday_days, is_dates_alone
from framework.errors import ConfigError, DataError, suggest
from framework.features.calendar_options import COUNT, HOLIDAY_FIELDS, ONE_DAY

Ints = npt.NDArray[np.int64]


def _days(local: Times) -> Ints:
    return local.astype("M8[D]").astype(np.int64)


def _months(local: Times) -> Ints:
    return local.astype("M8[M]").astype(np.int64)


def _day_of_month(local: Times) -> Ints:
    return np.asarray(
        (local.astype("M8[D]") - local.astype("M8[M]").astype("M8[D]")).astype(np.int64) + 1
    )


def _day_of_year(local: Times) -> Ints:
    return np.asarray(
        (local.astype("M8[D]") - local.astype("M8[Y]").astype("M8[D]")).astype(np.int64) + 1
    )


def _week_from_january_1(local: Times) -> Ints:
    return (_day_of_year(local) - 1) // 7 + 1


def _week_of_year(local: Times) -> Ints:
    """ISO 8601: a week belongs to the year of its Thursday."""
    days = _days(local)
    thursdays = days - (days + 3) % 7 + 3
    return _week_from_january_1(thursdays.astype("M8[D]").astype("M8[us]"))


#: Field -> values of local times. Monday is 0; January, the first of a month and the first of a
#: year are 1.
_FIELDS: dict[str, Callable[[Times], Ints]] = {
    "minute": lambda t: t.astype("M8[m]").astype(np.int64) % 60,
    "hour": lambda t: t.astype("M8[h]").astype(np.int64) % 24,
    "day_of_week": lambda t: (_days(t) + 3) % 7,
    "is_weekend": lambda t: ((_days(t) + 3) % 7 >= 5).astype(np.int64),
    "day_of_month": _day_of_month,
    "day_of_year": _day_of_year,
    "week_of_year": _week_of_year,
    "week_from_january_1": _week_from_january_1,
    "month": lambda t: _months(t) % 12 + 1,
    "quarter": lambda t: _months(t) % 12 // 3 + 1,
    "year": lambda t: _months(t) // 12 + 1970,
}
#: A distance in days is cut here: further away says nothing.
_FAR = 14


def check_fields(
    fields: tuple[str, ...], country: str | None, time_zone: str, frequency: Frequency | None = None
) -> None:
    """Check the fields of a calendar.

    Args:
        fields: Names of :func:`calendar_columns`.
        country: Whose public holidays count, such as ``US``; None: nobody's.
        time_zone: An IANA name.
        frequency: The step that the fields are about; None: any.

    Raises:
        ConfigError: A field, country or time zone does not exist, or a step of ``frequency`` lacks
            the field.
    """
    for field in fields:
        if field not in _FIELDS and field not in HOLIDAY_FIELDS:
            known = [*_FIELDS, *HOLIDAY_FIELDS]
            raise ConfigError(
                f"calendar field '{field}' is not known;{suggest(field, known)} Known: "
                f"{', '.join(known)}."
            )
    if country is None and (holiday_fields := [f for f in fields if f in HOLIDAY_FIELDS]):
        raise ConfigError(f"calendar fields {holiday_fields} need a country, such as country: US.")
    if country is not None:
        _holidays(country, 2000)
    if frequency is not None:
        _check_holiday_fields(fields, frequency)
    try:
        ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"calendar time_zone '{time_zone}' is not known; use an IANA name such as "
            "America/New_York."
        ) from error


def _check_holiday_fields(fields: tuple[str, ...], frequency: Frequency) -> None:
    if frequency.several_days and (single := [f for f in fields if f in ONE_DAY]):
        raise ConfigError(
            f"calendar fields {single} are about one day, a step of {frequency.alias} has several; "
            f"use {COUNT}: how many public holidays the step has."
        )
    if COUNT in fields and not frequency.whole_days:
        raise ConfigError(
            f"calendar field '{COUNT}' counts the public holidays of a step of whole days, "
            f"not of {frequency.alias}; use is_holiday."
        )


def check_labels(times: Times, time_zone: str, frequency: Frequency) -> None:
    """Check that labels of days are dates, unless something says in which time zone they are one.

    Args:
        times: ``[rows]`` (UTC).
        time_zone: The time zone of the calendar; ``UTC`` says nothing.
        frequency: The step.

    Raises:
        DataError: A label of a step of whole days is no midnight.
    """
    if not frequency.whole_days or time_zone != "UTC":
        return
    stamps = np.asarray(times, "M8[us]")
    odd = stamps != stamps.astype("M8[D]")
    if odd.any():
        raise DataError(
            f"calendar: {stamps[odd][0]} labels a step of {frequency.alias} and is no midnight; "
            "label a day by its date (T00:00Z), or say in which zone its days begin (time_zone)."
        )


@lru_cache(maxsize=512)
def _holidays(country: str, year: int) -> Ints:
    """Days since 1970 of the public holidays of ``year`` and its neighbours, sorted (package
    ``holidays``).
    """
    days = holiday_days(country, year - 1, year + 1, "calendar country")
    return np.concatenate([[-_NEVER], days, [_NEVER]]) if is_dates_alone(country) else days


#: A day that is further away than any step: there is no holiday before it, or after it.
_NEVER = 10**7


def _holiday_count(first: Ints, after: Ints, country: str) -> Ints:
    """Public holidays from the day ``first`` to the one before ``after``."""
    years = np.unique(
        np.concatenate([first, after]).astype("M8[D]").astype("M8[Y]").astype(np.int64) + 1970
    )
    known = (
        np.unique(
            np.concatenate([_holidays(country, int(y)) for y in range(years[0], years[-1] + 1)])
        )
        if len(years)
        else first[:0]
    )
    for days in (first, after):
        _refuse_unknown(known, days, country)
    return np.asarray(np.searchsorted(known, after) - np.searchsorted(known, first))


def _refuse_unknown(known: Ints, days: Ints, country: str) -> None:
    """Raise DataError outside of the years that the package's calendars have."""
    unknown = (
        (days > known[-1]) | (days < known[0]) if len(known) else np.ones(len(days), dtype=bool)
    )
    if unknown.any():
        year = int(days[unknown][0].astype("M8[D]").astype("M8[Y]").astype(np.int64)) + 1970
        raise DataError(
            f"calendar: the public holidays of {country} around {year} are not known; leave "
            "the holiday fields out."
        )


def _holiday_distance(days: Ints, years: Ints, country: str) -> tuple[Ints, Ints]:
    days_before, days_after = np.empty_like(days), np.empty_like(days)
    for year in np.unique(years):
        rows = years == year
        known = _holidays(country, int(year))
        _refuse_unknown(known, days[rows], country)
        after = np.searchsorted(known, days[rows], side="left")
        before = np.searchsorted(known, days[rows], side="right") - 1
        days_before[rows] = known[after] - days[rows]
        days_after[rows] = days[rows] - known[before]
    return np.minimum(days_before, _FAR), np.minimum(days_after, _FAR)


def _to_local(times: Times, time_zone: str) -> Times:
    if time_zone == "UTC":
        return times
    unique, inverse = np.unique(times.astype("M8[s]").astype(np.int64), return_inverse=True)
    offsets = np.array(
        [_offset_seconds(int(second), time_zone) for second in unique], dtype="m8[s]"
    )
    return np.asarray(times + offsets[inverse])


@lru_cache(maxsize=65536)
def _offset_seconds(second: int, time_zone: str) -> int:
    from datetime import UTC, datetime

    offset = datetime.fromtimestamp(second, UTC).astimezone(ZoneInfo(time_zone)).utcoffset()
    assert offset is not None  # an aware datetime has one
    return int(offset.total_seconds())


def calendar_columns(
    times: Times,
    fields: tuple[str, ...],
    country: str | None = None,
    time_zone: str = "UTC",
    frequency: Frequency | None = None,
) -> Float64:
    """Compute calendar columns of steps, from their labels alone.

    Fields: minute, hour, day_of_week (Monday 0), is_weekend, day_of_month, day_of_year,
    week_of_year (ISO 8601), week_from_january_1 (the first seven days of a year are 1), month,
    quarter, year; of the public holidays of ``country``: is_holiday, days_to_holiday and
    days_since_holiday (0 to 14, 14 is 14 or more), and holidays, how many a step of whole days has.

    Args:
        times: ``[rows]``, UTC labels of steps.
        fields: The columns.
        country: Whose public holidays count, such as ``US``.
        time_zone: The IANA name of the zone whose clock counts.
        frequency: The step. A label of a step of whole days is a date, whatever the time zone.

    Returns:
        ``[rows, fields]``.
    """
    stamps = np.asarray(times, "M8[us]")
    if not fields or not 0 < len(stamps) <= _FEW:
        return _compute(stamps, fields, country, time_zone, frequency)
    rows = _rows_of(fields, country, time_zone, frequency)
    keys = stamps.astype(np.int64).tolist()
    cached = [row for row in map(rows.get, keys) if row is not None]
    if len(cached) < len(keys):
        computed = _compute(stamps, fields, country, time_zone, frequency)
        if len(rows) > _REMEMBERED:
            rows.clear()
        rows.update(zip(keys, (row.tobytes() for row in computed), strict=True))
        return computed
    return np.frombuffer(b"".join(cached)).reshape(len(keys), len(fields)).copy()


#: A server asks for the same few steps again and again: up to so many rows are looked up, and so
#: many are remembered.
_FEW, _REMEMBERED = 64, 65536


@lru_cache(maxsize=64)
def _rows_of(
    fields: tuple[str, ...], country: str | None, time_zone: str, frequency: Frequency | None
) -> dict[int, bytes]:
    """Microseconds since 1970 -> the computed row. Values follow from the key, so threads may fill
    it at once.
    """
    return {}


def _compute(
    times: Times,
    fields: tuple[str, ...],
    country: str | None,
    time_zone: str,
    frequency: Frequency | None,
) -> Float64:
    local = _to_local(times, time_zone)
    if frequency is not None and frequency.whole_days:
        local = np.where(times == times.astype("M8[D]"), times, local)
    out = np.empty((len(local), len(fields)), dtype=np.float64)
    distance: tuple[Ints, Ints] | None = None
    for i, field in enumerate(fields):
        if field in _FIELDS:
            out[:, i] = _FIELDS[field](local)
            continue
        assert country is not None  # check_fields
        if field == COUNT:
            assert frequency is not None  # check_fields
            out[:, i] = _holiday_count(*frequency.days(local), country)
            continue
        if distance is None:
            years = _months(local) // 12 + 1970
            distance = _holiday_distance(_days(local), years, country)
        days_before, days_after = distance
        out[:, i] = {
            "is_holiday": days_before == 0,
            "days_to_holiday": days_before,
            "days_since_holiday": days_after,
        }[field]
    return out
