"""The grid of a panel: rows in order, one a step, each on a step of its series; gaps refused or
filled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from framework.data.arrays import Float64, Objects, Rows, Times
from framework.data.frequency import Frequency
from framework.data.vocabulary import TIME, GapPolicy
from framework.errors import DataError

#: A single gap may have so many steps, or as many as there are rows, whichever is more.
LONGEST_GAP = 1000
_ONE_ROW = "keep one row a step"
#: All gaps together may have so many steps, or a hundred for each row, whichever is more.
MOST_INSERTED = 1_000_000


def check_order(keys: Objects, times: Times, entity_keys: Sequence[str]) -> Rows:
    """Find where each series begins, and where the last one ends.

    Raises :class:`DataError` for rows that are not sorted by series and time, and for a time that a
    series has twice.
    """
    changed = np.any(keys[1:] != keys[:-1], axis=1)
    starts = np.concatenate([[0], np.flatnonzero(changed) + 1]).astype(np.int64)
    firsts = [tuple(keys[s]) for s in starts]
    if len(set(firsts)) < len(firsts):
        repeat = next(int(s) for i, s in enumerate(starts) if firsts[i] in firsts[:i])
        raise DataError(
            f"panel: unsorted: series {_name(keys, repeat, entity_keys)} begins again at row "
            f"{repeat}; sort by entity and {TIME}."
        )
    same = np.ones(len(times), dtype=bool)
    same[starts] = False
    step = np.zeros(len(times), dtype="m8[us]")
    step[1:] = times[1:] - times[:-1]
    for bad, what, next_step in (
        (same & (step == np.timedelta64(0, "us")), "duplicate", _ONE_ROW),
        (same & (step < np.timedelta64(0, "us")), "unsorted", f"sort by entity and {TIME}"),
    ):
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            series = _name(keys, row, entity_keys)
            where = f"{times[row]} in series {series} (row {row}, {int(bad.sum())} in all)"
            has_clock = next_step == _ONE_ROW and times[row] != times[row].astype("M8[D]")
            clock = "; a clock that is put back needs the table's time_zone" if has_clock else ""
            raise DataError(f"panel: {what} {TIME} {where}; {next_step}{clock}.")
    return np.concatenate([starts, [len(times)]]).astype(np.int64)


def places(
    keys: Objects,
    times: Times,
    offsets: Rows,
    frequency: Frequency,
    gaps: GapPolicy,
    entity_keys: Sequence[str],
) -> tuple[Rows | None, Rows]:
    """The place of each row on its series' grid, None when all grids are full, and their lengths.

    Raises :class:`DataError` for a row off the grid, and for gaps that are refused or too long to
    fill: before the memory for them is taken.
    """
    counts = np.diff(offsets)
    origin = np.repeat(times[offsets[:-1]], counts)
    place = np.arange(len(times)) - np.repeat(offsets[:-1], counts)
    no_label = ~frequency.labels(times)
    if no_label.any():
        row = int(np.flatnonzero(no_label)[0])
        raise DataError(
            f"panel: {times[row]} in series {_name(keys, row, entity_keys)} is not "
            f"{frequency.what_a_label_is(times[row])}."
        )
    if bool((frequency.shift(origin, place) == times).all()):
        return None, counts
    place = frequency.steps_between(origin, times)
    off = frequency.shift(origin, place) != times
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise DataError(
            f"panel: {times[row]} in series {_name(keys, row, entity_keys)} is not on the "
            f"{frequency.alias} grid that begins {origin[row]}; mend it or set {frequency.path}."
        )
    gap_counts = np.maximum(np.diff(place, prepend=place[0]) - 1, 0)
    if gaps == "refuse":
        row = int(np.flatnonzero(gap_counts)[0])
        raise DataError(
            f"panel: gap in {_gap(keys, times, row, entity_keys)} at frequency {frequency.alias}, "
            f"{_steps(gap_counts[row])} missing ({int(gap_counts.sum()):,} in all gaps); "
            "add the steps or set panel.gaps=insert."
        )
    _refuse_endless(keys, times, gap_counts, entity_keys)
    return place, place[offsets[1:] - 1] + 1


def _refuse_endless(keys: Objects, times: Times, gaps: Rows, entity_keys: Sequence[str]) -> None:
    """Raise :class:`DataError` for gaps that a wrong date explains better than a pause."""
    row, total = int(gaps.argmax()), int(gaps.sum())
    longest, most = max(LONGEST_GAP, len(times)), max(MOST_INSERTED, 100 * len(times))
    if gaps[row] > longest:
        raise DataError(
            f"panel: {_gap(keys, times, row, entity_keys)}: {gaps[row]:,} rows would be "
            "inserted "
            f"beside {len(times):,} given ones, more than {longest:,} for one gap; "
            "mend or remove the row with the wrong time, or give the steps in the source."
        )
    if total > most:
        raise DataError(
            f"panel: {total:,} rows would be inserted beside {len(times):,} given ones, more than "
            f"{most:,}, the longest gap in {_gap(keys, times, row, entity_keys)}; "
            "choose longer steps, or give the steps in the source."
        )


def spread(
    place: Rows,
    size: Rows,
    offsets: Rows,
    times: Times,
    keys: Objects,
    numbers: Float64,
    texts: Objects,
    frequency: Frequency,
) -> tuple[Rows, Times, Objects, Float64, Objects]:
    """Put the rows on full grids.

    The numbers of inserted rows are null, their texts those of the row before.
    """
    full = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    target = np.repeat(full[:-1], np.diff(offsets)) + place
    source = np.zeros(full[-1], dtype=np.int64)
    source[target] = np.arange(len(times))
    source = np.maximum.accumulate(source)
    values = np.full((full[-1], numbers.shape[1]), np.nan)
    values[target] = numbers
    steps = np.arange(full[-1]) - np.repeat(full[:-1], size)
    grid = frequency.shift(np.repeat(times[offsets[:-1]], size), steps)
    return full, grid, keys[source], values, texts[source]


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count:,} steps"


def _gap(keys: Objects, times: Times, row: int, entity_keys: Sequence[str]) -> str:
    """The gap that ends with ``row``."""
    series = _name(keys, row, entity_keys)
    return f"series {series}: nothing between {times[row - 1]} and {times[row]}"


def _name(keys: Objects, row: int, entity_keys: Sequence[str]) -> str:
    pairs = (f"{k}: {v}" for k, v in zip(entity_keys, keys[row], strict=True))
    return "{" + ", ".join(pairs) + "}"
