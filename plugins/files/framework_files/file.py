"""Retrieval from Parquet files: point-in-time joins in memory, any length of history, no server and
no feature store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from framework.data.canonical_text import canonical_text
from framework.data.context import Context
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.time import to_numpy
from framework.features.views import FeatureSet
from framework.interfaces.retrieval import Needs, Progress, RetrievalStrategy, StoredRows
from framework.retrieval.freshness import utc_now
from framework.retrieval.parquet_store import OfflineStore
from framework.retrieval.point_in_time import joined_rows, store_parts, view_rows
from framework.retrieval.stored_panel import columns_of, stored_context, stored_panel

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class FileRetrieval(RetrievalStrategy):
    """Keeps each view in one Parquet file below ``options.state``; serving reads them again when
    they have changed.
    """

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._store = OfflineStore(options.state)
        self._lock = Lock()
        self._loaded: dict[tuple[object, ...], Panel] = {}

    def ingest(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        return self._store.write(view, features.views[view], rows)

    @contextmanager
    def ingesting(self, features: FeatureSet, view: str) -> Iterator[Callable[[pd.DataFrame], int]]:
        with self._store.writing(view, features.views[view]) as add:
            yield add

    def remove(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        return self._store.remove(view, features.views[view], rows)

    def stored_rows(
        self, features: FeatureSet, view: str, series: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        return self._store.series(view, features.views[view], series)

    def entities(self, features: FeatureSet) -> pd.DataFrame:
        return self._store.entities(features.primary, features.views[features.primary])

    def disk(self, features: FeatureSet) -> tuple[Path, int] | None:
        return self._store.disk(features.views)

    def has_rows(self, features: FeatureSet) -> bool:
        return all(self._store.rows(name, view) for name, view in features.views.items())

    def count(self, features: FeatureSet) -> int | None:
        return self._store.rows(features.primary, features.views[features.primary])

    @contextmanager
    def parts(self, features: FeatureSet, rows: int) -> Iterator[Sequence[StoredRows]]:
        with store_parts(self._store, features, rows) as parts:
            yield parts

    def training_rows(
        self, features: FeatureSet, columns: Sequence[str], known_at: datetime | None = None
    ) -> pd.DataFrame:
        return joined_rows(features, self._store, columns, known_at)

    def view_rows(
        self,
        features: FeatureSet,
        view: str,
        columns: Sequence[str],
        known_at: datetime | None = None,
    ) -> pa.Table:
        return view_rows(features, self._store, view, columns, known_at)

    def materialize(
        self,
        features: FeatureSet,
        start: datetime | None,
        end: datetime | None,
        progress: Progress,
        *,
        views: Sequence[str] | None = None,
        overlap: timedelta | None = None,
        needs: Needs | None = None,
    ) -> dict[str, int]:
        """Nothing to do: serving reads the rows that training reads."""
        return {}

    async def context(
        self,
        features: FeatureSet,
        schema: Schema,
        entities: Sequence[dict[str, str]],
        at: datetime | None,
    ) -> Context:
        return await asyncio.to_thread(self._context, features, schema, entities, at)

    def _context(
        self,
        features: FeatureSet,
        schema: Schema,
        entities: Sequence[dict[str, str]],
        at: datetime | None,
    ) -> Context:
        keys = [
            tuple(canonical_text(entity.get(k)) or "" for k in schema.entity_keys)
            for entity in entities
        ]
        origin = None if at is None else to_numpy(at)
        now = utc_now() if at is None else None
        return stored_context(self._load(features, schema), features, schema, keys, origin, now)

    def _load(self, features: FeatureSet, schema: Schema) -> Panel:
        """The joined rows of this schema, from memory while no file has changed."""
        with self._lock:
            stamps = tuple(self._store.stamp(name, view) for name, view in features.views.items())
            tables = (
                schema.targets,
                schema.past,
                schema.known,
                schema.static,
                schema.frequency,
                schema.horizon,
            )
            key = (features.model_dump_json(), stamps, *tables)
            if key not in self._loaded:
                self._loaded = {
                    k: v for k, v in self._loaded.items() if k[:2] == key[:2]
                }  # what older files gave is of no use
                self._loaded[key] = stored_panel(
                    self, features, columns_of(schema), gaps="insert"
                )  # null: answered where training knew nulls
            return self._loaded[key]
