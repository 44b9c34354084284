"""The panel of stored rows: each series up to its newest actual, what is stored of the steps after
it, and how old it all is.

Training, backtest and ``run=predict`` use it through
:class:`framework.retrieval.features.Features`, ``retrieval=file`` directly, so that all of them ask
one panel by one rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from framework.data.arrays import Float64, Objects, Rows, Times
from framework.data.context import Context
from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.panel_rows import panel_from_arrays, row_arrays
from framework.data.schema import Schema
from framework.data.vocabulary import MISSING_FEATURE, OK, GapPolicy
from framework.errors import DataError
from framework.features.views import FeatureSet, View
from framework.interfaces.compute import Piece
from framework.interfaces.retrieval import RetrievalStrategy
from framework.retrieval.freshness import absent_origin, check_context, in_force
from framework.retrieval.point_in_time import Keys, floats, newest, objects

if TYPE_CHECKING:
    import pyarrow as pa

_NAT = np.datetime64("NaT", "us")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a panel.

    ``past``: the targets first. ``horizon``: how many steps ahead known columns are looked up for.
    """

    targets: tuple[str, ...]
    past: tuple[str, ...]
    known: tuple[str, ...]
    categories: tuple[str, ...]
    frequency: Frequency
    horizon: int


def columns_of(schema: Schema) -> Columns:
    """List the columns that a pair asks for.

    Args:
        schema: The pair's schema.

    Returns:
        The columns.
    """
    categories = schema.static[len(schema.entity_keys) :]
    frequency = Frequency.parse(schema.frequency)
    return Columns(schema.targets, schema.past, schema.known, categories, frequency, schema.horizon)


def stored_panel(
    strategy: RetrievalStrategy,
    features: FeatureSet,
    columns: Columns,
    gaps: GapPolicy,
    known_at: datetime | None = None,
) -> Panel:
    """Read the rows of every view and join them, point-in-time.

    Args:
        strategy: Where the rows are.
        features: The views.
        columns: Which columns, and how far ahead.
        gaps: What is done about a step that a series lacks.
        known_at: Only versions created at or before it; None: the newest.

    Returns:
        The panel. A series without any actual is not in it.

    Raises:
        DataError: No row, no actual at all, or rows that are no panel.
    """
    rows = strategy.training_rows(features, [*columns.past, *columns.categories], known_at)
    if known_at is not None and not len(rows):
        raise DataError(
            f"backtest.as_known: no row was known at {known_at:%Y-%m-%dT%H:%MZ}; lower "
            "backtest.folds."
        )
    keys = features.entity_keys
    arrays = row_arrays(rows, keys, columns.past, columns.categories)
    count = len(rows)
    del rows  # half of the memory that is in use here
    panel = panel_from_arrays(
        arrays, keys, columns.past, (), columns.categories, columns.frequency, gaps
    )
    del arrays
    whole = count == len(panel)
    description = _Described.of(features, columns, _history(panel, columns.targets))
    description.read(strategy, known_at, whole)
    return description.panel()


def _history(panel: Panel, targets: Sequence[str]) -> Panel:
    """Each series up to its newest actual."""
    actual = ~np.isnan(panel.past[:, : len(targets)]).all(axis=1)
    if not actual.any():
        first, last = panel.times.min(), panel.times.max()
        raise DataError(
            f"panel.targets: no row from {first} to {last} has a value of {list(targets)}; "
            "ingest rows that have one."
        )
    place = np.arange(len(panel))
    newest_actual = np.maximum.reduceat(np.where(actual, place, -1), panel.offsets[:-1])
    return panel.select(place <= np.repeat(newest_actual, np.diff(panel.offsets)))


@dataclass
class _Described:
    """Adds to a history what is stored beside it, view by view."""

    features: FeatureSet
    columns: Columns
    history: Panel
    series: Keys
    known: Float64  # [rows, K]
    ahead: Float64  # [series, H, K]
    held: dict[str, Times]
    past: Float64  # as the history's, however old; its own where features.stale is not flag
    static: Objects

    @classmethod
    def of(
        cls,
        features: FeatureSet,
        columns: Columns,
        history: Panel,
    ) -> _Described:
        shape = len(history.entities), columns.horizon, len(columns.known)
        flag = features.stale == "flag"
        return cls(
            features,
            columns,
            history,
            Keys.of_entities(history.entities, history.entity_keys),
            np.full((len(history), len(columns.known)), np.nan),
            np.full(shape, np.nan),
            {},
            history.past.copy() if flag else history.past,
            history.static.copy() if flag else history.static,
        )

    def read(self, strategy: RetrievalStrategy, known_at: datetime | None, whole: bool) -> None:
        """Describe every step by the rows of every view. ``whole``: each step has a row of the
        primary view.
        """
        features, columns = self.features, self.columns
        for name, view in features.views.items():
            owned = set(view.feature_names())
            if owned.isdisjoint((*columns.past, *columns.known, *columns.categories)):
                continue
            selection = [c for c in columns.known if c in owned]
            if name == features.primary and whole and not selection:
                self.held[name] = self.history.times
                continue
            if features.stale == "flag" and name != features.primary:
                selection += [c for c in (*columns.past, *columns.categories) if c in owned]
            self.add(name, view, strategy.view_rows(features, name, selection, known_at))

    def add(self, name: str, view: View, rows: pa.Table) -> None:
        """Describe every step by the rows of one view."""
        counts, times = np.diff(self.history.offsets), self.history.times
        place, row_times = newest(view.entity, self.series, counts, times, rows)
        owned = set(view.feature_names())
        if not owned.isdisjoint((*self.columns.past, *self.columns.categories)):
            self.held[name] = row_times
        if not owned.isdisjoint(self.columns.known):
            self._add_known(view, rows, place, row_times)
        if self.features.stale == "flag" and name != self.features.primary:
            self._add_old(view, rows, place, row_times)

    def _add_known(self, view: View, rows: pa.Table, place: Rows, row_times: Times) -> None:
        last = self.history.times[self.history.offsets[1:] - 1]
        steps = self.columns.frequency.after(last, self.columns.horizon)
        counts = np.full(len(last), self.columns.horizon)
        place_ahead, held_ahead = newest(view.entity, self.series, counts, steps.ravel(), rows)
        now, later = (
            in_force(view, row_times, self.history.times),
            in_force(view, held_ahead, steps.ravel()),
        )
        for column in (c for c in view.feature_names() if c in self.columns.known):
            k, values = self.columns.known.index(column), floats(rows[column])
            if len(values):
                self.known[:, k] = np.where(now, values[place], np.nan)
                self.ahead[:, :, k] = np.where(later, values[place_ahead], np.nan).reshape(
                    steps.shape
                )

    def _add_old(self, view: View, rows: pa.Table, place: Rows, row_times: Times) -> None:
        old = np.flatnonzero(self.history.times - row_times > np.timedelta64(view.ttl, "us"))
        for column in view.feature_names():
            if column in self.columns.past:
                self.past[old, self.columns.past.index(column)] = floats(rows[column])[place[old]]
            elif column in self.columns.categories:
                self.static[old, self.history.static_names.index(column)] = objects(rows[column])[
                    place[old]
                ]

    def panel(self) -> Panel:
        names = self.columns.known
        panel = replace(
            self.history, known=self.known, known_names=names, ahead=self.ahead, held=self.held
        )
        if self.features.stale != "flag":
            return panel
        arrays = (
            self.held[self.features.primary] == panel.times
        )  # a step that was inserted for a gap stays null
        past = np.where(arrays[:, None], self.past, panel.past)
        return replace(panel, ageless=replace(panel, past=past, static=self.static))


def stored_context(
    panel: Panel,
    features: FeatureSet,
    schema: Schema,
    entities: Sequence[Sequence[str]] | Objects,
    at: np.datetime64 | Times | None,
    now: np.datetime64 | None,
) -> Context:
    """Cut one window per entity from a panel of stored rows, as every server does: each with the
    status that its rows deserve.

    Args:
        panel: As :func:`stored_panel` makes it.
        features: The views, whose ttl and policies count.
        schema: What the windows have.
        entities: Whose windows.
        at: The origin of all, or of each; None: of each series its newest actual.
        now: The clock, where the origins are the newest ones (``features.max_age``).

    Returns:
        The windows, in order, by :func:`framework.retrieval.freshness.check_context`.
    """
    series = panel.series_of(entities)
    context = panel.context(schema, entities, at, series)
    rows = panel.rows_at(series, np.where(series >= 0, context.origins, panel.times[0]))
    row_times = {view: np.where(rows >= 0, times[rows], _NAT) for view, times in panel.held.items()}
    if at is not None:
        for j in (j for j, status in enumerate(context.status) if status == MISSING_FEATURE):
            times = panel.times[panel.offsets[series[j]] : panel.offsets[series[j] + 1]]
            origins = np.broadcast_to(at, len(entities))[j]
            nearest = times[max(int(np.searchsorted(times, origins, side="right")) - 1, 0)]
            context.status[j], context.detail[j] = absent_origin(
                features.primary, features.views[features.primary], origins, nearest
            )
    if panel.ageless is not None:
        context = _with_old_rows(panel, panel.ageless, features, schema, context, rows)
    return check_context(features, schema, context, row_times, now)


def _with_old_rows(
    panel: Panel,
    ageless: Panel,
    features: FeatureSet,
    schema: Schema,
    context: Context,
    rows: Rows,
) -> Context:
    """Describe the origin by the newest row of each view even where that is stale, and the steps
    before it that had the same row.
    """
    past, static = context.past.copy(), context.static.copy()
    whole = np.array([j for j, status in enumerate(context.status) if status == OK], dtype=np.int64)
    steps = rows[whole, None] + np.arange(1 - schema.context_length, 1)
    for name, times in panel.held.items():
        if name == features.primary:
            continue
        names = features.views[name].feature_names()
        same = times[steps] == times[rows[whole]][:, None]
        for i in (i for i, column in enumerate(schema.past) if column in names):
            old = ageless.past[:, panel.past_names.index(schema.past[i])][steps]
            past[whole, :, i] = np.where(same, old, past[whole, :, i])
        for i in (i for i, column in enumerate(schema.static) if column in names):
            static[whole, i] = ageless.static[rows[whole], i]
    return replace(context, past=past, static=static)


@dataclass(frozen=True)
class PanelWindows:
    """One window for each entity ``[n, E]`` of a panel, at ``at`` or at each series' newest actual,
    with the status a server gives it.
    """

    panel: Panel
    features: FeatureSet
    schema: Schema
    entities: Objects | Sequence[Sequence[str]]
    at: np.datetime64 | None
    now: np.datetime64 | None  # the clock, where no origin is named

    def pieces(self, size: int) -> list[Piece]:
        """Divide the entities.

        Args:
            size: The most entities of a piece.

        Returns:
            The first entity of each piece and the one past its last.
        """
        return [
            (start, min(start + size, len(self.entities)))
            for start in range(0, len(self.entities), size)
        ]

    def context(self, piece: Piece) -> Context:
        """Cut the windows of one piece.

        Args:
            piece: One of :meth:`pieces`.

        Returns:
            The windows, in the order of the entities.
        """
        return stored_context(
            self.panel, self.features, self.schema, self.entities[slice(*piece)], self.at, self.now
        )
