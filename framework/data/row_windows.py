"""Rows of a request to windows: the history of each entity, and the known columns of the steps
ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from framework.data.anchors import explain_off_grid, off_grid
from framework.data.arrays import Float64, Objects, Times
from framework.data.context import Context
from framework.data.frequency import Frequency
from framework.data.schema import Schema
from framework.data.vocabulary import OK, SHORT_HISTORY, TIME
from framework.errors import FieldError

Where = Callable[[str, int], str]


def cut_windows(
    schema: Schema, frequency: Frequency, static: Objects, times: Times, past: Float64, where: Where
) -> Context:
    """``[r, …]`` rows to one window per row (a context of one step) or per entity (longer; its last
    steps).
    """
    wrong = off_grid(schema, times)
    if wrong.any():
        row = int(wrong.argmax())
        raise FieldError(explain_off_grid(schema, times[row]), where(TIME, row))
    length = schema.context_length
    if length == 1:
        n = len(times)
        known = np.full((n, schema.horizon, len(schema.known)), np.nan)
        return Context(times, past[:, None, :], known, static, [OK] * n, [None] * n)
    starts = _check_order(schema, frequency, static, times, where)
    ends = np.append(starts[1:], len(times))
    counts = ends - starts
    long_enough = counts >= schema.needed_steps
    rows = ends[:, None] + np.arange(-length, 0)
    in_history = (rows >= starts[:, None]) & long_enough[:, None]
    windows = np.where(in_history[..., None], past[np.maximum(rows, 0)], np.nan)
    status = [OK if enough else SHORT_HISTORY for enough in long_enough]
    detail = [
        None if enough else f"{count} steps of history, {schema.needed_steps} needed"
        for count, enough in zip(counts, long_enough, strict=True)
    ]
    known = np.full((len(starts), schema.horizon, len(schema.known)), np.nan)
    return Context(times[ends - 1], windows, known, static[ends - 1], status, detail)


def _check_order(
    schema: Schema, frequency: Frequency, static: Objects, times: Times, where: Where
) -> Any:
    """The first row of each entity. Its rows must be consecutive, one a step, rising."""
    keys = static[:, : len(schema.entity_keys)]
    begins = np.append(True, (keys[1:] != keys[:-1]).any(axis=1))
    starts = np.flatnonzero(begins)
    entities: set[tuple[str, ...]] = set()
    for start in starts:
        entity = tuple(keys[start])
        if entity in entities:
            raise FieldError(
                f"the rows of {list(entity)} are not consecutive",
                where(schema.entity_keys[0], int(start)),
            )
        entities.add(entity)
    wrong = np.flatnonzero(~begins[1:] & (times[1:] != frequency.shift(times[:-1], 1))) + 1
    if len(wrong):
        row = int(wrong[0])
        before, now, expected = (
            times[row - 1],
            times[row],
            frequency.shift(times[row - 1 : row], 1)[0],
        )
        what = (
            "duplicate"
            if now == before
            else "unsorted"
            if now < before
            else "gap"
            if now > expected
            else "off the grid"
        )
        raise FieldError(
            f"{what}: {now} follows {before}, expected {expected} (frequency {schema.frequency})",
            where(TIME, row),
        )
    return starts


def future_values(
    schema: Schema, frequency: Frequency, context: Context, rows: Sequence[Any], steps: Times
) -> Float64:
    """``[n, H, K]``: for every window the rows of its entity at the steps after its origin.

    ``rows``: tuples of the entity keys, the time (``steps`` has it parsed) and the known columns.
    Every step must be there, once.
    """
    keys = len(schema.entity_keys)
    place: dict[tuple[Any, ...], int] = {}
    for i, step in enumerate(steps.astype(np.int64).tolist()):
        if place.setdefault((*rows[i][:keys], step), i) != i:
            raise FieldError(
                f"duplicate: {list(rows[i][:keys])} has this step already", f"future[{i}].{TIME}"
            )
    ahead = frequency.after(context.origins, schema.horizon)
    index = np.empty(ahead.shape, dtype=np.int64)
    for w, window in enumerate(ahead.astype(np.int64).tolist()):
        entity = tuple(context.static[w, :keys])
        for h, step in enumerate(window):
            match = place.get((*entity, step))
            if match is None:
                raise FieldError(
                    f"no row for {list(entity)} at {ahead[w, h]}, {schema.horizon} steps "
                    "after each origin are needed",
                    "future",
                )
            index[w, h] = match
    values = np.array([row[keys + 1 :] for row in rows], dtype=np.float64)
    return values[index]
