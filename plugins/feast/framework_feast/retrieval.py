"""Retrieval through Feast's SDK: ``get_historical_features`` for training, the newest online row for serving."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import Any, ClassVar

import pandas as pd
from feast import FeatureStore

from framework.errors import DataError, suggest
from framework.interfaces.retrieval import Progress, RetrievalStrategy
from framework.interfaces.values import TIME, Context, Schema
from framework.interfaces.views import FeatureSet
from framework.offline import OfflineStore
from framework_feast.definitions import feast_objects
from framework_feast.online import read_context
from framework_feast.store import apply, failing, open_store, quiet


class FeastRetrieval(RetrievalStrategy):
    """The offline rows are Parquet files below ``options.state``; Feast joins them and keeps the newest row of each key online."""

    max_context_length: ClassVar[int | None] = 1

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._offline = OfflineStore(options.state)
        self._lock = Lock()
        self._opened: FeatureStore | None = None

    @property
    def _store(self) -> FeatureStore:
        """Opened when it is first needed, once, whichever thread asks."""
        with self._lock:
            if self._opened is None:
                self._opened = open_store(self.options.store)
            return self._opened

    def ingest(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        """Equal keys and times are resolved here: the offline store would give one or the other of a tie."""
        store, objects = self._store, feast_objects(features, self._offline)  # what is refused must not leave rows behind
        stored = self._offline.write(view, features.views[view], rows)
        apply(store, objects, self._offline)
        return stored

    def has_rows(self, features: FeatureSet) -> bool:
        return all(self._offline.rows(name, view) for name, view in features.views.items())

    def training_rows(self, features: FeatureSet, columns: Sequence[str], known_at: datetime | None = None) -> pd.DataFrame:
        owners = {feature: name for name, view in features.views.items() for feature in view.feature_names()}
        unknown = [c for c in columns if c not in owners]
        if unknown:
            raise DataError(f"features: {unknown} are in no view;{suggest(unknown[0], owners)}")
        identity = [*features.entity_keys, TIME]
        steps = self._offline.read(features.primary, features.views[features.primary])[identity]
        apply(self._store, feast_objects(features, self._offline), self._offline)
        with quiet(), failing("get_historical_features"):
            rows = self._store.get_historical_features(steps, [f"{owners[c]}:{c}" for c in columns]).to_df()
        rows[TIME] = pd.DatetimeIndex(pd.to_datetime(rows[TIME], utc=True)).as_unit("us")
        if len(rows) != len(steps):
            raise DataError(
                f"retrieval=feast: the point-in-time join gave {len(rows)} rows for {len(steps)} steps; use another offline store."
            )
        return rows.sort_values(identity, kind="stable", ignore_index=True)[[*identity, *columns]]

    def materialize(self, features: FeatureSet, start: datetime | None, end: datetime | None, progress: Progress) -> dict[str, int]:
        """Write the newest row of each key from ``start`` (None: the first row) to ``end`` (None: the last) online, inclusive.

        The window is always explicit: an incremental one would miss rows that arrived late. A window that ends before
        what is online puts the older rows back.
        """
        apply(self._store, feast_objects(features, self._offline), self._offline)
        written = {}
        for name, view in features.views.items():
            rows = self._offline.read(name, view)[[*view.entity, TIME]]
            first, last = rows[TIME].min() if start is None else pd.Timestamp(start), rows[TIME].max() if end is None else pd.Timestamp(end)
            inside = rows[(rows[TIME] >= first) & (rows[TIME] <= last)]
            written[name] = len(inside[list(view.entity)].drop_duplicates())
            if written[name]:
                progress(f"materialize: {name}: {inside[TIME].min()} to {inside[TIME].max()}")
                with quiet(), failing(f"materialize '{name}'"):
                    self._store.materialize(first.to_pydatetime(), last.to_pydatetime(), feature_views=[name])
        return written

    async def context(self, features: FeatureSet, schema: Schema, entities: Sequence[dict[str, str]], at: datetime | None) -> Context:
        """The SDK blocks, so it is called in a thread."""
        return await asyncio.to_thread(self._context, features, schema, entities, at)

    def _context(self, features: FeatureSet, schema: Schema, entities: Sequence[dict[str, str]], at: datetime | None) -> Context:
        with failing("get_online_features (run=ingest and run=materialize come first)"):
            return read_context(self._store, features, schema, entities, None if at is None else at.astimezone(UTC))

    async def close(self) -> None:
        """Close the online store's clients; the next call opens a new store."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()
