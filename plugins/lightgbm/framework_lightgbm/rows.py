"""LightGBM's data of the rows that :mod:`framework.models.window_table` makes."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np

from framework.data.arrays import Float32, Float64
from framework.data.windows import WindowSet
from framework.models.window_sets import pieces_of
from framework.models.window_table import Tabular


class _Rows:
    """The rows of one target, a piece of windows at a time; the last piece is kept."""

    def __init__(self, table: Tabular, windows: WindowSet, target: int) -> None:
        self._table, self._windows, self._target = table, windows, target
        self._size = pieces_of(windows)
        self._last: tuple[int, tuple[Float32, Float64]] | None = None

    def starts(self) -> range:
        return range(0, len(self._windows), self._size)

    def piece(self, start: int) -> tuple[Float32, Float64]:
        """Make the rows and labels of the windows from ``start`` on."""
        if self._last is None or self._last[0] != start:
            windows = self._windows.gather(start, start + self._size)
            self._last = start, self._table.known_rows(windows, self._target)
        return self._last[1]


class _Piece(lightgbm.Sequence):
    """The rows of one piece."""

    def __init__(self, rows: _Rows, start: int, count: int) -> None:
        self._rows, self._start, self._count = rows, start, count
        self.batch_size = max(count, 1)  # all of them at once

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Float32 | Float64:
        rows: Float32 = self._rows.piece(self._start)[0][index]
        if isinstance(index, slice):
            return rows
        return rows.astype(np.float64)  # LightGBM keeps it, and it must keep no piece


class _InPieces(lightgbm.Dataset):
    """Data of many pieces. LightGBM draws the rows that it makes its bins of by ``seed``, as it
    does for an array; of its own it would leave that parameter out.
    """

    def get_params(self) -> dict[str, Any]:
        return dict(self.params or {})


def dataset(
    table: Tabular,
    windows: WindowSet,
    target: int,
    reference: lightgbm.Dataset | None,
    params: dict[str, Any],
    room: int,
) -> lightgbm.Dataset:
    """Make the binned rows of one target; of many rows in bounded memory, with the same bins.

    Args:
        table: How windows become rows.
        windows: The windows.
        target: The number of the target.
        reference: The training data, when these rows validate.
        params: LightGBM's parameters.
        room: Bytes of rows that may be made at once.

    Returns:
        The data, constructed.
    """
    rows = _Rows(table, windows, target)
    first, _ = rows.piece(0)
    if first.nbytes * len(rows.starts()) <= room:
        values, labels = table.table(windows, target)
        data = lightgbm.Dataset(values, labels, reference=reference, params=params)
        return data.construct()
    pieces, parts = [], []
    for start in rows.starts():
        values, labels = rows.piece(start)
        if len(labels):
            pieces.append(_Piece(rows, start, len(labels)))
            parts.append(labels)
    data = _InPieces(pieces, np.concatenate(parts), reference=reference, params=params)
    return data.construct()
