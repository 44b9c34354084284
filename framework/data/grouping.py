"""Rows of tables by series, also where a series has no key: then all rows are its."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from framework.data.arrays import Objects, Rows, Times

if TYPE_CHECKING:
    import pandas as pd


#: Rows that are numbered at a time.
_PIECE = 500_000


def series_numbers(keys: Sequence[str], *tables: pd.DataFrame) -> list[Rows]:
    """Return the number of each row's series, the same number for the same keys in every table.

    Args:
        keys: The key columns, which each table has; none for one series without a key.
        tables: Long tables.

    Returns:
        One array ``[rows]`` for each table.
    """
    import pandas as pd

    ends = list(accumulate((len(table) for table in tables), initial=0))
    numbers: Rows = np.zeros(ends[-1], dtype=np.int64)
    if keys and len(numbers):
        keys_table = pd.concat([table[list(keys)] for table in tables], ignore_index=True)
        numbers = np.asarray(keys_table.groupby(list(keys), sort=False).ngroup(), dtype=np.int64)
    return [numbers[start:stop] for start, stop in pairwise(ends)]


def entity_numbers(entities: Objects) -> Rows:
    """Return the number of each row's series, the same number for the same keys.

    Args:
        entities: ``[rows, keys]`` of text; without a key column, all rows are of one series.

    Returns:
        ``[rows]``, from 0.
    """
    if not entities.shape[1]:
        return np.zeros(len(entities), dtype=np.int64)
    numbers = np.unique(entities.astype(str), axis=0, return_inverse=True)[1]
    return np.asarray(numbers.reshape(-1), dtype=np.int64)


def time_numbers(times: Times) -> tuple[Times, Rows]:
    """Number the distinct times of a long array, piece by piece: sorting it whole takes several
    times its memory.

    Args:
        times: ``[rows]``.

    Returns:
        The distinct times in order, and ``[rows]``: the number of each row's, from 0.
    """
    pieces = [slice(i, i + _PIECE) for i in range(0, len(times), _PIECE)]
    distinct = np.unique(np.concatenate([times[:0], *(np.unique(times[one]) for one in pieces)]))
    numbers = np.empty(len(times), dtype=np.int64)
    for one in pieces:
        numbers[one] = np.searchsorted(distinct, times[one])
    return distinct, numbers


def entities_of(keys: Sequence[str], rows: pd.DataFrame) -> pd.DataFrame:
    """List the keys of every series in a table.

    Args:
        keys: The key columns; none for one series without a key.
        rows: A long table.

    Returns:
        Each series once; one row without a column for a series without a key.
    """
    import pandas as pd

    if keys:
        return rows[list(keys)].drop_duplicates(ignore_index=True)
    return pd.DataFrame(index=range(min(len(rows), 1)))
