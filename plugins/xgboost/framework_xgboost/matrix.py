"""XGBoost's matrices of the rows that :mod:`framework.tabular` makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import xgboost

from framework.interfaces.windows import WindowSet
from framework.tabular import Tabular, pieces_of


class _Pieces(xgboost.DataIter):
    """Hands XGBoost the rows of one target piece by piece, so that all of them never exist as floats at once."""

    def __init__(self, table: Tabular, windows: WindowSet, target: int) -> None:
        self._table, self._windows, self._target = table, windows, target
        self._size = pieces_of(windows)
        self._start = 0
        super().__init__()

    def reset(self) -> None:
        self._start = 0

    def next(self, input_data: Callable[..., Any]) -> bool:
        while self._start < len(self._windows):
            piece = self._windows.gather(self._start, self._start + self._size)
            self._start += self._size
            rows, labels = self._table.known_rows(piece, self._target)
            if len(labels):
                input_data(data=rows, label=labels)
                return True
        return False


def train_matrix(
    table: Tabular, windows: WindowSet, target: int, max_bin: int, reference: xgboost.DMatrix | None, nthread: int | None
) -> xgboost.QuantileDMatrix:
    """Binned matrix of one target, in bounded memory; ``reference`` is the training matrix when this one validates."""
    return xgboost.QuantileDMatrix(_Pieces(table, windows, target), max_bin=max_bin, ref=reference, nthread=nthread)


def plain_matrix(table: Tabular, windows: WindowSet, target: int, nthread: int | None) -> xgboost.DMatrix:
    """The same as one matrix of floats, for tree methods that do not bin beforehand."""
    rows, labels = table.table(windows, target)
    return xgboost.DMatrix(rows, labels, nthread=nthread)
