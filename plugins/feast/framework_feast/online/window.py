"""A context of several steps from the windows of each view: what the join of training gives for the
same steps, gaps included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from framework.data.arrays import Float64, Objects, Times
from framework.data.context import Context
from framework.data.frequency import Frequency
from framework.data.schema import Schema
from framework.data.vocabulary import OK, SHORT_HISTORY
from framework.features.views import FeatureSet, View
from framework.retrieval.freshness import check_context, in_force, utc_now
from framework_feast.online.newest import explain_absent, moment, places, static_values
from framework_feast.records.packed import EqualRows, Moments, Rows, columns, newest_actual_of

_NAT = np.datetime64("NaT", "us")
Windows = Mapping[str, Sequence[Rows | None]]
Index = npt.NDArray[np.int64]


def window_context(
    features: FeatureSet,
    schema: Schema,
    entities: Sequence[dict[str, str]],
    at: datetime | None,
    windows: Windows,
) -> Context:
    """One window per entity that ends at ``at`` (None: its newest row), in order.
    ``windows[view]``: what the store has of each entity.

    Its newest row is the newest with an actual; what is stored of the steps after it gives the
    columns known in advance. A step without a row of the primary view is null. Of another view each
    step has the newest row that is not later and within the view's ttl. ``short_history``: the
    series begins later, or the store no longer has the rows of the first steps.
    """
    n, origin = len(entities), moment(at)
    status, detail = [OK] * n, [None] * n  # type: list[str], list[str | None]
    origins = np.full(n, _NAT if origin is None else origin)
    targets = [
        columns(features.views[features.primary])[0].index(target) for target in schema.targets
    ]
    primary = windows[features.primary]
    plain = np.zeros(n, dtype=np.bool_)  # end with the newest actual, as a rule
    if origin is None and isinstance(primary, EqualRows):
        plain = primary.ends_with_actual(targets)
        origins[plain] = primary.times[plain, primary.stop - 1].view("M8[us]")
    for j in np.flatnonzero(~plain).tolist():
        newest, row_time = _origin(primary[j], origin, targets)
        if np.isnat(newest):
            status[j], detail[j] = explain_absent(features, entities[j], origin, row_time)
        else:
            origins[j] = newest
    frequency = Frequency.parse(schema.frequency)
    steps = frequency.shift(origins[:, None], np.arange(1 - schema.context_length, 1)[None, :])
    past = np.empty((n, schema.context_length, len(schema.past)))
    static = static_values(schema, entities)
    held_times = {name: np.full(n, _NAT) for name in features.views}
    fills = [
        _Fill(features, name, view, schema, past, static, held_times[name])
        for name, view in features.views.items()
        if name == features.primary
        or not {*schema.past, *schema.static}.isdisjoint(view.feature_names())
    ]
    fills.sort(key=lambda fill: not fill.primary)  # the primary view says which steps there are
    for fill in fills:
        plain &= fill.matching(windows[fill.name], steps.view(np.int64))
    complete = {column for fill in fills for column in fill.targets} >= set(range(len(schema.past)))
    past[~plain if complete else ...] = np.nan  # the others are written as a whole
    for fill in fills:
        fill.write_blocks(windows[fill.name], plain)
    for j in (j for j in np.flatnonzero(~plain).tolist() if status[j] == OK):
        has_row = np.ones(schema.context_length, dtype=np.bool_)
        for fill in fills:
            problem = fill(j, steps[j].view(np.int64), windows[fill.name][j], has_row)
            if problem is not None:
                status[j], detail[j] = SHORT_HISTORY, problem
                break
    known = _known_ahead(features, schema, frequency.after(origins, schema.horizon), windows)
    context = Context(origins, past, known, static, status, detail)
    return check_context(features, schema, context, held_times, utc_now() if at is None else None)


def _origin(
    rows: Rows | None, origin: np.datetime64 | None, targets: Sequence[int]
) -> tuple[np.datetime64, np.datetime64]:
    """The origin, NaT when the store has none as asked; and the row next to it that there is, NaT
    without any actual.
    """
    place = -1 if rows is None else newest_actual_of(rows, targets)
    if rows is None or place < 0:
        return _NAT, _NAT
    times: Times = rows.times.view("M8[us]")[: place + 1]
    if origin is None:
        return times[-1], times[-1]
    place = max(int(np.searchsorted(times, origin, side="right")) - 1, 0)
    return (origin if times[place] == origin else _NAT), times[place]


def _known_ahead(features: FeatureSet, schema: Schema, steps: Times, windows: Windows) -> Float64:
    """``[n, H, K]`` for ``steps[n, H]``: of the view that owns a column the row that holds for the
    step, null without one.
    """
    known = np.full((*steps.shape, len(schema.known)), np.nan)
    for name, view in features.views.items():
        source, target = places(columns(view)[0], schema.known)
        if not source:
            continue
        labelled = _labelled(windows[name], steps.view(np.int64))
        if labelled.any():
            view_rows = windows[name]
            assert isinstance(view_rows, EqualRows)
            ahead = view_rows.numbers_between(view_rows.stop, view_rows.stop + steps.shape[1])
            known[np.ix_(labelled, np.arange(steps.shape[1]), target)] = ahead[labelled][
                :, :, source
            ]
        for j in np.flatnonzero(~labelled).tolist():
            rows = windows[name][j]
            if rows is None or np.isnat(steps[j, 0]):
                continue
            sources = np.searchsorted(rows.times, steps[j].astype(np.int64), side="right") - 1
            row_times = np.where(sources >= 0, rows.times[sources].view("M8[us]"), _NAT)
            in_window = np.flatnonzero(in_force(view, row_times, steps[j]))
            known[j][np.ix_(in_window, target)] = rows.numbers[np.ix_(sources[in_window], source)]
    return known


def _labelled(rows: Sequence[Rows | None], steps: Moments) -> npt.NDArray[np.bool_]:
    """Say for which entities each step ahead has a row, right after the newest actual."""
    if not isinstance(rows, EqualRows) or rows.ahead < steps.shape[1]:
        return np.zeros(len(steps), dtype=np.bool_)
    times = rows.times[:, rows.stop : rows.stop + steps.shape[1]]
    return np.asarray((times == steps).all(axis=1))


@dataclass
class _Fill:
    """Writes one view's part of a window into the arrays of the context."""

    features: FeatureSet
    name: str
    view: View
    schema: Schema
    past: Float64
    static: Objects
    held: Times

    def __post_init__(self) -> None:
        self.primary = self.name == self.features.primary
        numbers, categories = columns(self.view)
        self._numbers, self._past = places(numbers, self.schema.past)
        self.targets = tuple(self._past)
        self._block = (
            _slice(self._numbers),
            _slice(self._past),
        )  # as slices they are copied without an index
        self._texts, self._static = places(categories, self.schema.static)
        self._ttl = int(np.timedelta64(self.view.ttl, "us").astype(np.int64))

    def matching(self, rows: Sequence[Rows | None], steps: Moments) -> npt.NDArray[np.bool_]:
        """Say for which entities the rows before ``stop`` are those of the steps."""
        length = steps.shape[1]
        if not isinstance(rows, EqualRows) or rows.stop < length:
            return np.zeros(len(steps), dtype=np.bool_)
        return np.asarray((rows.times[:, rows.stop - length : rows.stop] == steps).all(axis=1))

    def write_blocks(self, rows: Sequence[Rows | None], which: npt.NDArray[np.bool_]) -> None:
        """Write the rows of several entities, which are those of their steps."""
        if not which.any():
            return
        assert isinstance(rows, EqualRows)
        source, target = self._block
        steps = slice(rows.stop - self.past.shape[1], rows.stop)
        for j in np.flatnonzero(which).tolist():
            self.past[j][:, target] = rows.numbers(j)[steps, source]
        self.held[which] = rows.times[which, rows.stop - 1].view("M8[us]")

    def __call__(
        self, j: int, steps: Moments, rows: Rows | None, has_row: npt.NDArray[np.bool_]
    ) -> str | None:
        """Why the window of entity ``j`` is too short, None when it is not. The primary view clears
        ``has_row`` at the gaps.
        """
        if rows is None:
            return None
        stop = int(np.searchsorted(rows.times, steps[-1], side="right"))
        if (
            stop >= len(steps)
            and has_row.all()
            and np.array_equal(rows.times[stop - len(steps) : stop], steps)
        ):
            self._write_block(j, rows, stop)  # a row for each step, as a rule
            return None
        sources = np.searchsorted(rows.times, steps, side="right") - 1
        if sources[0] < 0:
            problem = self._too_late(steps, rows, sources, has_row)
            if problem is not None:
                return problem
        within = has_row & (sources >= 0)
        if self.primary:
            within &= rows.times[sources] == steps
            has_row &= within
        else:
            within &= self._fresh(steps, rows, sources)
        if sources[-1] >= 0:
            self.held[j] = rows.times[sources[-1]].astype("M8[us]")
        self._write(j, rows, sources, within)
        return None

    def _fresh(self, steps: Moments, rows: Rows, sources: Index) -> npt.NDArray[np.bool_]:
        fresh: npt.NDArray[np.bool_] = steps - rows.times[sources] <= self._ttl
        if self.features.stale == "flag":
            fresh |= sources == sources[-1]  # what describes the origin stale, and says so
        return fresh

    def _too_late(
        self, steps: Moments, rows: Rows, sources: Index, has_row: npt.NDArray[np.bool_]
    ) -> str | None:
        first = rows.times[0].astype("M8[us]")
        if rows.cut and has_row[sources < 0].any():
            return (
                f"view '{self.name}': the online window begins at {first}, the first of "
                f"{len(steps)} steps is {steps[0].astype('M8[us]')}; "
                "run=materialize with this pair's model keeps as many as it needs, "
                f"retrieval.windows.{self.name} and retrieval.window others"
            )
        count, least = int((sources >= 0).sum()), self.schema.needed_steps
        if self.primary and count < least:
            return f"{count} steps of history, {least} needed"
        return None

    def _write_block(self, j: int, rows: Rows, stop: int) -> None:
        source, target = self._block
        self.past[j][:, target] = rows.numbers[stop - self.past.shape[1] : stop, source]
        self.held[j] = rows.times[stop - 1].astype("M8[us]")
        if self._static:
            self.static[j, self._static] = rows.categories[stop - 1][self._texts]

    def _write(self, j: int, rows: Rows, sources: Index, within: npt.NDArray[np.bool_]) -> None:
        self.past[j][np.ix_(within, self._past)] = rows.numbers[
            np.ix_(sources[within], self._numbers)
        ]
        if self._static and within[-1]:
            self.static[j, self._static] = rows.categories[sources[-1]][self._texts]


def _slice(index: list[int]) -> slice | list[int]:
    """Consecutive places as a slice."""
    consecutive = bool(index) and index == list(range(index[0], index[0] + len(index)))
    return slice(index[0], index[0] + len(index)) if consecutive else index
