"""The panel of some stored series: their rows, each series up to its newest actual, described by
the rows of every view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from framework.data.arrays import Float64, Objects, Rows, Times
from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.panel_rows import panel_from_arrays, row_arrays
from framework.data.vocabulary import GapPolicy
from framework.features.views import FeatureSet, View
from framework.interfaces.retrieval import StoredRows
from framework.retrieval.freshness import in_force
from framework.retrieval.key_runs import Keys
from framework.retrieval.point_in_time import floats, newest, objects

if TYPE_CHECKING:
    import pyarrow as pa


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


def rows_panel(
    part: StoredRows,
    features: FeatureSet,
    columns: Columns,
    gaps: GapPolicy,
    known_at: datetime | None,
) -> tuple[Panel, bool] | None:
    """Make a panel of the joined rows, without what is known in advance.

    Args:
        part: The rows.
        features: The views.
        columns: Which columns.
        gaps: What is done about a step that a series lacks.
        known_at: Only versions created at or before it; None: the newest.

    Returns:
        The panel, and whether each of its steps has a row; None of no row.

    Raises:
        DataError: The rows are no panel.
    """
    rows = part.training_rows(features, [*columns.past, *columns.categories], known_at)
    count = len(rows)
    if not count:
        return None
    keys = features.entity_keys
    arrays = row_arrays(rows, keys, columns.past, columns.categories)
    del rows  # half of the memory that is in use here
    panel = panel_from_arrays(
        arrays, keys, columns.past, (), columns.categories, columns.frequency, gaps
    )
    return panel, count == len(panel)


def history_of(panel: Panel, targets: Sequence[str]) -> Panel | None:
    """Cut each series off after its newest actual.

    Args:
        panel: The rows.
        targets: The targets, which are its first past columns.

    Returns:
        The panel; None where no series has an actual.
    """
    actual = ~np.isnan(panel.past[:, : len(targets)]).all(axis=1)
    if not actual.any():
        return None
    place = np.arange(len(panel))
    newest_actual = np.maximum.reduceat(np.where(actual, place, -1), panel.offsets[:-1])
    return panel.select(place <= np.repeat(newest_actual, np.diff(panel.offsets)))


def described(
    part: StoredRows,
    features: FeatureSet,
    columns: Columns,
    history: Panel,
    known_at: datetime | None,
    whole: bool,
) -> Panel:
    """Add to a history what is stored beside it, view by view.

    Args:
        part: The rows.
        features: The views.
        columns: Which columns, and how far ahead.
        history: Each series up to its newest actual.
        known_at: Only versions created at or before it; None: the newest.
        whole: Whether each step has a row of the primary view.

    Returns:
        The panel.
    """
    description = _Described.of(features, columns, history)
    description.read(part, known_at, whole)
    return description.panel()


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
            np.array(history.static) if flag else np.asarray(history.static),
        )

    def read(self, part: StoredRows, known_at: datetime | None, whole: bool) -> None:
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
            self.add(name, view, part.view_rows(features, name, selection, known_at))

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
