"""A panel from the rows of a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from framework.data.arrays import Float64, Objects, Times
from framework.data.canonical_text import category_texts, key_texts
from framework.data.frequency import Frequency
from framework.data.grid import check_order, places, spread
from framework.data.panel import Panel
from framework.data.vocabulary import (
    TIME,
    GapPolicy,
)
from framework.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


#: What is said of a table without rows.
NO_ROWS = "panel: no rows; ingest a source that has some, or look at its filters."


@dataclass(frozen=True, slots=True)
class RowArrays:
    """The columns of a long table as arrays, before its rows are checked."""

    times: Times  # [rows]
    keys: Objects  # [rows, E] str
    numbers: Float64  # [rows, P + K]
    texts: Objects  # [rows, categories]


def panel_from_rows(
    rows: pd.DataFrame,
    *,
    entity_keys: Sequence[str],
    past: Sequence[str],
    known: Sequence[str],
    categories: Sequence[str],
    frequency: Frequency,
    gaps: GapPolicy = "refuse",
) -> Panel:
    """Check a long table and turn it into a panel.

    Args:
        rows: Entity keys, ``event_timestamp`` (UTC) and the named columns, sorted by entity and
            time, no key twice, one row a step.
        entity_keys: The key columns.
        past: Numeric columns that are observed up to an origin, the targets first.
        known: Numeric columns that are known in advance.
        categories: Text columns that describe a series at a step.
        frequency: How far apart steps are.
        gaps: ``refuse`` a table that lacks steps, or ``insert`` null rows in their places.

    Returns:
        The panel.

    Raises:
        DataError: The table is not so; the message names the first series and step.
    """
    arrays = row_arrays(rows, entity_keys, [*past, *known], categories)
    return panel_from_arrays(arrays, entity_keys, past, known, categories, frequency, gaps)


def row_arrays(
    rows: pd.DataFrame,
    entity_keys: Sequence[str],
    numbers: Sequence[str],
    categories: Sequence[str],
) -> RowArrays:
    """Take the columns out of a long table; the table can be let go before a panel is made.

    Args:
        rows: The table.
        entity_keys: The key columns.
        numbers: The numeric columns.
        categories: The text columns.

    Returns:
        The arrays.

    Raises:
        DataError: A column is missing, null or of another kind.
    """
    import pandas as pd

    columns = [*entity_keys, TIME, *numbers, *categories]
    missing_columns = [c for c in columns if c not in rows.columns]
    if missing_columns:
        raise DataError(
            f"panel: missing columns {missing_columns}; the rows have {list(rows.columns)}."
        )
    if not len(rows):
        raise DataError(NO_ROWS)
    try:
        stamps = pd.to_datetime(rows[TIME], utc=True, format="ISO8601")
    except (TypeError, ValueError) as error:
        reason = str(error).partition(". You might")[0]
        raise DataError(f"panel: {TIME} is not a time ({reason}); give ISO 8601, UTC.") from error
    if bool(stamps.isna().any()):
        raise DataError(
            f"panel: {int(stamps.isna().sum())} rows without an {TIME}; remove or date them."
        )
    times = stamps.dt.tz_localize(None).to_numpy().astype("M8[us]")
    keys = _columns([key_texts(rows[key], "panel") for key in entity_keys], len(rows))
    if np.equal(keys, None).any():  # type: ignore[call-overload]
        raise DataError(f"panel: null in {list(entity_keys)}; every row needs its keys.")
    texts = _columns([category_texts(rows[c]) for c in categories], len(rows))
    return RowArrays(times, keys, _numbers(rows, [*numbers]), texts)


def panel_from_arrays(
    arrays: RowArrays,
    entity_keys: Sequence[str],
    past: Sequence[str],
    known: Sequence[str],
    categories: Sequence[str],
    frequency: Frequency,
    gaps: GapPolicy,
) -> Panel:
    """Check rows and make a panel of them, as :func:`panel_from_rows` does.

    Args:
        arrays: What :func:`row_arrays` gives, the numbers of ``past`` first.
        entity_keys: The key columns.
        past: Numeric columns that are observed up to an origin, the targets first.
        known: Numeric columns that are known in advance.
        categories: Text columns.
        frequency: How far apart steps are.
        gaps: ``refuse`` or ``insert``.

    Returns:
        The panel.

    Raises:
        DataError: The rows are no panel.
    """
    times, keys, numbers, texts = arrays.times, arrays.keys, arrays.numbers, arrays.texts
    offsets = check_order(keys, times, entity_keys)
    place, size = places(keys, times, offsets, frequency, gaps, entity_keys)
    if place is not None:
        offsets, times, keys, numbers, texts = spread(
            place, size, offsets, times, keys, numbers, texts, frequency
        )
    starts = offsets[:-1]
    split = len(past)
    return Panel(
        tuple(entity_keys),
        frequency,
        offsets,
        keys[starts],
        times,
        np.ascontiguousarray(numbers[:, :split]),
        np.ascontiguousarray(numbers[:, split:]),
        np.concatenate([keys, texts], axis=1),
        tuple(past),
        tuple(known),
        (*entity_keys, *categories),
    )


def _columns(columns: Sequence[Objects], rows: int) -> Objects:
    """``[rows, columns]``, also of no column."""
    out = np.empty((rows, len(columns)), dtype=object)
    for i, column in enumerate(columns):
        out[:, i] = column
    return out


def _numbers(rows: pd.DataFrame, columns: list[str]) -> Float64:
    out = np.empty((len(rows), len(columns)))
    for i, column in enumerate(columns):
        try:
            out[:, i] = rows[column].to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"panel: column '{column}' is not numeric ({error}); declare it under "
                "categories or mend it."
            ) from error
    return out
