"""Retrieval from Parquet files: point-in-time joins in memory, any length of history, no server and no feature store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from framework.frequency import Frequency
from framework.freshness import absent_origin, check_context, utc_now
from framework.interfaces.retrieval import Progress, RetrievalStrategy
from framework.interfaces.values import MISSING_FEATURE, TIME, Context, Schema, Times
from framework.interfaces.views import FeatureSet, View
from framework.offline import OfflineStore
from framework.panel import Panel, panel_from_rows
from framework.point_in_time import join_tables, joined_rows
from framework.versions import moments, newest_versions

_NAT = np.datetime64("NaT", "us")
Stored = dict[tuple[str, ...], Times]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The joined rows as a panel, and the times at which each view has a row, by key."""

    panel: Panel
    times: dict[str, Stored]


class FileRetrieval(RetrievalStrategy):
    """Keeps each view in one Parquet file below ``options.state``; serving reads them again when they have changed."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._store = OfflineStore(options.state)
        self._lock = Lock()
        self._loaded: dict[tuple[object, ...], _Loaded] = {}

    def ingest(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        return self._store.write(view, features.views[view], rows)

    def stored_rows(self, features: FeatureSet, view: str, series: pd.DataFrame | None = None) -> pd.DataFrame:
        return self._store.series(view, features.views[view], series)

    def entities(self, features: FeatureSet) -> pd.DataFrame:
        return self._store.entities(features.primary, features.views[features.primary])

    def has_rows(self, features: FeatureSet) -> bool:
        return all(self._store.rows(name, view) for name, view in features.views.items())

    def training_rows(self, features: FeatureSet, columns: Sequence[str], known_at: datetime | None = None) -> pd.DataFrame:
        return joined_rows(features, self._store, columns, known_at)

    def materialize(
        self,
        features: FeatureSet,
        start: datetime | None,
        end: datetime | None,
        progress: Progress,
        *,
        views: Sequence[str] | None = None,
        overlap: timedelta | None = None,
    ) -> dict[str, int]:
        """Nothing to do: serving reads the rows that training reads."""
        return {}

    async def context(self, features: FeatureSet, schema: Schema, entities: Sequence[dict[str, str]], at: datetime | None) -> Context:
        return await asyncio.to_thread(self._context, features, schema, entities, at)

    def _context(self, features: FeatureSet, schema: Schema, entities: Sequence[dict[str, str]], at: datetime | None) -> Context:
        loaded = self._load(features, schema)
        keys = [tuple(str(entity.get(k, "")) for k in schema.entity_keys) for entity in entities]
        origin = None if at is None else np.datetime64(at.astimezone(UTC).replace(tzinfo=None), "us")
        context = loaded.panel.context(schema, keys, origin)
        if origin is not None:
            _explain_absent(features, loaded.times[features.primary], context, keys, origin)
        held = {
            name: np.array(
                [_newest(loaded.times[name], key, o) for key, o in zip(_project(keys, schema, view), context.origins, strict=True)],
                "M8[us]",
            )
            for name, view in features.views.items()
        }
        return check_context(features, schema, context, held, utc_now() if at is None else None)

    def _load(self, features: FeatureSet, schema: Schema) -> _Loaded:
        """The joined rows of this schema, from memory while no file has changed."""
        with self._lock:
            stamps = tuple(self._store.stamp(name, view) for name, view in features.views.items())
            key = (features.model_dump_json(), stamps, schema.past, schema.known, schema.static, schema.frequency)
            if key not in self._loaded:
                self._loaded = {k: v for k, v in self._loaded.items() if k[:2] == key[:2]}  # what older files gave is of no use
                self._loaded[key] = self._join(features, schema)
            return self._loaded[key]

    def _join(self, features: FeatureSet, schema: Schema) -> _Loaded:
        tables = {
            name: newest_versions(view, self._store.table(name, view, view.feature_names()), None) for name, view in features.views.items()
        }
        categories = schema.static[len(schema.entity_keys) :]
        panel = panel_from_rows(
            join_tables(features, tables, [*schema.past, *schema.known, *categories]),
            entity_keys=schema.entity_keys,
            past=schema.past,
            known=schema.known,
            categories=categories,
            frequency=Frequency.parse(schema.frequency),
            gaps="insert",  # an inserted step is null: answered only where training knew nulls
        )
        return _Loaded(panel, {name: _times(features.views[name].entity, table) for name, table in tables.items()})


def _times(keys: tuple[str, ...], table: pa.Table) -> Stored:
    """The times of each key; the store keeps rows sorted by key and time."""
    times = moments(table[TIME])
    texts = table.select(keys).to_pandas().to_numpy(dtype=object)
    starts = [0, *(np.flatnonzero(np.any(texts[1:] != texts[:-1], axis=1)) + 1)]
    return {tuple(texts[start]): times[start:stop] for start, stop in pairwise([*starts, len(times)])}


def _project(keys: Sequence[tuple[str, ...]], schema: Schema, view: View) -> list[tuple[str, ...]]:
    """The keys of a view with fewer entity keys than the series have."""
    places = [schema.entity_keys.index(k) for k in view.entity]
    return [tuple(key[p] for p in places) for key in keys]


def _newest(stored: Stored, key: tuple[str, ...], origin: np.datetime64) -> np.datetime64:
    """The time of the newest row at or before ``origin``, NaT when there is none."""
    times = stored.get(key)
    place = 0 if times is None or np.isnat(origin) else int(np.searchsorted(times, origin, side="right"))
    return times[place - 1] if times is not None and place else _NAT


def _explain_absent(features: FeatureSet, stored: Stored, context: Context, keys: Sequence[tuple[str, ...]], at: np.datetime64) -> None:
    """Say of each window without a row at ``at`` what there is instead, and whether that is too old."""
    for j, key in enumerate(keys):
        if context.status[j] == MISSING_FEATURE:
            newest = _newest(stored, key, at)
            held = stored[key][0] if np.isnat(newest) else newest
            context.status[j], context.detail[j] = absent_origin(features.primary, features.views[features.primary], at, held)
