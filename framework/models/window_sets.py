"""The pieces, the strides and the labels of a set of windows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from framework.data.arrays import Float64
from framework.data.scratch import blocks
from framework.data.windows import WindowSet
from framework.errors import DataError

#: Rows in one piece while a table is built, and the bytes of narrow rows that a piece may have
#: instead: a library merges fewer pieces.
ROWS, BYTES = 65536, 8 * 2**20


def pieces_of(windows: WindowSet) -> int:
    """Say how many windows make a piece of about :data:`ROWS` rows, or of :data:`BYTES` when those
    are more.

    Args:
        windows: The windows.

    Returns:
        The number of windows, at least 1.
    """
    arrays = windows.arrays
    width = (
        windows.context_length * arrays.past.shape[1]
        + arrays.static.shape[1]
        + arrays.future.shape[1]
        + 1
    )
    rows: int = max(ROWS, BYTES // (4 * width))
    return max(1, rows // windows.horizon)


def strided(windows: WindowSet, stride: int) -> WindowSet:
    """Thin out origins.

    Args:
        windows: The windows.
        stride: How far apart the origins are that stay.

    Returns:
        Every ``stride``-th window.
    """
    return WindowSet(
        windows.arrays, windows.origins[::stride], windows.context_length, windows.horizon
    )


def drawn(windows: WindowSet, most: int | None, seed: int) -> WindowSet:
    """Draw windows at random.

    Args:
        windows: The windows.
        most: How many are drawn, where there are more; None: all stay.
        seed: The same one draws the same windows of the same rows.

    Returns:
        The drawn windows, in their order.
    """
    if most is None or len(windows) <= most:
        return windows
    generator = np.random.default_rng(seed)
    places = np.sort(generator.choice(len(windows), most, replace=False, shuffle=False))
    return WindowSet(
        windows.arrays, windows.origins[places], windows.context_length, windows.horizon
    )


def has_label(windows: WindowSet, target: int) -> bool:
    """Say whether any window knows a value of a target.

    Args:
        windows: The windows.
        target: The number of the target.

    Returns:
        True when one does.
    """
    return any(len(values) for values in _labels(windows, target))


def lowest_label(windows: WindowSet, target: int, model: str, name: str) -> float:
    """Find the lowest label of a target.

    Args:
        windows: The windows.
        target: The number of the target.
        model: The model's name, for the message.
        name: The target's name, for the message.

    Returns:
        The label, in the target's unit.

    Raises:
        DataError: The windows know no value of it.
    """
    lowest = [float(values.min()) for values in _labels(windows, target) if len(values)]
    if not lowest:
        raise DataError(
            f"{model}: target '{name}' has no value in the training windows; check the source."
        )
    return min(lowest)


def _labels(windows: WindowSet, target: int) -> Iterator[Float64]:
    """The known values of ``target`` that the windows are to learn, each once, in pieces."""
    flags = windows.reached(1, windows.horizon)
    for rows in blocks(len(flags)):
        values = windows.arrays.target[rows, target][flags[rows]]
        yield values[~np.isnan(values)]
