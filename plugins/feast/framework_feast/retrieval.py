"""Retrieval from a Feast feature store: point-in-time joins of its offline rows for training, the newest online row for serving."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from framework.interfaces.retrieval import Progress, RetrievalStrategy
from framework.interfaces.values import TIME, Context, Schema
from framework.interfaces.views import FeatureSet
from framework.offline import RowStore
from framework.point_in_time import joined_rows
from framework_feast.offline import row_store

if TYPE_CHECKING:  # importing Feast takes seconds, and training does without it
    from feast import FeatureStore


class FeastRetrieval(RetrievalStrategy):
    """``options.store`` says where the offline rows are; the newest row of each key is kept online."""

    max_context_length: ClassVar[int | None] = 1

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._lock = Lock()
        self._opened: FeatureStore | None = None

    @cached_property
    def _offline(self) -> RowStore:
        return row_store(self.options)

    @property
    def _store(self) -> FeatureStore:
        """Opened when it is first needed, once, whichever thread asks."""
        from framework_feast.store import open_store

        with self._lock:
            if self._opened is None:
                self._opened = open_store(self.options.store)
            return self._opened

    def ingest(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        """Feast knows the views from then on; a store that it refuses leaves no rows behind."""
        store = self._store
        stored = self._offline.write(view, features.views[view], rows)
        self._apply(store, features)
        return stored

    def has_rows(self, features: FeatureSet) -> bool:
        return all(self._offline.rows(name, view) for name, view in features.views.items())

    def training_rows(self, features: FeatureSet, columns: Sequence[str], known_at: datetime | None = None) -> pd.DataFrame:
        if self.options.join == "arrays":
            return joined_rows(features, self._offline, columns, known_at)
        from framework_feast.historical import historical_rows

        self._apply(self._store, features)
        return historical_rows(self._store, features, self._offline, columns, known_at)

    def materialize(self, features: FeatureSet, start: datetime | None, end: datetime | None, progress: Progress) -> dict[str, int]:
        """Write the newest row of each key from ``start`` (None: the first row) to ``end`` (None: the last) online, inclusive.

        The window is always explicit: an incremental one would miss rows that arrived late. A window that ends before
        what is online puts the older rows back.
        """
        from framework_feast.store import failing, quiet

        self._apply(self._store, features)
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
        from framework_feast.online import read_context
        from framework_feast.store import failing

        with failing("get_online_features (run=ingest and run=materialize come first)"):
            return read_context(self._store, features, schema, entities, None if at is None else at.astimezone(UTC))

    def _apply(self, store: FeatureStore, features: FeatureSet) -> None:
        from framework_feast.definitions import feast_objects
        from framework_feast.store import apply

        apply(store, feast_objects(features, self._offline), self.options.state)

    async def close(self) -> None:
        """Close the online store's clients; the next call opens a new store."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()
