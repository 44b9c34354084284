"""Rows to the online store: the packed records and what Feast's SDK reads, always the newest,
whoever writes in whatever order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from framework.data.vocabulary import TIME
from framework.features.views import FeatureSet, View
from framework.files import LONG_PATIENCE, exclusive
from framework.interfaces.retrieval import Needs, Progress
from framework.retrieval.row_store import RowStore
from framework_feast import FeastOptions
from framework_feast.light import FeatureStore
from framework_feast.online.marks import (
    Mark,
    longest_window,
    newest_actual,
    notes_of,
    raise_longest_window,
    raise_newest_actual,
    read_mark,
    window_length,
    write_mark,
)
from framework_feast.online.retention import (
    Actuals,
    AllPast,
    Origins,
    OwnActuals,
    Retention,
    streamed,
)
from framework_feast.online.sdk import NO_KEY, read_newest
from framework_feast.online.sorted_rows import Series, SortedRows
from framework_feast.records.packed import columns, decode, definition, merge, record_keys
from framework_feast.records.records import Pair, RecordStore
from framework_feast.repository.store import failing, quiet

#: Entities of one write; each is whole or not at all, and a killed materialize has done some of
#: them.
_BATCH = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Materializer:
    """Writes of one view by processes of this machine take turns. Across machines the packed
    records stay right by themselves.

    ``needs``: what contexts will need; None: the newest rows, whatever is in them.
    """

    def __init__(
        self,
        options: FeastOptions,
        offline: RowStore,
        store: FeatureStore,
        records: RecordStore | None,
        features: FeatureSet,
        needs: Needs | None,
    ) -> None:
        self._options, self._offline, self._store, self._records = options, offline, store, records
        self._features, self._needs = features, needs
        self._notes = notes_of(options, records)

    def run(
        self,
        start: datetime | None,
        end: datetime | None,
        progress: Progress,
        views: Sequence[str] | None,
        overlap: timedelta | None,
    ) -> dict[str, int]:
        """See :meth:`RetrievalStrategy.materialize`. How far a view has come is noted when all of
        it is written.
        """
        known = self._features.views
        needs, last = self._needs, None if end is None else _microseconds(end)
        actuals = (
            None if needs is None else Actuals.stored(self._features, self._offline, needs, last)
        )
        row_counts = {}
        for name in views or known:
            with self._alone(name):
                row_counts[name] = self._view(name, start, last, progress, overlap, actuals)
        return row_counts

    def _view(
        self,
        name: str,
        start: datetime | None,
        end: int | None,
        progress: Progress,
        overlap: timedelta | None,
        actuals: Actuals | None,
    ) -> int:
        view, newest = self._features.views[name], None if actuals is None else actuals.newest
        rows, retention = (
            SortedRows(view, self._offline.read(name, view)),
            self._retention(name, actuals),
        )
        raise_longest_window(self._options, definition(name, view), retention.length)
        with failing("materialize"):
            mark = read_mark(self._notes, definition(name, view))
        if mark is not None and mark.window < retention.length:
            mark = None  # online, and not with so long a window
        old_mark = (
            None if mark is None else mark.through if newest is None else min(mark.through, newest)
        )
        first = None if start is None else _microseconds(start)
        if overlap is not None and start is None and old_mark is not None:
            first = old_mark - round(overlap.total_seconds() * 1e6)
        last = int(rows.times.max()) if end is None else end
        count = self._write(name, rows.between(first, last), retention, progress)
        if name == self._features.primary and newest is not None:
            self._raise_newest_actual(newest)
        if count and (
            first is None or (old_mark is not None and first <= old_mark)
        ):  # what lies before is online, without a hole
            newest_end = min(
                last, int(rows.times.max()), *(() if newest is None else (newest,))
            )  # steps to come are not behind us
            through = newest_end if old_mark is None else max(old_mark, newest_end)
            with failing("materialize"):
                write_mark(self._notes, definition(name, view), Mark(through, retention.length))
        return count

    def push(self, name: str, frame: pd.DataFrame) -> int:
        """Finished rows as a stream brings them."""
        with self._alone(name):
            series = SortedRows(self._features.views[name], frame).between(None, None, cut=True)
            retention = self._retention(name, None)
            if name == self._features.primary and isinstance(retention.origins, OwnActuals):
                pasts = [retention.origins.past(s.key, s.rows) for s in series]
                newest = [
                    int(s.rows.times[past - 1])
                    for s, past in zip(series, pasts, strict=True)
                    if past
                ]
                if newest:
                    self._raise_newest_actual(max(newest))
            return self._write(name, series, retention, lambda _: None)

    def _retention(self, name: str, actuals: Actuals | None) -> Retention:
        """A window that was once wanted is kept, for the entities that come later and in a store
        that was lost, too.
        """
        options, needs = self._options, self._needs
        least_length = longest_window(options, definition(name, self._features.views[name]))
        length = max(window_length(options, name, needs), least_length)
        return Retention(
            self._origins(name, actuals), length, 1 if needs is None else needs.steps, options.ahead
        )

    def _origins(self, name: str, actuals: Actuals | None) -> Origins:
        view, needs = self._features.views[name], self._needs
        if needs is None:
            return AllPast()
        if name == self._features.primary:
            return OwnActuals(view, needs.targets)
        if actuals is not None:
            return actuals.of(view, needs.frequency)
        newest = newest_actual(self._notes, self._features)
        return AllPast() if newest is None else streamed(view, needs.frequency, newest)

    def _raise_newest_actual(self, newest: int) -> None:
        with failing("materialize"):
            raise_newest_actual(self._notes, self._features, newest)

    def _write(
        self, name: str, series: list[Series], retention: Retention, progress: Progress
    ) -> int:
        view = self._features.views[name]
        for position in range(0, len(series), _BATCH):
            batch = series[position : position + _BATCH]
            if self._records is not None:
                self._pack(self._records, name, view, batch, retention)
            self._mirror(name, batch, retention.origins)
            times = np.concatenate([s.rows.times[[0, -1]] for s in batch])
            first, last = (str(t) for t in np.array([times.min(), times.max()]).astype("M8[us]"))
            progress(
                f"materialize: {name}: {position + len(batch):,} of {len(series):,} entities, "
                f"{first} to {last}"
            )
        return len(series)

    def _pack(
        self,
        records: RecordStore,
        name: str,
        view: View,
        batch: Sequence[Series],
        retention: Retention,
    ) -> None:
        shape = [len(part) for part in columns(view)]

        def merged(old_pairs: list[Pair]) -> list[Pair]:
            pairs: list[Pair] = []
            for series, pair in zip(batch, old_pairs, strict=True):
                newest, window = (
                    None if record is None else decode(record, *shape) for record in pair
                )
                before = (
                    window
                    if newest is None
                    else newest
                    if window is None
                    else merge(window, newest)
                )
                rows = merge(before, series.rows)
                window_rows = retention.window(series.key, rows, window)
                pairs.append(
                    (
                        retention.newest(series.key, rows, newest).encode(),
                        None if window_rows is None else window_rows.encode(),
                    )
                )
            return pairs

        with failing(f"materialize '{name}'"):
            records.update(
                record_keys(definition(name, view), [series.key for series in batch]), merged
            )

    def _mirror(self, name: str, batch: Sequence[Series], origins: Origins) -> None:
        """The newest rows into Feast's own layout, where they are not older than what is there: not
        every store looks.

        It has one row for each key, which is what describes the origin: never that of a step to
        come.
        """
        view = self._features.views[name]
        places = [origins.past(series.key, series.rows) - 1 for series in batch]
        past = [(series, place) for series, place in zip(batch, places, strict=True) if place >= 0]
        entities = [dict(zip(view.entity, series.key, strict=True)) for series, _ in past]
        one_view = FeatureSet(primary=name, views={name: view})
        newest_rows = read_newest(
            self._store, one_view, entities, frozenset(view.feature_names()[:1])
        )[name].times.view(np.int64)
        absent = np.iinfo(np.int64).min  # what NaT is
        newer = [
            (series, place)
            for (series, place), time in zip(past, newest_rows.tolist(), strict=True)
            if time == absent or series.rows.times[place] >= time
        ]
        if not newer:
            return
        numbers, categories = columns(view)
        keys = [dict(zip(view.entity, series.key, strict=True)) or NO_KEY for series, _ in newer]
        frame = pd.DataFrame(keys, dtype=object)
        if view.created is not None:
            frame[view.created] = [
                series.created[place] if series.created else None for series, place in newer
            ]
        frame[TIME] = pd.DatetimeIndex(
            np.array([s.rows.times[place] for s, place in newer]).astype("M8[us]")
        ).tz_localize("UTC")
        values = {
            n: np.array([s.rows.numbers[place, i] for s, place in newer])
            for i, n in enumerate(numbers)
        }
        values |= {
            n: np.array([s.rows.categories[place, i] for s, place in newer], dtype=object)
            for i, n in enumerate(categories)
        }
        with quiet(), failing(f"materialize '{name}'"):
            feast_view = self._store.get_feature_view(name)
            self._store.provider.ingest_df(
                feast_view, pd.concat([frame, pd.DataFrame(values)], axis=1)
            )

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        lock = Path(self._options.state) / f"{name}.online.lock"
        with exclusive(lock, f"the materialization of view '{name}'", limit=LONG_PATIENCE):
            yield


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
