"""Rows to the online store: the packed records and what Feast's SDK reads, always the newest, whoever writes in whatever order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from framework.errors import ConfigError, suggest
from framework.interfaces.retrieval import Progress
from framework.interfaces.values import TIME, Objects
from framework.interfaces.views import FeatureSet, View
from framework.locks import LONG_PATIENCE, exclusive
from framework.offline import RowStore
from framework_feast import FeastOptions
from framework_feast.light import FeatureStore
from framework_feast.packed import Moments, Rows, columns, decode, definition, merge, record_keys
from framework_feast.records import Pair, RecordStore, online_store
from framework_feast.sdk import NO_KEY, read_newest
from framework_feast.store import failing, quiet

#: Entities of one write; each is whole or not at all, and a killed materialize has done some of them.
_BATCH = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Materializer:
    """Writes of one view by processes of this machine take turns. Across machines the packed records stay right by themselves."""

    def __init__(self, options: FeastOptions, offline: RowStore, store: FeatureStore, records: RecordStore | None) -> None:
        self._options, self._offline, self._store, self._records = options, offline, store, records
        self._marks = _FileMarks(options) if records is None else records

    def run(
        self,
        features: FeatureSet,
        start: datetime | None,
        end: datetime | None,
        progress: Progress,
        views: Sequence[str] | None,
        overlap: timedelta | None,
    ) -> dict[str, int]:
        """See :meth:`RetrievalStrategy.materialize`. How far a view has come is noted when all of it is written."""
        unknown = [name for name in views or () if name not in features.views]
        if unknown:
            raise ConfigError(
                f"materialize.views: {unknown} are no views;{suggest(unknown[0], features.views)} Known: {list(features.views)}."
            )
        written = {}
        for name in views or features.views:
            with self._alone(name):
                written[name] = self._view(features, name, start, end, progress, overlap)
        return written

    def _view(
        self, features: FeatureSet, name: str, start: datetime | None, end: datetime | None, progress: Progress, overlap: timedelta | None
    ) -> int:
        view, window = features.views[name], self._options.window_of(name)
        rows = _Sorted(view, self._offline.read(name, view))
        noted = self._noted(definition(name, view), window)
        first = None if start is None else _microseconds(start)
        if overlap is not None and start is None and noted is not None:
            first = noted - round(overlap.total_seconds() * 1e6)
        last = int(rows.times.max()) if end is None else _microseconds(end)
        count = self._write(features, name, rows.between(first, last), progress)
        if count and (first is None or (noted is not None and first <= noted)):  # what lies before is online, without a hole
            reached = min(last, int(rows.times.max()))
            self._note(definition(name, view), window, reached if noted is None else max(noted, reached))
        return count

    def push(self, features: FeatureSet, name: str, frame: pd.DataFrame) -> int:
        """Finished rows as a stream brings them."""
        with self._alone(name):
            rows = _Sorted(features.views[name], frame)
            return self._write(features, name, rows.between(None, None, cut=True), lambda _: None)

    def _write(self, features: FeatureSet, name: str, series: list[_Series], progress: Progress) -> int:
        view = features.views[name]
        for done in range(0, len(series), _BATCH):
            batch = series[done : done + _BATCH]
            if self._records is not None:
                self._pack(self._records, name, view, batch)
            self._mirror(features, name, batch)
            times = np.concatenate([s.rows.times[[0, -1]] for s in batch])
            first, last = (str(t) for t in np.array([times.min(), times.max()]).astype("M8[us]"))
            progress(f"materialize: {name}: {done + len(batch):,} of {len(series):,} entities, {first} to {last}")
        return len(series)

    def _pack(self, records: RecordStore, name: str, view: View, batch: Sequence[_Series]) -> None:
        shape, window = [len(part) for part in columns(view)], self._options.window_of(name)

        def merged(held: list[Pair]) -> list[Pair]:
            made: list[Pair] = []
            for series, (newest, kept) in zip(batch, held, strict=True):
                old = None if newest is None else decode(newest, *shape)
                before = None if kept is None else decode(kept, *shape)
                if before is not None:
                    old = before if old is None else merge(before, old)
                rows = merge(old, series.rows)
                length = max(window, 0 if before is None else len(before))  # an experiment that keeps fewer shortens nobody's
                made.append((rows.last(1).encode(), rows.last(length).encode() if length > 1 or before is not None else None))
            return made

        with failing(f"materialize '{name}'"):
            records.update(record_keys(definition(name, view), [series.key for series in batch]), merged)

    def _mirror(self, features: FeatureSet, name: str, batch: Sequence[_Series]) -> None:
        """The newest rows into Feast's own layout, where they are not older than what is there: not every store looks."""
        view = features.views[name]
        entities = [dict(zip(view.entity, series.key, strict=True)) for series in batch]
        alone = FeatureSet(primary=name, views={name: view})
        held = read_newest(self._store, alone, entities, frozenset(view.feature_names()[:1]))[name].times.view(np.int64)
        absent = np.iinfo(np.int64).min  # what NaT is
        newer = [series for series, time in zip(batch, held.tolist(), strict=True) if time == absent or series.rows.times[-1] >= time]
        if not newer:
            return
        numbers, categories = columns(view)
        keys = [dict(zip(view.entity, series.key, strict=True)) or NO_KEY for series in newer]
        frame = pd.DataFrame(keys, dtype=object)
        if view.created is not None:
            frame[view.created] = [series.created for series in newer]
        frame[TIME] = pd.DatetimeIndex(np.array([s.rows.times[-1] for s in newer]).astype("M8[us]")).tz_localize("UTC")
        values = {n: np.array([s.rows.numbers[-1, i] for s in newer]) for i, n in enumerate(numbers)}
        values |= {n: np.array([s.rows.categories[-1, i] for s in newer], dtype=object) for i, n in enumerate(categories)}
        with quiet(), failing(f"materialize '{name}'"):
            feast_view = self._store.get_feature_view(name)
            self._store.provider.ingest_df(feast_view, pd.concat([frame, pd.DataFrame(values)], axis=1))

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        lock = Path(self._options.state) / f"{name}.online.lock"
        with exclusive(lock, f"the materialization of view '{name}'", limit=LONG_PATIENCE):
            yield

    def _noted(self, made: str, window: int) -> int | None:
        """How far the view is online without a hole, None when it is not with so long a window."""
        with failing("materialize"):
            text = self._marks.mark(made)
        if text is None:
            return None
        mark = json.loads(text)
        return int(mark["through"]) if mark["window"] >= window else None

    def _note(self, made: str, window: int, through: int) -> None:
        with failing("materialize"):
            self._marks.set_mark(made, json.dumps({"through": through, "window": window}))


@dataclass(frozen=True, slots=True)
class _Series:
    """The rows of one entity, rising in time; when the last of them became known, in a view that says so."""

    key: tuple[str, ...]
    rows: Rows
    created: pd.Timestamp | None


class _Sorted:
    """A view's rows as arrays, sorted by key and time."""

    def __init__(self, view: View, frame: pd.DataFrame) -> None:
        frame = frame.sort_values([*view.identity()], kind="stable").drop_duplicates([*view.entity, TIME], keep="last")
        numbers, categories = columns(view)
        self.keys: Objects = frame[list(view.entity)].astype(str).to_numpy(dtype=object)
        self.times: Moments = pd.DatetimeIndex(frame[TIME]).tz_convert("UTC").tz_localize(None).to_numpy().astype("M8[us]").view(np.int64)
        self.numbers = frame[list(numbers)].to_numpy(dtype=np.float64, na_value=np.nan)
        self.created = None if view.created is None else frame[view.created].tolist()
        texts = frame[list(categories)].astype(object)
        self.categories: Objects = texts.where(texts.notna(), None).to_numpy(dtype=object)

    def between(self, first: int | None, last: int | None, cut: bool = False) -> list[_Series]:
        """The entities that have rows in the range, with these rows."""
        if not len(self.times):
            return []
        starts = np.append(0, np.flatnonzero((self.keys[1:] != self.keys[:-1]).any(axis=1)) + 1)
        series = []
        for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(self.times)], strict=True):
            times = self.times[start:stop]
            low = 0 if first is None else int(np.searchsorted(times, first))
            high = len(times) if last is None else int(np.searchsorted(times, last, side="right"))
            if low < high:
                part = slice(start + low, start + high)
                rows = Rows(self.times[part], self.numbers[part], self.categories[part], cut or low > 0)
                created = None if self.created is None else self.created[start + high - 1]
                series.append(_Series(tuple(self.keys[start]), rows, created))
        return series


class _FileMarks:
    """Marks for an online store without packed records: one small file for each store and view."""

    def __init__(self, options: FeastOptions) -> None:
        made = json.dumps([options.store.get("project"), online_store(options.store)], sort_keys=True, default=str)
        self._folder, self._store = Path(options.state), hashlib.sha256(made.encode()).hexdigest()[:8]

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.{self._store}.mark"

    def mark(self, name: str) -> str | None:
        path = self._path(name)
        return path.read_text() if path.is_file() else None

    def set_mark(self, name: str, text: str) -> None:
        temporary = self._path(name).with_suffix(".tmp")
        temporary.write_text(text)
        temporary.replace(self._path(name))


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
