"""The panel: many series on one time grid, checked once at the door, arrays from then on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from framework.data.arrays import Flags, Float64, Objects, Rows, Times
from framework.data.context import Context
from framework.data.frequency import Frequency
from framework.data.schema import Schema
from framework.data.scratch import IN_MEMORY, Scratch, blocks
from framework.data.texts import TextRows, picked
from framework.data.vocabulary import (
    MISSING_FEATURE,
    OK,
    SHORT_HISTORY,
    TIME,
    UNKNOWN_ENTITY,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Panel:
    """The history: rows sorted by series, then time; inside a series one row per step. Series ``i``
    is ``offsets[i]:offsets[i + 1]``.

    A panel of stored rows (:mod:`framework.retrieval.stored_panel`) ends for each series with its
    newest actual, a target that is not null. What is stored of later steps is ``ahead`` and nothing
    else: no row of theirs is fitted, judged or an origin.
    """

    entity_keys: tuple[str, ...]
    frequency: Frequency
    offsets: Rows  # [series + 1]
    entities: Objects  # [series, E] str
    times: Times  # [rows] datetime64[us], UTC
    past: Float64  # [rows, P], NaN where null
    known: Float64  # [rows, K]
    static: TextRows  # [rows, S] str, entity keys first; None for a null category
    past_names: tuple[str, ...]
    known_names: tuple[str, ...]
    static_names: tuple[str, ...]
    vintages: Mapping[np.datetime64, Panel] = field(
        default_factory=dict
    )  # by origin: the panel as it was known at the origin's end
    ahead: Float64 | None = (
        # [series, steps, K] known columns of the steps after each series' last row, NaN where not
        # stored
        None
    )
    held: Mapping[str, Times] = field(
        default_factory=dict
    )  # by view [rows]: the row that describes a step, however old; NaT for none
    ageless: Panel | None = (
        None  # the same rows described without regard to any ttl, where features.stale is flag
    )
    scratch: Scratch = IN_MEMORY  # where its arrays are kept, and those that are made of it

    def __len__(self) -> int:
        return len(self.times)

    def until(self, last: np.datetime64) -> Panel:
        """Cut off what came later.

        Args:
            last: The last step that is kept (UTC).

        Returns:
            The rows up to and including ``last``. Series that begin later are gone.
        """
        return self.select(self.times <= last)

    def between(self, first: np.datetime64, last: np.datetime64) -> Panel:
        """Cut off what came earlier and later.

        Args:
            first: The first step that is kept (UTC).
            last: The last step that is kept (UTC).

        Returns:
            The rows from ``first`` to ``last``. Series that have none are gone.
        """
        return self.select((self.times >= first) & (self.times <= last))

    def targets_alone(self, count: int) -> Panel:
        """Leave the other columns out, where a copy of all of them would take much memory.

        Args:
            count: How many targets there are.

        Returns:
            The panel without features, known columns and what tells their age.
        """
        return replace(
            self,
            past=self.past[:, :count],
            known=self.known[:, :0],
            past_names=self.past_names[:count],
            known_names=(),
            ahead=None,
            held={},
            ageless=None,
        )

    def known_at(self, origin: np.datetime64) -> Panel:
        """Find this panel as it was known at a time.

        Args:
            origin: The origin of a backtest (UTC).

        Returns:
            The vintage of that origin; this panel itself when it holds no vintages.
        """
        return self.vintages[origin] if self.vintages else self

    def select(self, keep: Flags) -> Panel:
        """Select rows.

        Args:
            keep: ``[rows]``: which ones.

        Returns:
            A panel of these rows. Series that have none are gone.
        """
        if not self.vintages and keep.all():
            return self
        counts = (
            np.add.reduceat(keep, self.offsets[:-1], dtype=np.int64)
            if len(keep)
            else np.zeros(0, np.int64)
        )
        alive, pick = counts > 0, self.scratch.picker(keep)
        kept_times = pick(self.times)
        return replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(counts[alive])]).astype(np.int64),
            entities=self.entities[alive],
            times=kept_times,
            past=pick(self.past),
            known=pick(self.known),
            static=picked(self.static, pick),
            vintages={},
            ahead=None,  # of other steps than those after the rows that are left
            held={
                view: kept_times if times is self.times else pick(times)
                for view, times in self.held.items()
            },
            ageless=None if self.ageless is None else self.ageless.select(keep),
        )

    def pieces(self) -> Iterator[Panel]:
        """Divide the panel by whole series, where what is made of its rows would take much memory.

        Yields:
            Panels of consecutive series: views of these arrays, of :data:`BLOCK` rows or of one
            longer series, without vintages and what is stored ahead.
        """
        for first, last in self.spans():
            rows = slice(int(self.offsets[first]), int(self.offsets[last]))
            yield replace(
                self,
                offsets=self.offsets[first : last + 1] - rows.start,
                entities=self.entities[first:last],
                times=self.times[rows],
                past=self.past[rows],
                known=self.known[rows],
                static=self.static[rows],
                vintages={},
                ahead=None,
                held={view: times[rows] for view, times in self.held.items()},
                ageless=None,
                scratch=IN_MEMORY,
            )

    def spans(self) -> Iterator[tuple[int, int]]:
        """Divide the series as :meth:`pieces` does.

        Yields:
            The first series of each piece and the one past its last.
        """
        starts = [rows.start for rows in blocks(len(self))]
        edges = np.unique(np.searchsorted(self.offsets, [*starts, len(self)]))
        yield from pairwise(edges.tolist())

    def without(self, entities: Collection[tuple[str, ...]]) -> Panel:
        """Leave out series; in the vintages too.

        Args:
            entities: The keys of the series that go.

        Returns:
            A panel of the other series.
        """
        is_dropped = np.array([tuple(entity) in entities for entity in self.entities], dtype=bool)
        if not is_dropped.any() and not self.vintages:
            return self
        rest = self.select(~np.repeat(is_dropped, np.diff(self.offsets)))
        vintages = {origin: panel.without(entities) for origin, panel in self.vintages.items()}
        return replace(
            rest, vintages=vintages, ahead=None if self.ahead is None else self.ahead[~is_dropped]
        )

    def origins_at(self, time: np.datetime64) -> tuple[Objects, Times]:
        """Find the series that have a step at a time.

        Series may count their steps from other anchors, weeks from Monday and from Sunday: then the
        own step is the newest one that is not later, less than a step before ``time``.

        Args:
            time: The time (UTC).

        Returns:
            ``[n, E]``, the keys of the series, and ``[n]``, each one's own step.
        """
        start, stop = self.offsets[:-1], self.offsets[1:]
        row = start + self.frequency.steps_between(self.times[start], np.asarray(time))
        in_series = (row >= start) & (row < stop)
        return self.entities[in_series], self.times[row[in_series]]

    def to_rows(self) -> pd.DataFrame:
        """Make a long table.

        Returns:
            Static columns, ``event_timestamp`` (UTC), past and known columns.
        """
        import pandas as pd

        columns: dict[str, object] = {
            name: self.static[:, i] for i, name in enumerate(self.static_names)
        }
        columns[TIME] = pd.DatetimeIndex(self.times).tz_localize("UTC")
        columns |= {name: self.past[:, i] for i, name in enumerate(self.past_names)}
        columns |= {name: self.known[:, i] for i, name in enumerate(self.known_names)}
        return pd.DataFrame(columns)

    def context(
        self,
        schema: Schema,
        entities: Sequence[Sequence[str]] | Objects,
        at: np.datetime64 | Times | None,
        series: Rows | None = None,
    ) -> Context:
        """Cut one window for each entity.

        Args:
            schema: The columns and lengths of a window.
            entities: The keys of each window's series.
            at: The origin (UTC), one or ``[n]``; None: each series' own last step.
            series: What :meth:`series_of` says of the entities; None: ask it.

        Returns:
            The windows, in the order of ``entities``. One that cannot be cut has a status that says
            why.
        """
        n, length, horizon = len(entities), schema.context_length, schema.horizon
        origins = np.full(n, at if at is not None else np.datetime64("NaT"), dtype="M8[us]")
        past = np.full((n, length, len(schema.past)), np.nan)
        known = np.full((n, horizon, len(schema.known)), np.nan)
        static = np.full((n, len(schema.static)), None, dtype=object)
        status, detail = [OK] * n, [None] * n  # type: list[str], list[str | None]
        series = self.series_of(entities) if series is None else series
        start, stop = (
            self.offsets[series],
            self.offsets[series + 1],
        )  # of no use where there is no series
        row = np.where(series >= 0, stop - 1, -1) if at is None else self.rows_at(series, at)
        places = np.flatnonzero(row >= 0)
        origins[places] = self.times[row[places]]
        ready = places[row[places] - start[places] + 1 >= schema.needed_steps]
        origin, end = row[ready, None], stop[ready, None]
        back = origin + np.arange(1 - length, 1)
        past[ready] = self.past.take(np.maximum(back, 0), axis=0)
        if schema.needed_steps < length:
            past[ready] = np.where((back >= start[ready, None])[..., None], past[ready], np.nan)
        known[ready] = self._known_ahead(series[ready], origin + np.arange(1, horizon + 1), end)
        for j, entity in enumerate(entities):
            static[j, : len(entity)] = list(entity)
        static[ready] = self.static[row[ready]]
        for j in np.setdiff1d(np.arange(n), ready).tolist():
            if series[j] < 0:
                status[j], detail[j] = (
                    UNKNOWN_ENTITY,
                    f"no rows for {dict(zip(self.entity_keys, entities[j], strict=True))}",
                )
            elif row[j] < 0:
                first, last = self.times[start[j]], self.times[stop[j] - 1]
                status[j], detail[j] = (
                    MISSING_FEATURE,
                    f"no row at {origins[j]}; the series has {first} to {last}",
                )
            else:
                status[j], detail[j] = (
                    SHORT_HISTORY,
                    f"{row[j] - start[j] + 1} steps of history, {schema.needed_steps} needed",
                )
        return Context(origins, past, known, static, status, detail)

    def _known_ahead(self, series: Rows, rows: Rows, end: Rows) -> Float64:
        """``[n, H, K]``: the known columns of ``rows[n, H]``, which go on behind the last row of
        each series.
        """
        known: Float64 = np.where(
            (rows < end)[..., None], self.known.take(np.minimum(rows, end - 1), axis=0), np.nan
        )
        if self.ahead is None:
            return known
        step = rows - end
        in_range = (step >= 0) & (step < self.ahead.shape[1])
        n, h = np.nonzero(in_range)
        known[n, h] = self.ahead[series[n], step[n, h]]
        return known

    def series_of(self, entities: Sequence[Sequence[str]] | Objects) -> Rows:
        """Find the series of entities.

        Args:
            entities: ``[n, E]``, their keys.

        Returns:
            ``[n]``: the number of each one's series, -1 where there is none.
        """
        numbers = {tuple(entity): i for i, entity in enumerate(self.entities)}
        return np.array([numbers.get(tuple(entity), -1) for entity in entities], dtype=np.int64)

    def rows_at(self, series: Rows, times: Times | np.datetime64) -> Rows:
        """Find the rows of series at times.

        Args:
            series: Numbers of series; -1 has no row.
            times: The times (UTC), in a shape that fits.

        Returns:
            The rows, -1 where there is none.
        """
        if not len(self):
            return np.full(np.broadcast_shapes(series.shape, np.shape(times)), -1, dtype=np.int64)
        start = np.where(series >= 0, self.offsets[series], 0)
        stop = np.where(series >= 0, self.offsets[series + 1], 0)
        row = start + self.frequency.steps_between(self.times[start], np.asarray(times))
        inside = (row >= start) & (row < stop)
        return np.where(inside & (self.times[np.where(inside, row, 0)] == times), row, -1)
