"""Times of a clock on a wall as moments in UTC, also where the clock is put forward and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from framework.data.arrays import Rows
from framework.data.grouping import series_numbers
from framework.errors import DataError

_Flags = npt.NDArray[np.bool_]
#: How many rows a message shows.
_FORMAT = "%Y-%m-%d %H:%M"


def to_utc(
    rows: pd.DataFrame, column: str, zone: str, later: _Flags | None, where: str
) -> pd.DatetimeIndex:
    """Return the moments of a column of local times without an offset.

    Args:
        rows: The table.
        column: Its column of times, without a zone.
        zone: IANA name, such as ``Europe/Berlin``.
        later: ``[rows]``: which times of the hour that the clock shows twice are of its second
            time; None for all of them.
        where: What a message begins with.

    Raises:
        DataError: For a time that the clock skipped.
    """
    local = pd.DatetimeIndex(rows[column])
    dst = np.zeros(len(local), dtype=bool) if later is None else ~later
    moments = local.tz_localize(zone, ambiguous=dst, nonexistent="NaT")
    skipped = np.asarray(moments.isna()) & np.asarray(local.notna())
    if skipped.any():
        raise DataError(
            f"{where}: {local[skipped][0]:{_FORMAT}} is skipped by the clock of {zone}, which is "
            f"put forward then ({skipped.sum():,} rows); mend or leave out these rows in a query, "
            "or give times with their offset."
        )
    return moments.tz_convert("UTC")


def second_times(
    rows: pd.DataFrame,
    column: str,
    keys: Sequence[str],
    zone: str,
    single: str | None,
    where: str,
) -> _Flags:
    """Tell the two hours apart that the clock shows alike when it is put back.

    A series has both: the first in the order of its rows is the earlier one, in a series whose
    rows go back in time the later one.

    Args:
        rows: The table, in the order of its source.
        column: Its column of times, without a zone.
        keys: Of a series.
        zone: IANA name.
        single: ``first`` or ``second``: what a time is that a series has only once; None to refuse
            it.
        where: What a message begins with.

    Returns:
        ``[rows]``: whose time is of the second hour.

    Raises:
        DataError: Nothing says which of the two hours a row is of.
    """
    local = pd.DatetimeIndex(rows[column])
    n = len(local)
    early = local.tz_localize(zone, ambiguous=np.ones(n, dtype=bool), nonexistent="NaT")
    late = local.tz_localize(zone, ambiguous=np.zeros(n, dtype=bool), nonexistent="NaT")
    twice = np.asarray((early != late) & early.notna())
    second = np.zeros(n, dtype=bool)
    if not twice.any():
        return second
    (series,) = series_numbers(keys, rows)
    doubtful = pd.DataFrame({"series": series[twice], "time": local[twice]})
    groups = doubtful.groupby(["series", "time"])["time"]
    number, count = groups.cumcount().to_numpy(), groups.transform("size").to_numpy()
    if single is None and (count == 1).any():
        time = doubtful["time"][count == 1].iloc[0]
        raise DataError(
            f"{where}: {time:{_FORMAT}} is twice on the clock of {zone}, which is put back then, "
            "and the series has it once; say which hour such rows are of, ambiguous: first or "
            "second, or give times with their offset."
        )
    backwards = _backwards(local, series, twice, zone, where)
    second[twice] = np.where(count == 1, single == "second", (number > 0) ^ backwards)
    return second


def _backwards(
    local: pd.DatetimeIndex, series: Rows, twice: _Flags, zone: str, where: str
) -> _Flags:
    """``[doubtful rows]``: whose series goes back in time, seen by its other rows.

    Raises :class:`DataError` for a series in no order.
    """
    concerned = np.isin(series, series[twice])
    others = concerned & ~twice & np.asarray(local.notna())
    table = pd.DataFrame({"series": series[others], "time": local[others]})
    steps = table.groupby("series")["time"].diff().dropna()
    of = table["series"].loc[steps.index]
    rising = (steps > pd.Timedelta(0)).groupby(of).all()
    falling = (steps < pd.Timedelta(0)).groupby(of).all()
    neither = ~rising & ~falling
    if neither.any():
        time = local[twice & (series == neither.index[neither][0])][0]
        raise DataError(
            f"{where}: {time:{_FORMAT}} is twice on the clock of {zone}, and the rows of the "
            "series are in no order that says which is which; sort the file by time, or give "
            "times with their offset."
        )
    rows = pd.Series(series[twice])
    return np.asarray(rows.map(falling & ~rising).fillna(False), dtype=bool)
