"""The grids of a pair: where the steps of its training series lie, and whether a time is on one.

Series of one frequency may lie on several grids, such as weeks that begin on Mondays and on
Sundays.
"""

from __future__ import annotations

import numpy as np

from framework.data.arrays import Flags, Times
from framework.data.frequency import Frequency
from framework.data.schema import Schema

#: A pair whose series lie on more grids than this keeps none, and no time is off its grid.
MOST_ANCHORS = 50
#: How many grids a message shows.
_SHOWN = 3


def find_anchors(frequency: Frequency, firsts: Times) -> tuple[str, ...]:
    """Return one time of each distinct grid, ISO 8601 in UTC; none where there are too many.

    Args:
        frequency: Of the panel.
        firsts: ``[series]``: a step of each series.
    """
    rest = np.unique(firsts)
    anchors: list[str] = []
    while len(rest):
        if len(anchors) == MOST_ANCHORS:
            return ()
        anchors.append(f"{rest[0].item().isoformat()}Z")
        rest = rest[_nearest(frequency, rest[0], rest) != rest]
    return tuple(anchors)


def off_grid(schema: Schema, times: Times) -> Flags:
    """Return ``[n]``: which times are on no grid of the pair; none for a pair that keeps no
    grid.
    """
    if not schema.anchors:
        return np.zeros(len(times), dtype=np.bool_)
    frequency = Frequency.parse(schema.frequency)
    on = [_nearest(frequency, anchor, times) == times for anchor in _anchors(schema)]
    return np.asarray(~np.any(on, axis=0), dtype=np.bool_)


def explain_off_grid(schema: Schema, time: np.datetime64) -> str:
    """Return why ``time`` is no step of the pair, with the nearest steps before it."""
    frequency = Frequency.parse(schema.frequency)
    times = np.array([time], dtype="M8[us]")
    steps = sorted(
        {_nearest(frequency, anchor, times)[0].item() for anchor in _anchors(schema)}, reverse=True
    )
    examples = " or ".join(f"{step.isoformat()}Z" for step in steps[:_SHOWN])
    more = f" (of {len(steps)} grids)" if len(steps) > _SHOWN else ""
    return (
        f"{times[0].item().isoformat()}Z is not on the grid of the pair, whose steps of "
        f"{schema.frequency} "
        f"are labelled by their start in UTC; the step before it is {examples}{more}"
    )


def _anchors(schema: Schema) -> list[np.datetime64]:
    return [np.datetime64(anchor.removesuffix("Z"), "us") for anchor in schema.anchors]


def _nearest(frequency: Frequency, anchor: np.datetime64, times: Times) -> Times:
    """The newest step at or before each time on the grid of ``anchor``."""
    starts = np.full(len(times), anchor, dtype="M8[us]")
    return frequency.shift(starts, frequency.steps_between(starts, times))
