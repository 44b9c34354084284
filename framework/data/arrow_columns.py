"""Columns of Arrow tables as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from framework.data.arrays import Rows, Times

if TYPE_CHECKING:
    import pyarrow as pa


def coded(column: pa.ChunkedArray) -> tuple[Rows, pa.Array]:
    """``[rows]`` places in the distinct values, and these; -1 for null."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    values = pa.table([column], ["c"]).unify_dictionaries()["c"].combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # no chunk at all
        values = pa.array([], column.type)
    return values.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(
        np.int64
    ), values.dictionary


def moments(column: pa.ChunkedArray) -> Times:
    """UTC, microseconds."""
    return np.asarray(column.to_numpy()).astype("M8[us]")
