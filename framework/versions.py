"""Versions of rows: tables sorted by identity, of which the newest version of each row is read. Arrow tables, as columns of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from framework.interfaces.values import TIME, Times
from framework.interfaces.views import View
from framework.interfaces.windows import Rows

if TYPE_CHECKING:
    import pyarrow as pa


def newest_versions(view: View, rows: pa.Table, known_at: datetime | None) -> pa.Table:
    """One row for each key and time: the version created last, at or before ``known_at``. ``rows`` are sorted by identity."""
    if view.created is None:
        return rows
    if known_at is not None:
        rows = rows.filter(moments(rows[view.created]) <= np.datetime64(known_at.astimezone(UTC).replace(tzinfo=None), "us"))
    return last_of_runs(rows, (*view.entity, TIME))


def last_of_runs(rows: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The last of the neighbouring rows that are equal in ``columns``."""
    ends = np.ones(rows.num_rows, dtype=bool)
    for i, column in enumerate(columns):
        changed = _changes(rows[column])[1:]
        ends[:-1] = changed if i == 0 else ends[:-1] | changed
    return rows if ends.all() else rows.filter(ends)


def coded(column: pa.ChunkedArray) -> tuple[Rows, pa.Array]:
    """``[rows]`` places in the distinct values, and these; -1 for null."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    merged = pa.table([column], ["c"]).unify_dictionaries()["c"].combine_chunks()
    if isinstance(merged, pa.ChunkedArray):  # no chunk at all
        merged = pa.array([], column.type)
    return merged.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64), merged.dictionary


def _changes(column: pa.ChunkedArray) -> np.ndarray:
    """``[rows]``: whether a row differs from the one before it."""
    import pyarrow as pa

    values = moments(column) if pa.types.is_timestamp(column.type) else coded(column)[0]
    changed = np.ones(len(values), dtype=bool)
    changed[1:] = values[1:] != values[:-1]
    return changed


def moments(column: pa.ChunkedArray) -> Times:
    """UTC, microseconds."""
    return np.asarray(column.to_numpy()).astype("M8[us]")
