"""Steps of business days: Monday to Friday without the holidays of a calendar, by numpy."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from framework.data.arrays import Flags, Times
from framework.data.holiday_dates import holiday_days, last_known_year
from framework.errors import DataError

#: The years whose holidays are looked up.
_FIRST, _LAST = 1900, 2069


def shift_business_days(times: Times, steps: npt.NDArray[np.int64], closed: str) -> Times:
    """Move times by business days; a time that is none counts as the newest one before it.

    Args:
        times: UTC, broadcast against ``steps``.
        steps: How far.
        closed: The holidays, as :func:`framework.data.holiday_dates.holiday_days` takes them; empty
            for none.

    Raises:
        DataError: For a step outside of the years whose holidays are known.
    """
    days = np.busday_offset(
        np.asarray(times).astype("M8[D]"), steps, roll="backward", busdaycal=_calendar(closed)
    )
    if closed and days.size:
        _refuse_unknown(days, closed)
    return np.asarray(days.astype("M8[us]"))


def count_business_days(first: Times, last: Times, closed: str) -> npt.NDArray[np.int64]:
    """Return the business days from ``first`` to ``last`` (broadcast), each the newest one that is
    not later; 0 where one of them is NaT.
    """
    zero = np.int64(0)
    start, end = np.broadcast_arrays(
        shift_business_days(first, np.asarray(zero), closed),
        shift_business_days(last, np.asarray(zero), closed),
    )
    unknown = np.isnat(start) | np.isnat(end)
    any_day = np.datetime64(0, "D")
    return np.asarray(
        np.busday_count(
            np.where(unknown, any_day, start.astype("M8[D]")),
            np.where(unknown, any_day, end.astype("M8[D]")),
            busdaycal=_calendar(closed),
        ),
        dtype=np.int64,
    )


def are_business_days(times: Times, closed: str) -> Flags:
    """``[n]``: which times are the midnight of a business day."""
    days = np.asarray(times).astype("M8[D]")
    return np.asarray(np.is_busday(days, busdaycal=_calendar(closed)) & (days == times))


@lru_cache(maxsize=64)
def _calendar(closed: str) -> np.busdaycalendar:
    days = holiday_days(closed, _FIRST, _LAST, "panel.frequency") if closed else np.zeros(0)
    return np.busdaycalendar(holidays=days.astype("M8[D]"))


@lru_cache(maxsize=64)
def _last_known_year(closed: str) -> int | None:
    year = last_known_year(closed, "panel.frequency")
    return None if year is None else min(year, _LAST)


def _refuse_unknown(days: npt.NDArray[np.datetime64], closed: str) -> None:
    known, last = ~np.isnat(days), _last_known_year(closed)
    if last is None or not known.any():
        return
    years = days[known].astype("M8[Y]").astype(np.int64) + 1970
    for year in (int(years.min()), int(years.max())):
        if not _FIRST <= year <= last:
            raise DataError(
                f"panel.frequency: the holidays of {closed} in {year} are not known, those from "
                f"{_FIRST} to {last} are; mend the time, or use B without them."
            )
