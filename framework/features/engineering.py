"""Feature engineering at ingestion: the operations of a view applied over all series at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from framework.data.arrays import Float64, Objects, Rows, Times
from framework.data.canonical_text import canonical_text, category_texts
from framework.data.frequency import Frequency
from framework.data.vocabulary import TIME
from framework.errors import ConfigError, DataError, suggest
from framework.features.country_calendars import Texts, calendar_of, check_calendar
from framework.features.joins import joined
from framework.features.operations import (
    Calendar,
    Difference,
    Expanding,
    Join,
    Lag,
    Operation,
    Python,
    Rolling,
)
from framework.features.rolling_statistics import expanding, rolling
from framework.features.user_functions import call
from framework.features.views import View

if TYPE_CHECKING:
    import pandas as pd

#: Tables that views join, by their name in the source.
Tables = Mapping[str, "pd.DataFrame"]


def engineer(
    view: View, rows: pd.DataFrame, frequency: Frequency | None, tables: Tables | None = None
) -> pd.DataFrame:
    """Apply ``view.engineer`` in order and return entity keys, ``event_timestamp`` (UTC) and
    ``view.feature_names()``.

    ``rows``: a checked long table, sorted by entity and time, without gaps inside a series. Row
    ``i`` of the result is row ``i`` of ``rows``; nothing after a row's own step is looked at.
    ``tables``: those that the view joins. A lag or a difference is null in the first steps of a
    series; a rolling statistic is null until its window lies inside the series, and where the
    window holds no value. ``std`` is the sample standard deviation, null below two values. A
    series' numbers are bit for bit the same alone or among thousands. Joins alone need no
    ``frequency``, and rows of any time. Raises :class:`ConfigError` for an unknown or non-numeric
    column, :class:`DataError` for rows with a gap.
    """
    import pandas as pd

    missing_columns = [c for c in (*view.entity, TIME, *view.columns) if c not in rows.columns]
    if missing_columns:
        raise DataError(
            f"engineer: missing columns {missing_columns}; the rows have {list(rows.columns)}."
        )
    table = _Table(view, rows, frequency, tables or {})
    for op in view.engineer:
        table.apply(op)
    columns = {**table.texts, **table.numbers}
    stamps = pd.DatetimeIndex(table.times).tz_localize("UTC").as_unit("us")
    return pd.DataFrame(
        {
            **{k: rows[k].to_numpy() for k in view.entity},
            TIME: stamps,
            **{f: columns[f] for f in view.feature_names()},
        }
    )


class _Table:
    """The columns that are there so far; each operation adds its own."""

    def __init__(
        self, view: View, rows: pd.DataFrame, frequency: Frequency | None, tables: Tables
    ) -> None:
        import pandas as pd

        self.view, self.rows, self.frequency, self.tables = view, rows, frequency, tables
        self.times: Times = (
            pd.to_datetime(rows[TIME], utc=True).dt.tz_localize(None).to_numpy().astype("M8[us]")
        )
        self.numbers: dict[str, Float64] = {
            c: rows[c].to_numpy(dtype=np.float64, na_value=np.nan) for c in view.numbers
        }
        self.texts: dict[str, Objects] = {c: rows[c].to_numpy() for c in view.texts}
        self._position: Rows | None = None

    @property
    def position(self) -> Rows:
        """``[rows]``: each row's step inside its series, checked when a first operation counts
        steps.
        """
        if self._position is None:
            assert self.frequency is not None  # see View.counts_steps
            self._position = _positions(self.view, self.rows, self.times, self.frequency)
        return self._position

    def apply(self, op: Operation) -> None:
        if isinstance(op, Join):
            self._join(op)
        else:
            self.numbers |= dict(zip(op.names(), self._made(op), strict=True))

    def _made(
        self, op: Lag | Rolling | Expanding | Difference | Calendar | Python
    ) -> list[Float64]:
        if isinstance(op, Calendar):
            assert self.frequency is not None  # see View.counts_steps
            texts = self._countries(op)
            check_calendar(op, self.times, texts, self.frequency)
            return list(calendar_of(op, op.fields, self.times, texts, self.frequency).T)
        if isinstance(op, Python):
            return call(op, self._frame(op))
        inputs = [self._column(column, op.op) for column in op.columns]
        if isinstance(op, Lag):
            return [_back(values, self.position, k) for values in inputs for k in op.steps]
        if isinstance(op, Difference):
            return [
                _difference(values, _back(values, self.position, k), op.relative)
                for values in inputs
                for k in op.steps
            ]
        if isinstance(op, Rolling):
            return [
                result
                for v in inputs
                for w in op.windows
                for result in rolling(v, self.position, w, op.statistics)
            ]
        return [result for v in inputs for result in expanding(v, self.position, op.statistics)]

    def _countries(self, op: Calendar) -> Texts:
        """List the values of the column that names each row's country."""
        column = op.country_column
        if column is None:
            return None
        if column in self.view.categories and column not in self.texts:
            raise ConfigError(
                f"features: calendar by '{column}': no such column yet; put the join that makes "
                "it first."
            )
        values = self.texts[column] if column in self.texts else self.rows[column].to_numpy()
        return [canonical_text(value) for value in values]

    def _column(self, column: str, op: str) -> Float64:
        if column in self.numbers:
            return self.numbers[column]
        if column in self.view.categories:
            raise ConfigError(
                f"features: {op} of '{column}' is not possible: it is a category; use a "
                "numeric column."
            )
        known = ", ".join(self.numbers)
        raise ConfigError(
            f"features: {op} of '{column}': no such column "
            f"yet;{suggest(column, self.numbers)} Known here: {known}."
        )

    def _frame(self, op: Python) -> pd.DataFrame:
        """Make the data frame that a user's function gets."""
        import pandas as pd

        stamps = pd.DatetimeIndex(self.times).tz_localize("UTC")
        columns = {
            c: self.texts[c] if c in self.texts else self._column(c, op.op) for c in op.columns
        }
        return pd.DataFrame(
            {**{k: self.rows[k].to_numpy() for k in self.view.entity}, TIME: stamps, **columns}
        )

    def _join(self, op: Join) -> None:
        import pandas as pd

        if op.table not in self.tables:
            raise DataError(
                f"features: join: table '{op.table}' was not read; known here: "
                f"{sorted(self.tables)}."
            )
        on = {c: self.texts[c] if c in self.texts else self.rows[c].to_numpy() for c in op.by}
        columns = joined(op, pd.DataFrame({**on, TIME: self.times}), self.tables[op.table])
        for column, name in zip(op.columns, op.names(), strict=True):
            values = columns[column]
            if name in self.view.categories:
                self.texts[name] = category_texts(values)
                continue
            try:
                self.numbers[name] = values.to_numpy(dtype=np.float64, na_value=np.nan)
            except (TypeError, ValueError) as error:
                raise DataError(
                    f"features: join of '{op.table}': column '{column}' is not numeric "
                    f"({error}); list '{name}' under categories."
                ) from error


def _positions(view: View, rows: pd.DataFrame, times: Times, frequency: Frequency) -> Rows:
    """``[rows]``: each row's step inside its series. Raises where the next row of a series is not
    its next step.
    """
    if not len(rows):
        return np.zeros(0, np.int64)
    keys = rows[list(view.entity)].astype(str).to_numpy(dtype=object)
    same = np.concatenate([[False], np.all(keys[1:] == keys[:-1], axis=1)])
    jump = same & np.concatenate([[False], frequency.shift(times[:-1], 1) != times[1:]])
    if jump.any():
        row = int(np.flatnonzero(jump)[0])
        name = dict(zip(view.entity, keys[row], strict=True))
        raise DataError(
            f"engineer: {times[row]} does not follow {times[row - 1]} in series {name} at "
            f"frequency {frequency.alias}; "
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


def _difference(values: Float64, before: Float64, relative: bool) -> Float64:
    change = values - before
    return (
        np.divide(change, before, out=np.full(len(values), np.nan), where=before != 0)
        if relative
        else change
    )
