"""Training windows as those of a series without history."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from framework.data.windows import Windows

#: Of so many windows one is learned as that of a series without history, too. No multiple of a
#: day, a week or a year.
COLD_STRIDE = 5


def with_cold(
    windows: Windows, own: Sequence[int], unknown: Sequence[tuple[int, float]]
) -> Windows:
    """Add every :data:`COLD_STRIDE`-th window once more, its own values null; every other of these
    is of a series that training does not know.

    Args:
        windows: Windows with their targets.
        own: The places of the past features that are a target or made of one.
        unknown: Place and value of the static features of a series that training does not know.

    Returns:
        All windows, the added ones last.
    """
    part = slice(0, None, COLD_STRIDE)
    assert windows.target is not None  # training windows have them
    static = windows.static[part].copy()
    for place, value in unknown:
        static[::2, place] = value
    past = windows.past[part].copy()
    past[:, :, list(own)] = np.nan
    history = np.full_like(windows.target_past[part], np.nan)
    return Windows(
        np.concatenate([windows.target_past, history]),
        np.concatenate([windows.past, past]),
        np.concatenate([windows.future, windows.future[part]]),
        np.concatenate([windows.static, static]),
        np.concatenate([windows.target, windows.target[part]]),
    )
