"""Facts about the targets in a panel's history: signs, zeros, seasons, length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from framework.data.arrays import Float64, Rows
from framework.data.panel import Panel
from framework.data.scratch import blocks

#: A seasonal naive forecast that is at most this many times worse than the best names a season too.
NEAR = 1.1
#: A usual gap from which demand is mostly 0, and an unevenness from which its sizes are unlike.
_GAP, _UNEVEN = 1.32, 0.49
Demand = Literal["smooth", "intermittent", "lumpy"]
#: Steps of the horizon that naive forecasts are compared at.
_STEPS = 8


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """One target. ``naive``: by season length the mean absolute error of its naive forecast over
    the horizon, in units of each series' change over one step; 1 is the last value. ``gap``: the
    steps from one value that is not 0 to the next (ADI), ``unevenness``: the squared coefficient of
    variation of these values; the medians over series.
    """

    lowest: float
    zeros: float
    naive: dict[int, float]
    gap: float = 1.0
    unevenness: float = 0.0

    @property
    def demand(self) -> Demand:
        """The kind of demand by the limits of Syntetos, Boylan & Croston (2005): ``intermittent``
        and ``lumpy`` targets are mostly 0, of sizes that are alike and unlike.
        """
        if self.signed or self.gap < _GAP:
            return "smooth"
        return "intermittent" if self.unevenness < _UNEVEN else "lumpy"

    @property
    def signed(self) -> bool:
        return self.lowest < 0

    @property
    def season(self) -> int:
        """The season whose naive forecast is best, 1 where the last value is."""
        return min(self.naive, key=lambda length: (self.naive[length], length))


@dataclass(frozen=True, slots=True)
class Facts:
    """A panel. ``length``: the median steps of a series; ``shortest``: those of the shortest."""

    rows: int
    series: int
    length: int
    shortest: int
    targets: dict[str, TargetFacts]

    @property
    def season(self) -> int:
        """The season of the first target."""
        return next(iter(self.targets.values())).season

    def seasons(self) -> tuple[int, ...]:
        """The season lengths that the data show, the best first; 1 is none."""
        first = next(iter(self.targets.values())).naive
        best = min(first.values())
        near = [n for n, error in first.items() if n > 1 and error <= NEAR * best]
        return tuple(sorted(near, key=lambda n: (first[n], n)))


def describe(
    panel: Panel, targets: Sequence[str], candidates: Sequence[int], horizon: int
) -> Facts:
    """Describe the rows of ``panel``.

    Args:
        panel: The history that may be looked at, its first columns the ``targets``.
        targets: Their names.
        candidates: Season lengths, in steps, that are compared.
        horizon: Steps ahead that are forecast.
    """
    lengths = np.diff(panel.offsets)
    return Facts(
        len(panel),
        len(lengths),
        int(np.median(lengths)),
        int(lengths.min()),
        {
            name: _describe_target(panel, panel.past[:, t], candidates, horizon)
            for t, name in enumerate(targets)
        },
    )


def _describe_target(
    panel: Panel, values: Float64, candidates: Sequence[int], horizon: int
) -> TargetFacts:
    lowest, zeros, count = np.inf, 0, 0
    for rows in blocks(len(values)):
        known = values[rows][np.isfinite(values[rows])]
        lowest = min(lowest, float(known.min(initial=np.inf)))
        zeros, count = zeros + int((known == 0).sum()), count + len(known)
    usual = int(np.median(np.diff(panel.offsets)))
    usable = [n for n in candidates if n > 1 and 2 * n < usual]
    return TargetFacts(
        lowest if count else 0.0,
        zeros / count if count else 0.0,
        _naive_errors(panel, values, (1, *usable), horizon),
        *_demand(panel, values),
    )


def _demand(panel: Panel, values: Float64) -> tuple[float, float]:
    """The usual gap between values that are not 0, and the usual unevenness of these."""
    gaps, unevenness = [], []
    for series in np.split(values, panel.offsets[1:-1]):
        known = series[np.isfinite(series)]
        sizes = known[known != 0]
        if len(sizes):
            gaps.append(len(known) / len(sizes))
            unevenness.append(float(sizes.var() / sizes.mean() ** 2) if sizes.mean() else 0.0)
    return (float(np.median(gaps)), float(np.median(unevenness))) if gaps else (1.0, 0.0)


def _naive_errors(
    panel: Panel, values: Float64, lengths: Sequence[int], horizon: int
) -> dict[int, float]:
    """By season length, the mean over series and over some steps of the horizon."""
    steps = np.unique(np.linspace(1, horizon, min(horizon, _STEPS)).astype(int))
    backs = {n: [n * -(-int(h) // n) for h in steps] for n in lengths}
    changes = {
        back: _mean_change(panel, values, back)
        for back in sorted({1, *(back for row in backs.values() for back in row)})
    }
    unit = changes[1]
    errors = {}
    for n, row in backs.items():
        mean = np.mean([changes[back] for back in row], axis=0)
        usable = np.isfinite(mean) & (unit > 0)
        errors[n] = float(np.mean(mean[usable] / unit[usable])) if usable.any() else np.inf
    return errors if np.isfinite(min(errors.values())) else {1: 1.0}


def _mean_change(panel: Panel, values: Float64, steps: int) -> Float64:
    """``[series]``, NaN where no change is known. Piece by piece: the changes of all rows would
    take several times the memory of the values.
    """
    parts = [np.zeros(0)]
    for first, last in panel.spans():
        offsets = panel.offsets[first : last + 1]
        piece = values[offsets[0] : offsets[-1]]
        parts.append(_changes(piece, offsets - offsets[0], steps))
    return np.concatenate(parts)


def _changes(values: Float64, offsets: Rows, steps: int) -> Float64:
    """The same of some series."""
    change = np.full(len(values), np.nan)
    change[steps:] = np.abs(values[steps:] - values[:-steps])
    place = np.arange(len(values)) - np.repeat(offsets[:-1], np.diff(offsets))
    change[place < steps] = np.nan
    known = np.isfinite(change)
    total = np.add.reduceat(np.where(known, change, 0.0), offsets[:-1])
    count = np.add.reduceat(known, offsets[:-1], dtype=np.int64)
    mean: Float64 = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return mean
