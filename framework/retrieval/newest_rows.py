"""Versions of rows: tables sorted by identity, of which the newest version of each row is read.
Arrow tables, as columns of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from framework.data.arrow_columns import coded, moments
from framework.data.vocabulary import TIME
from framework.features.views import View

if TYPE_CHECKING:
    import pyarrow as pa


def newest_versions(view: View, rows: pa.Table, known_at: datetime | None) -> pa.Table:
    """Keep one row for each key and time: the version created last.

    Args:
        view: The view.
        rows: Its rows, sorted by identity.
        known_at: Only versions created at or before this time (UTC); None: all.

    Returns:
        The rows, sorted by key and time.
    """
    if view.created is None:
        return rows
    if known_at is not None:
        rows = rows.filter(
            moments(rows[view.created])
            <= np.datetime64(known_at.astimezone(UTC).replace(tzinfo=None), "us")
        )
    return last_of_runs(rows, (*view.entity, TIME))


def last_of_runs(rows: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Keep the last of neighbouring rows that are equal in some columns.

    Args:
        rows: The rows.
        columns: The columns.

    Returns:
        The rows that are left.
    """
    ends = np.ones(rows.num_rows, dtype=bool)
    for i, column in enumerate(columns):
        changed = _changes(rows[column])[1:]
        ends[:-1] = changed if i == 0 else ends[:-1] | changed
    return rows if ends.all() else rows.filter(ends)


def _changes(column: pa.ChunkedArray) -> np.ndarray:
    """``[rows]``: whether a row differs from the one before it."""
    import pyarrow as pa

    values = moments(column) if pa.types.is_timestamp(column.type) else coded(column)[0]
    changed = np.ones(len(values), dtype=bool)
    changed[1:] = values[1:] != values[:-1]
    return changed
