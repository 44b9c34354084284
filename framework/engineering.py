"""Feature engineering at ingestion: lags, rolling statistics and calendar columns, over all series at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from framework.calendar import calendar_columns, check_fields
from framework.errors import ConfigError, DataError, suggest
from framework.frequency import Frequency
from framework.interfaces.values import TIME, Float64, Times
from framework.interfaces.views import Calendar, Lag, Rolling, Statistic, View
from framework.interfaces.windows import Rows

if TYPE_CHECKING:
    import pandas as pd


def engineer(view: View, rows: pd.DataFrame, frequency: Frequency) -> pd.DataFrame:
    """Apply ``view.engineer`` in order and return entity keys, ``event_timestamp`` (UTC) and ``view.feature_names()``.

    ``rows``: a checked long table, sorted by entity and time, without gaps inside a series. Row ``i`` of the result is row
    ``i`` of ``rows``; nothing after a row's own step is looked at. A lag is null in the first steps of a series; a
    rolling statistic is null until its window lies inside the series, and where the window holds no value. ``std`` is the
    sample standard deviation, null below two values. A series' numbers are bit for bit the same alone or among thousands.
    Raises :class:`ConfigError` for an unknown or non-numeric column, :class:`DataError` for rows with a gap.
    """
    import pandas as pd

    missing = [c for c in (*view.entity, TIME, *view.columns) if c not in rows.columns]
    if missing:
        raise DataError(f"engineer: missing columns {missing}; the rows have {list(rows.columns)}.")
    times = pd.to_datetime(rows[TIME], utc=True).dt.tz_localize(None).to_numpy().astype("M8[us]")
    numbers = {c: rows[c].to_numpy(dtype=np.float64, na_value=np.nan) for c in view.columns if c not in view.categories}
    position = _positions(view, rows, times, frequency) if any(not isinstance(op, Calendar) for op in view.engineer) else None
    for op in view.engineer:
        if isinstance(op, Calendar):
            check_fields(op.fields, op.country, op.time_zone)
            made = calendar_columns(times, op.fields, op.country, op.time_zone)
            numbers |= {name: made[:, i] for i, name in enumerate(op.names())}
            continue
        assert position is not None
        inputs = [_column(view, numbers, column, op.op) for column in op.columns]
        outputs = _lagged(op, inputs, position) if isinstance(op, Lag) else _rolled(op, inputs, position)
        numbers |= dict(zip(op.names(), outputs, strict=True))
    texts = {c: rows[c].to_numpy() for c in (*view.entity, *view.categories)}
    stamps = pd.DatetimeIndex(times).tz_localize("UTC").as_unit("us")
    return pd.DataFrame(
        {**{k: texts[k] for k in view.entity}, TIME: stamps, **{f: texts.get(f, numbers.get(f)) for f in view.feature_names()}}
    )


def _column(view: View, numbers: dict[str, Float64], column: str, op: str) -> Float64:
    if column in numbers:
        return numbers[column]
    if column in view.categories:
        raise ConfigError(f"features: {op} of '{column}' is not possible: it is a category; use a numeric column.")
    raise ConfigError(f"features: {op} of '{column}': no such column yet;{suggest(column, numbers)} Known here: {', '.join(numbers)}.")


def _positions(view: View, rows: pd.DataFrame, times: Times, frequency: Frequency) -> Rows:
    """``[rows]``: each row's step inside its series. Raises where the next row of a series is not its next step."""
    if not len(rows):
        return np.zeros(0, np.int64)
    keys = rows[list(view.entity)].astype(str).to_numpy(dtype=object)
    same = np.concatenate([[False], np.all(keys[1:] == keys[:-1], axis=1)])
    jump = same & np.concatenate([[False], frequency.shift(times[:-1], 1) != times[1:]])
    if jump.any():
        row = int(np.flatnonzero(jump)[0])
        name = dict(zip(view.entity, keys[row], strict=True))
        raise DataError(
            f"engineer: {times[row]} does not follow {times[row - 1]} in series {name} at frequency {frequency.alias}; "
            "sort and fill the rows first."
        )
    index = np.arange(len(rows), dtype=np.int64)
    return index - np.maximum.accumulate(np.where(same, 0, index))


def _back(values: Float64, position: Rows, steps: int) -> Float64:
    """The values ``steps`` before, null where the series has not begun."""
    out = np.full(len(values), np.nan)
    rows = np.flatnonzero(position >= steps)
    out[rows] = values[rows - steps]
    return out


def _lagged(op: Lag, inputs: list[Float64], position: Rows) -> list[Float64]:
    return [_back(values, position, k) for values in inputs for k in op.steps]


def _rolled(op: Rolling, inputs: list[Float64], position: Rows) -> list[Float64]:
    made = []
    for values in inputs:
        for window in op.windows:
            complete = position >= window - 1
            counts = _fold(values, position, window, np.add, lambda v: (~np.isnan(v)).astype(np.float64), 0.0)
            for statistic in op.statistics:
                out = _STATISTICS[statistic](values, position, window, counts)
                made.append(np.where(complete & (counts > 0), out, np.nan))
    return made


def _fold(
    values: Float64,
    position: Rows,
    window: int,
    combine: Callable[[Float64, Float64], Float64],
    of: Callable[[Float64], Float64],
    start: float,
) -> Float64:
    """Combine the steps of each row's window, oldest first, one step of all rows at a time.

    The order of the additions is a row's own, never that of a running sum over its neighbours: that keeps the bits.
    """
    out = np.full(len(values), start)
    for k in range(window - 1, -1, -1):
        out = combine(out, of(_back(values, position, k)))
    return out


def _zero(values: Float64) -> Float64:
    return np.where(np.isnan(values), 0.0, values)


def _sum(values: Float64, position: Rows, window: int, counts: Float64) -> Float64:
    return _fold(values, position, window, np.add, _zero, 0.0)


def _mean(values: Float64, position: Rows, window: int, counts: Float64) -> Float64:
    return _sum(values, position, window, counts) / np.maximum(counts, 1.0)


def _std(values: Float64, position: Rows, window: int, counts: Float64) -> Float64:
    mean = _mean(values, position, window, counts)
    squares = _fold(values, position, window, np.add, lambda v: _zero((v - mean) ** 2), 0.0)
    return np.where(counts > 1, np.sqrt(squares / np.maximum(counts - 1.0, 1.0)), np.nan)


def _min(values: Float64, position: Rows, window: int, counts: Float64) -> Float64:
    return _fold(values, position, window, np.fmin, lambda v: v, np.nan)


def _max(values: Float64, position: Rows, window: int, counts: Float64) -> Float64:
    return _fold(values, position, window, np.fmax, lambda v: v, np.nan)


_STATISTICS: dict[Statistic, Callable[[Float64, Rows, int, Float64], Float64]] = {
    "mean": _mean,
    "std": _std,
    "min": _min,
    "max": _max,
    "sum": _sum,
}
