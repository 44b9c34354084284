"""The point-in-time join: for every row of the primary view, the newest row of each other view that
was known and fresh then.

Rows come sorted by key and time, as every :class:`framework.retrieval.row_store.RowStore` gives
them, so nothing is sorted again: a view's rows are numbered by key and step, and one binary search
a row finds its match.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.data.arrays import Rows, Times
from framework.data.arrow_columns import coded, moments
from framework.data.vocabulary import TIME
from framework.errors import DataError, suggest
from framework.features.views import FeatureSet, View
from framework.retrieval.key_runs import Keys
from framework.retrieval.newest_rows import newest_versions
from framework.retrieval.row_store import RowStore, Tables

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def view_rows(
    features: FeatureSet,
    store: Tables,
    name: str,
    columns: Sequence[str],
    known_at: datetime | None = None,
) -> pa.Table:
    """Read one view alone, as :meth:`framework.interfaces.retrieval.RetrievalStrategy.view_rows`
    does, from a store.

    Args:
        features: The views.
        store: Where the rows are.
        name: The view's name.
        columns: Columns of it.
        known_at: Only versions created at or before this time (UTC); None: all.

    Returns:
        Keys, ``event_timestamp`` and ``columns``, sorted by key and time.
    """
    view = features.views[name]
    rows = newest_versions(view, store.table(name, view, columns), known_at)
    return rows.select([*view.entity, TIME, *columns])


def joined_rows(
    features: FeatureSet, store: Tables, columns: Sequence[str], known_at: datetime | None = None
) -> pd.DataFrame:
    """Join the views of a store, point-in-time.

    A row at the very time counts as known, one exactly as old as the ttl as fresh.

    Args:
        features: The views.
        store: Where the rows are.
        columns: Columns of all views.
        known_at: Only versions created at or before this time (UTC); None: all.

    Returns:
        Entity keys, ``event_timestamp`` (UTC, microseconds) and ``columns``, sorted by key and
        time; null where a view has no row in time.

    Raises:
        DataError: A column is in no view, or a view has no rows.
    """
    unknown = [c for c in columns if c not in features.feature_names()]
    if unknown:
        raise DataError(
            f"features: {unknown} are in no view;{suggest(unknown[0], features.feature_names())}"
        )
    selection = {
        name: [c for c in columns if c in view.feature_names()]
        for name, view in features.views.items()
    }
    tables = {
        name: newest_versions(view, store.table(name, view, selection[name]), known_at)
        for name, view in features.views.items()
        if selection[name] or name == features.primary
    }
    return join_tables(features, tables, columns)


def join_tables(
    features: FeatureSet, tables: Mapping[str, pa.Table], columns: Sequence[str]
) -> pd.DataFrame:
    """Join tables of views, point-in-time, as :func:`joined_rows` does.

    Args:
        features: The views.
        tables: By view, one row for each key and time, sorted; of every view that is needed.
        columns: Columns of the tables.

    Returns:
        As of :func:`joined_rows`.
    """
    import pandas as pd

    primary = tables[features.primary]
    series = Keys.of(primary, features.entity_keys)
    times = moments(primary[TIME])
    places: dict[str, tuple[Rows, np.ndarray] | None] = {
        name: None
        if name == features.primary
        else _match(features.views[name], series, times, table)
        for name, table in tables.items()
    }
    result: dict[str, Any] = {key: objects(primary[key]) for key in features.entity_keys}
    result[TIME] = pd.DatetimeIndex(times).tz_localize("UTC")
    owners = {
        c: name
        for name, table in tables.items()
        for c in table.column_names
        if c in features.views[name].feature_names()
    }
    for column in columns:
        values = tables[owners[column]][column]
        text = column in features.views[owners[column]].categories
        result[column] = taken(
            objects(values) if text else floats(values),
            places[owners[column]],
            None if text else np.nan,
        )
    return pd.DataFrame(result, copy=False)


def _match(view: View, series: Keys, times: Times, rows: pa.Table) -> tuple[Rows, np.ndarray]:
    """For each primary row, the row of ``rows`` that describes it, and whether there is one."""
    place, row_times = newest(view.entity, series, np.diff(series.offsets), times, rows)
    return place, np.asarray(times - row_times <= np.timedelta64(view.ttl, "us"))


def newest(
    entity: Sequence[str], series: Keys, counts: Rows, times: Times, rows: pa.Table
) -> tuple[Rows, Times]:
    """Find for each step of some series the newest row of a view that is not later, however old it
    is.

    Args:
        entity: The view's keys, of which it may have fewer than the series.
        series: The keys of the series.
        counts: How many steps each series has.
        times: The steps, series by series.
        rows: The view's rows, sorted by key and time, no key and time twice.

    Returns:
        The place of each step's row in ``rows``, 0 for none; and that row's time, NaT for none.
    """
    groups = Keys.of(rows, entity)
    row_times = moments(rows[TIME])
    if not len(row_times) or not len(times):
        return np.zeros(len(times), np.int64), np.full(len(times), np.datetime64("NaT", "us"))
    group = np.repeat(series.places_in(groups), counts)
    count = len(groups.offsets) - 1
    row_ranks, ranks, width = _ranked(row_times, times, count)
    positions = np.repeat(np.arange(count), np.diff(groups.offsets)) * width + row_ranks
    place = np.searchsorted(positions, group * width + ranks, side="right") - 1
    known = (group >= 0) & (place >= groups.offsets[group])
    place[~known] = 0
    return place, np.where(known, row_times[place], np.datetime64("NaT", "us"))


def _ranked(row_times: Times, times: Times, groups: int) -> tuple[Rows, Rows, int]:
    """Number the times of rows and of steps in one order, from 0 to below the width.

    A number is the time itself as long as ``groups`` times the width is a 64-bit integer, or else
    its place among the times of rows.
    """
    times = times.astype(row_times.dtype, copy=False)  # one unit, for numbers
    first = min(row_times.min(), times.min())
    width = int((max(row_times.max(), times.max()) - first).astype(np.int64)) + 1
    if groups * width < 2**63:
        return (row_times - first).astype(np.int64), (times - first).astype(np.int64), width
    known_times = np.unique(row_times)
    row_places = np.searchsorted(known_times, row_times) + 1
    return row_places, np.searchsorted(known_times, times, side="right"), len(known_times) + 1


def taken(values: np.ndarray, match: tuple[Rows, np.ndarray] | None, null: Any) -> np.ndarray:
    """Take values at the places of a match.

    Args:
        values: The values of a view's rows.
        match: For each step the place of its row, and whether it has one; None: every value is
            taken as it is.
        null: What a step without a row gets.

    Returns:
        One value for each step.
    """
    if match is None:
        return values
    place, known = match
    if not len(values):
        return np.full(len(place), null, dtype=values.dtype)
    picks = values[place]
    picks[~known] = null
    return picks


def objects(column: pa.ChunkedArray) -> np.ndarray:
    """Read a column of texts.

    Args:
        column: The column.

    Returns:
        ``[rows]``, None for null.
    """
    codes, values = coded(column)
    return np.array([*values.to_pylist(), None], dtype=object)[codes]  # -1 takes the last


def floats(column: pa.ChunkedArray) -> np.ndarray:
    """Read a column of numbers.

    Args:
        column: The column.

    Returns:
        ``[rows]``, NaN for null.
    """
    return np.asarray(column.to_numpy(), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class StoreRows:
    """The rows of a part of a store, joined as those of the whole store are."""

    tables: Tables

    def training_rows(
        self, features: FeatureSet, columns: Sequence[str], known_at: datetime | None = None
    ) -> pd.DataFrame:
        """Join the rows, as :func:`joined_rows` does.

        Args:
            features: The views.
            columns: Columns of all views.
            known_at: Only versions created at or before it (UTC); None: the newest.

        Returns:
            The joined rows.
        """
        return joined_rows(features, self.tables, columns, known_at)

    def view_rows(
        self,
        features: FeatureSet,
        view: str,
        columns: Sequence[str],
        known_at: datetime | None = None,
    ) -> pa.Table:
        """Read one view alone, as :func:`view_rows` does.

        Args:
            features: The views.
            view: The name of one of them.
            columns: Columns of it.
            known_at: Only versions created at or before it (UTC); None: the newest.

        Returns:
            The rows.
        """
        return view_rows(features, self.tables, view, columns, known_at)


@contextmanager
def store_parts(store: RowStore, features: FeatureSet, rows: int) -> Iterator[Sequence[StoreRows]]:
    """Divide the rows of a store, as
    :meth:`framework.interfaces.retrieval.RetrievalStrategy.parts` does.

    Args:
        store: Where the rows are.
        features: The views.
        rows: About how many rows of the primary view a part has.

    Yields:
        The parts.
    """
    with store.parts(features.views, features.primary, rows) as parts:
        yield [StoreRows(part) for part in parts]
