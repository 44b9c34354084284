"""Columns of a Parquet file that a user gives, as arrays; whatever is wrong is said with the file,
the row and the column.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from framework.data.arrays import Float64, Objects, Times
from framework.data.canonical_text import category_texts, key_texts
from framework.data.vocabulary import TIME
from framework.errors import DataError


def keys(table: pa.Table, name: str, where: str, start: int = 0) -> Objects:
    """The canonical texts of a key column; a null is refused. ``start``: the number of the table's
    first row in the file.
    """
    column = table[name]
    if column.null_count:
        row = int(np.flatnonzero(pc.is_null(column).to_numpy())[0])
        raise DataError(f"{where}: row {start + row}, column {name}: null; a key is needed.")
    return key_texts(_column(table, name), where)


def texts(table: pa.Table, name: str, where: str) -> Objects:
    """The canonical texts of a category, None for null."""
    try:
        return category_texts(_column(table, name))
    except DataError as error:
        raise DataError(f"{where}: {error}.") from None


def numbers(table: pa.Table, name: str, where: str) -> Float64:
    """The numbers of a column, NaN for null."""
    try:
        return np.asarray(table[name].cast(pa.float64()).to_numpy(), dtype=np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:  # no cast from such a type
        raise DataError(f"{where}: column {name} is not numeric: {error}.") from error


def times(table: pa.Table, where: str, start: int = 0) -> Times:
    """``event_timestamp``, UTC where it names no zone; a null is refused."""
    column = table[TIME]
    try:
        zoned = pa.types.is_timestamp(column.type) and column.type.tz is not None
        moments = column.cast(pa.timestamp("us", tz="UTC" if zoned else None)).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:  # no cast from such a type
        raise DataError(f"{where}: column {TIME} is not a time: {error}.") from error
    if np.isnat(moments).any():
        raise DataError(
            f"{where}: row {start + int(np.isnat(moments).argmax())}, column {TIME}: null."
        )
    return np.asarray(moments.astype("M8[us]"))


def _column(table: pa.Table, name: str) -> pd.Series[Any]:
    """As it is in the file: integers stay integers where there are nulls."""
    return pd.Series(pd.arrays.ArrowExtensionArray(table[name]), name=name)
