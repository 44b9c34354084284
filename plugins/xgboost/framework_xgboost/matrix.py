"""The matrix that boosters see: one row for each window and step ahead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xgboost

from framework.interfaces.values import Float32, Float64, Windows
from framework.interfaces.windows import WindowSet

#: Rows in one piece while a matrix is built.
_ROWS = 65536


def features(windows: Windows) -> Float32:
    """``[n * H, L * F + S' + K' + 1]``: the past (oldest step first), static, the step's future columns, the step (1 to H)."""
    n, horizon, known = windows.future.shape
    past = windows.past.shape[1] * windows.past.shape[2]
    split = past + windows.static.shape[1]
    out = np.empty((n, horizon, split + known + 1), dtype=np.float32)
    out[:, :, :past] = windows.past.reshape(n, 1, past)
    out[:, :, past:split] = windows.static[:, None, :]
    out[:, :, split:-1] = windows.future
    out[:, :, -1] = np.arange(1, horizon + 1)
    return out.reshape(n * horizon, split + known + 1)


class _Pieces(xgboost.DataIter):
    """Hands XGBoost the rows of one target piece by piece, so that all of them never exist as floats at once."""

    def __init__(self, windows: WindowSet, target: int) -> None:
        self._windows, self._target = windows, target
        self._size = max(1, _ROWS // windows.horizon)
        self._start = 0
        super().__init__()

    def reset(self) -> None:
        self._start = 0

    def next(self, input_data: Callable[..., Any]) -> bool:
        while self._start < len(self._windows):
            piece = self._windows.gather(self._start, self._start + self._size)
            self._start += self._size
            rows, labels = known_rows(piece, self._target)
            if len(labels):
                input_data(data=rows, label=labels)
                return True
        return False


def known_rows(windows: Windows, target: int) -> tuple[Float32, Float64]:
    """The rows whose label of ``target`` is known, and the labels."""
    assert windows.target is not None  # training windows have them
    labels = windows.target[:, :, target].ravel()
    known = ~np.isnan(labels)
    return features(windows)[known], labels[known]


def train_matrix(windows: WindowSet, target: int, max_bin: int, reference: xgboost.DMatrix | None, nthread: int | None) -> xgboost.QuantileDMatrix:
    """Binned matrix of one target, in bounded memory; ``reference`` is the training matrix when this one validates."""
    return xgboost.QuantileDMatrix(_Pieces(windows, target), max_bin=max_bin, ref=reference, nthread=nthread)


def plain_matrix(windows: WindowSet, target: int, nthread: int | None) -> xgboost.DMatrix:
    """The same as one matrix of floats, for tree methods that do not bin beforehand."""
    pieces = [known_rows(piece, target) for piece in windows.batches(max(1, _ROWS // windows.horizon))]
    return xgboost.DMatrix(np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces]), nthread=nthread)
