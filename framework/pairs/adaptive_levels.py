"""Levels of prediction intervals that follow their own misses, origin by origin.

Gibbs & Candes 2021, "Adaptive conformal inference under distribution shift" (NeurIPS), with an
origin's windows as one observation: after each origin the level that is used moves by :data:`PACE`
times the share of misses in excess of the nominal one. The sum of the moves is bounded, hence the
mean excess over K origins is at most of the order 1 / (K x PACE), whatever the errors do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from framework.data.arrays import Float64, Rows, Times

#: Nominal levels, in per cent, whose adaptation is followed; others are interpolated between them.
FOLLOWED = np.array([50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 98.0, 99.0])
#: The share of an origin's excess of misses by which the level moves.
PACE = 0.2


@dataclass(frozen=True, slots=True)
class Scores:
    """Scaled errors of one target: of which window step, from which origin, known since when."""

    score: Float64  # [n]
    step: Rows  # [n], from 1
    origin: Times  # [n]
    known: Times  # [n]


def ranks(count: int | Rows, level: Float64) -> tuple[Rows, Rows]:
    """Places among ``count`` sorted scores, from 0, of the ends of central intervals of ``level``
    per cent; both broadcast.

    A new score that is exchangeable with these lies inside with at least that probability (Vovk et
    al. 2005); where the scores are too few for the level, the ends are the outermost ones.
    """
    tail = (1 - level / 100) / 2
    low = np.floor((count + 1) * tail + 1e-9)
    high = np.ceil((count + 1) * (1 - tail) - 1e-9)
    return (np.clip(low, 1, count) - 1).astype(np.int64), (np.clip(high, 1, count) - 1).astype(
        np.int64
    )


def highest_level(count: int) -> float:
    """The highest level, in per cent, that so many scores support; 0 when none."""
    return max(0.0, 100 * (1 - 2 / (count + 1)))


def adapted_levels(scores: Scores, pace: float = PACE) -> Float64:
    """The level to use for each of :data:`FOLLOWED` after the last origin, rising.

    At each origin the intervals come from the errors of origins whose windows had ended by then,
    and so does what is made up for.
    """
    levels = FOLLOWED.copy()
    origins, which = np.unique(scores.origin, return_inverse=True)
    ends = np.array([scores.known[which == k].max() for k in range(len(origins))])
    excess: list[Float64] = []
    count = 0
    for k, origin in enumerate(origins):
        while count < len(excess) and ends[count] <= origin:
            levels = levels + 100 * pace * excess[count]
            count += 1
        excess.append(_excess(scores, (ends <= origin)[which], which == k, levels))
    for late in excess[count:]:
        levels = levels + 100 * pace * late
    return np.maximum.accumulate(np.clip(levels, 0.0, 100.0))


def _excess(scores: Scores, past: np.ndarray, rows: np.ndarray, levels: Float64) -> Float64:
    """The share of the scores ``rows`` outside the intervals that the ``past`` ones give, less the
    nominal share, for each level.

    0 for a level that a step has too few past scores for: a level that cannot be reached is not to
    be raised for it.
    """
    missed, count = np.zeros(len(FOLLOWED)), np.zeros(len(FOLLOWED))
    for step in np.unique(scores.step[rows]):
        known = np.sort(scores.score[past & (scores.step == step)])
        able = highest_level(len(known)) >= FOLLOWED
        if not able.any():
            continue
        low, high = ranks(len(known), np.clip(levels, 0.0, 100.0))
        now = scores.score[rows & (scores.step == step)][:, None]
        missed += able * ((now < known[low]) | (now > known[high])).sum(axis=0)
        count += able * len(now)
    return np.where(count > 0, missed / np.maximum(count, 1) - (1 - FOLLOWED / 100), 0.0)
