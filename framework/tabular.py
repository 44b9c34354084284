"""Windows as the rows of a table: what a model that knows nothing of time, such as a booster, is trained on.

One row for each window and step ahead; the step is a column, so that one model answers the whole horizon directly.
"""

from __future__ import annotations

import numpy as np

from framework.errors import DataError
from framework.interfaces.values import Float32, Float64, Windows
from framework.interfaces.windows import WindowSet

#: Rows in one piece while a table is built.
ROWS = 65536


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


def known_rows(windows: Windows, target: int) -> tuple[Float32, Float64]:
    """The rows whose label of ``target`` is known, and the labels."""
    assert windows.target is not None  # training windows have them
    labels = windows.target[:, :, target].ravel()
    known = ~np.isnan(labels)
    return features(windows)[known], labels[known]


def pieces_of(windows: WindowSet) -> int:
    """How many windows make a piece of about :data:`ROWS` rows."""
    return max(1, ROWS // windows.horizon)


def table(windows: WindowSet, target: int) -> tuple[Float32, Float64]:
    """All of :func:`known_rows` of a window set, at once in memory."""
    parts = [known_rows(piece, target) for piece in windows.batches(pieces_of(windows))]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def strided(windows: WindowSet, stride: int) -> WindowSet:
    """Every ``stride``-th origin."""
    return WindowSet(windows.arrays, windows.origins[::stride], windows.context_length, windows.horizon)


def has_label(windows: WindowSet, target: int) -> bool:
    """Whether any window knows a value of ``target``."""
    return any(batch.target is not None and not np.isnan(batch.target[:, :, target]).all() for batch in windows.batches(8192))


def lowest_label(windows: WindowSet, target: int, model: str, name: str) -> float:
    """The lowest label of target number ``target``. Raises :class:`DataError` when ``name`` has none."""
    lowest = np.inf
    for batch in windows.batches(8192):
        assert batch.target is not None  # training windows have them
        labels = batch.target[:, :, target]
        if not np.isnan(labels).all():
            lowest = min(lowest, float(np.nanmin(labels)))
    if not np.isfinite(lowest):
        raise DataError(f"{model}: target '{name}' has no value in the training windows; check the source.")
    return lowest
