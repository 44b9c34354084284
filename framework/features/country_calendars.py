"""The columns of a calendar whose rows may be of several countries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from framework.data.arrays import Float64, Times
from framework.data.frequency import Frequency
from framework.data.holiday_dates import holiday_days
from framework.errors import ConfigError, DataError
from framework.features.calendar import calendar_columns, check_fields, check_labels
from framework.features.calendar_options import HOLIDAY_FIELDS, CalendarOptions

#: The values of ``country_column`` of some rows, None where null; None where there is no such
#: column.
Texts = Sequence[str | None] | None


def check_calendar(
    options: CalendarOptions, times: Times, texts: Texts, frequency: Frequency
) -> None:
    """Check that a calendar can be made for every row that is learned from.

    Args:
        options: The calendar.
        times: ``[rows]``, UTC labels of steps.
        texts: The values of ``country_column``.
        frequency: The step.

    Raises:
        ConfigError: An option cannot be, such as a country that does not exist.
        DataError: A label of a day is no midnight, or a value names no country.
    """
    column = options.country_column
    if column is None or texts is None:
        check_fields(options.fields, options.country, options.time_zone, frequency)
        check_labels(times, options.time_zone, frequency)
        return
    for code in sorted(set((options.countries or {}).values())):
        check_fields(options.fields, code, options.time_zone, frequency)
    check_labels(times, options.time_zone, frequency)
    values = sorted({text for text in texts if text is not None})
    if not values:
        raise DataError(f"calendar: column '{column}' is null everywhere; it names no country.")
    for value, country in zip(values, options.countries_of(values), strict=True):
        if country is None:
            raise DataError(
                f"calendar: countries has no entry for '{value}' of column '{column}'; add it, "
                f"such as {value}: US."
            )
        if not _is_known(country):
            raise DataError(
                f"calendar: '{country}' of column '{column}' names no country whose holidays are "
                "known; use codes such as DE or DE-BY, or give the code of each value as "
                "countries."
            )
        check_fields(options.fields, country, options.time_zone, frequency)


def calendar_of(
    options: CalendarOptions,
    fields: tuple[str, ...],
    times: Times,
    texts: Texts,
    frequency: Frequency | None,
) -> Float64:
    """Compute the columns of a calendar.

    Args:
        options: The calendar.
        fields: Its columns.
        times: ``[rows]``, UTC labels of steps.
        texts: The values of ``country_column``.
        frequency: The step.

    Returns:
        ``[rows, fields]``; fields of holidays are NaN where no country is known.

    Raises:
        DataError: The holidays of a country are not known around one of the steps.
    """
    zone = options.time_zone
    if options.country_column is None:
        return calendar_columns(times, fields, options.country, zone, frequency)
    assert texts is not None  # there is a column
    by_country = np.array([field in HOLIDAY_FIELDS for field in fields])
    own = tuple(field for field in fields if field in HOLIDAY_FIELDS)
    common = tuple(field for field in fields if field not in HOLIDAY_FIELDS)
    out = np.full((len(times), len(fields)), np.nan)
    out[:, ~by_country] = calendar_columns(times, common, None, zone, frequency)
    codes: dict[str | None, int] = {}
    groups = np.array([codes.setdefault(text, len(codes)) for text in texts], dtype=np.int64)
    for number, country in enumerate(options.countries_of([*codes])):
        if country is not None and _is_known(country):
            rows = np.flatnonzero(groups == number)
            out[np.ix_(rows, by_country)] = calendar_columns(
                times[rows], own, country, zone, frequency
            )
    return out


@lru_cache(maxsize=4096)
def _is_known(country: str) -> bool:
    try:
        holiday_days(country, 2000, 2000, "country")
    except ConfigError:
        return False
    return True
