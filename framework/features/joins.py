"""Columns of another table joined to a view's rows at ingestion: by key alone, or by the newest row
that was known at the step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from framework.data.canonical_text import category_texts, key_texts
from framework.data.source_times import utc_times
from framework.data.vocabulary import TIME
from framework.errors import DataError, suggest
from framework.features.operations import Join

if TYPE_CHECKING:
    import pandas as pd

#: A name that no column of a table has.
_ROW = "\x00row"


def joined(op: Join, rows: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """``op.columns`` of ``table``, one row for each of ``rows`` and in their order; null where
    nothing matches. A null key matches nothing.

    ``rows``: the columns ``op.by`` and ``event_timestamp`` (UTC). Of rows of ``table`` with equal
    keys and times the last counts. Raises :class:`~framework.errors.DataError` naming a missing
    column, a null time, or a key that a static table has twice.
    """
    import pandas as pd

    columns = list(dict.fromkeys((*op.by, *op.columns, *([op.time] if op.time else []))))
    missing_columns = [c for c in columns if c not in table.columns]
    if missing_columns:
        raise DataError(
            f"join of '{op.table}': no column "
            f"{missing_columns[0]!r};{suggest(missing_columns[0], map(str, table.columns))}"
        )
    keys = list(op.by)
    where = f"join of '{op.table}'"
    right = (
        table[columns]
        .assign(**{k: key_texts(table[k], where, whole=False) for k in keys})
        .dropna(subset=keys)
    )
    left_side = rows[[*keys, TIME]].assign(
        **{k: category_texts(rows[k]) for k in keys}, **{_ROW: np.arange(len(rows))}
    )
    if op.time is None:
        twice = right[right.duplicated(keys)]
        if len(twice):
            raise DataError(
                f"join of '{op.table}': two rows for {twice.iloc[0][keys].to_dict()}; a "
                "table with several needs time: COLUMN."
            )
        return left_side.merge(right, how="left", on=keys)[list(op.columns)]
    times = _times(op, right)
    right = (
        right.drop(columns=[c for c in (op.time,) if c not in op.columns])
        .assign(**{TIME: times})
        .sort_values(TIME, kind="stable")
    )
    left_side[TIME] = pd.DatetimeIndex(pd.to_datetime(left_side[TIME], utc=True)).as_unit("us")
    tolerance = None if op.ttl is None else pd.Timedelta(op.ttl)
    matches = pd.merge_asof(
        left_side.sort_values(TIME, kind="stable"), right, on=TIME, by=keys, tolerance=tolerance
    )
    return matches.sort_values(_ROW)[list(op.columns)]


def _times(op: Join, right: pd.DataFrame) -> pd.DatetimeIndex:
    times = utc_times(right[op.time], f"join of '{op.table}': column '{op.time}'")
    if times.hasnans:
        raise DataError(
            f"join of '{op.table}': column '{op.time}' is null in "
            f"{np.count_nonzero(times.isna())} rows; remove or date them."
        )
    return times
