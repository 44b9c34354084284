"""XGBoost's matrices of the rows that :mod:`framework.models.window_table` makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import xgboost

from framework.data.arrays import Float32, Float64
from framework.data.windows import WindowSet
from framework.models.scratch_folder import ScratchFolder
from framework.models.window_sets import pieces_of
from framework.models.window_table import Tabular

#: So many pieces are one page of a matrix in files.
PAGE = 8


class _Pieces(xgboost.DataIter):
    """Hands XGBoost the rows of one target piece by piece, so that all of them never exist as
    floats at once.
    """

    def __init__(
        self,
        table: Tabular,
        windows: WindowSet,
        target: int,
        room: int,
        folder: ScratchFolder | None = None,
    ) -> None:
        self._table, self._windows, self._target = table, windows, target
        self._size = pieces_of(windows) * (1 if folder is None else PAGE)
        self._start, self._room = 0, room
        self._kept: dict[int, tuple[Float32, Float64]] = {}
        super().__init__(None if folder is None else str(folder.path / "page"))

    def reset(self) -> None:
        self._start = 0

    def next(self, input_data: Callable[..., Any]) -> bool:
        while self._start < len(self._windows):
            rows, labels = self._piece(self._start)
            self._start += self._size
            if len(labels):
                input_data(data=rows, label=labels)
                return True
        return False

    def _piece(self, start: int) -> tuple[Float32, Float64]:
        if start in self._kept:
            return self._kept[start]
        rows = self._table.known_rows(self._windows.gather(start, start + self._size), self._target)
        if rows[0].nbytes <= self._room:
            self._kept[start] = rows
            self._room -= rows[0].nbytes
        return rows


def train_matrix(
    table: Tabular,
    windows: WindowSet,
    target: int,
    max_bin: int,
    reference: xgboost.DMatrix | None,
    nthread: int | None,
    room: int,
) -> xgboost.QuantileDMatrix:
    """Binned matrix of one target, in bounded memory: ``room`` bytes of its rows are held, what is
    above them is made anew for each of XGBoost's passes. ``reference`` is the training matrix when
    this one validates.
    """
    pieces = _Pieces(table, windows, target, room)
    return xgboost.QuantileDMatrix(pieces, max_bin=max_bin, ref=reference, nthread=nthread)


def external_matrix(
    table: Tabular,
    windows: WindowSet,
    target: int,
    max_bin: int,
    reference: xgboost.DMatrix | None,
    nthread: int | None,
) -> xgboost.ExtMemQuantileDMatrix:
    """The same in files, which are removed with the matrix: one page of bins is in memory at a
    time.
    """
    folder = ScratchFolder(windows.arrays.scratch)
    pieces = _Pieces(table, windows, target, 0, folder)
    matrix = xgboost.ExtMemQuantileDMatrix(pieces, max_bin=max_bin, ref=reference, nthread=nthread)
    matrix.folder = folder
    return matrix


def plain_matrix(
    table: Tabular, windows: WindowSet, target: int, nthread: int | None
) -> xgboost.DMatrix:
    """The same as one matrix of floats, for tree methods that do not bin beforehand."""
    rows, labels = table.table(windows, target)
    return xgboost.DMatrix(rows, labels, nthread=nthread)
