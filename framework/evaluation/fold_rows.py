"""The part of a panel that one fold of a backtest needs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from framework.data.arrays import Float64, Objects, Times
from framework.data.context import Context
from framework.data.panel import Panel
from framework.evaluation.metrics import naive_scale, naive_square


@dataclass(frozen=True, slots=True)
class FoldWindows:
    """Windows that are forecast from one origin, as the model and the baseline see them."""

    entities: Objects  # [n, E] str
    origins: Times  # [n]
    context: Context
    baseline: Context


@dataclass(frozen=True, slots=True)
class FoldRows:
    """Everything that a worker gets which shares no memory with this process.

    ``scales``: the denominators of MASE and RMSSE by series, ``[2, T]`` each. What came after the
    origin is not in it: forecasts are compared with that where the panel is.
    """

    train: Panel
    scales: dict[tuple[str, ...], Float64]
    windows: tuple[FoldWindows, ...]


def training_rows(panel: Panel, first: np.datetime64, cutoff: np.datetime64) -> Panel:
    """Cut out what a fit learns from.

    Args:
        panel: The panel, as it was known at the fold's origin.
        first: The first step that is learned from (UTC).
        cutoff: The last one (UTC).

    Returns:
        The rows alone: nothing of later steps, and nothing that only windows need.
    """
    rows = panel.between(first, cutoff)
    return replace(rows, vintages={}, ahead=None, held={}, ageless=None)


def naive_scales(
    panel: Panel, cutoff: np.datetime64, targets: int, season_length: int
) -> dict[tuple[str, ...], Float64]:
    """Measure the naive forecasts of each series up to the cutoff, however few of these rows a fit
    learns from.

    Args:
        panel: The panel, as it was known at the fold's origin.
        cutoff: The last step that counts (UTC).
        targets: How many targets there are.
        season_length: The season of MASE, in steps.

    Returns:
        ``[2, T]`` by series: the denominators of MASE and RMSSE.
    """
    scales: dict[tuple[str, ...], Float64] = {}
    for piece in panel.targets_alone(targets).pieces():
        history = piece.until(cutoff)
        if len(history):
            values = [naive_scale(history, targets, season_length), naive_square(history, targets)]
            scales |= zip(map(tuple, history.entities), np.stack(values, axis=1), strict=True)
    return scales
