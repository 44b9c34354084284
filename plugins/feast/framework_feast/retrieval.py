"""Retrieval from a Feast feature store: point-in-time joins of its offline rows for training, its
online store for serving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from framework.data.context import Context
from framework.data.schema import Schema
from framework.features.views import FeatureSet
from framework.interfaces.retrieval import Needs, Progress, RetrievalStrategy, StoredRows
from framework.retrieval.point_in_time import joined_rows, store_parts, view_rows
from framework.retrieval.row_store import RowStore
from framework_feast.offline.stores import row_store
from framework_feast.online.features import OnlineFeatures
from framework_feast.records.records import has_records

if TYPE_CHECKING:  # importing Feast takes seconds, and training and serving do without it
    import pandas as pd
    import pyarrow as pa

    from framework_feast.light import FeatureStore
    from framework_feast.online.materialize import Materializer


class FeastRetrieval(RetrievalStrategy):
    """``options.store`` says where the offline rows are, and where the newest rows of each key are
    kept for serving.
    """

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._lock = Lock()
        self._opened: FeatureStore | None = None
        self._files: list[tuple[int, int] | None] = []
        self._online = OnlineFeatures(
            options, lambda: self._store, self._forget, self._some_entities
        )
        packed = options.read != "sdk" and has_records(options.store)
        self.max_context_length, self.gives_known = None if packed else 1, packed

    @cached_property
    def _offline(self) -> RowStore:
        return row_store(self.options)

    @property
    def _store(self) -> FeatureStore:
        """Opened when it is first needed, whichever thread asks, and again when one of its files is
        another one.

        Feast keeps the registry in memory and SQLite open, and would go on with files that were
        removed.
        """
        from framework_feast.repository.store import file_identities, open_store

        with self._lock:
            files = file_identities(self.options.store)
            if self._opened is None or files != self._files:
                self._opened, self._files = open_store(self.options.store), files
            return self._opened

    def _forget(self) -> None:
        with self._lock:
            self._opened = None

    def ingest(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        """Feast knows the views from then on; a store that it refuses leaves no rows behind."""
        store = self._store
        count = self._offline.write(view, features.views[view], rows)
        self._apply(store, features)
        return count

    @contextmanager
    def ingesting(self, features: FeatureSet, view: str) -> Iterator[Callable[[pd.DataFrame], int]]:
        store, total = self._store, 0

        def counted(rows: pd.DataFrame) -> int:
            nonlocal total
            count = add(rows)
            total += count
            return count

        with self._offline.writing(view, features.views[view]) as add:
            yield counted
        if total:
            self._apply(store, features)

    def stored_rows(
        self, features: FeatureSet, view: str, series: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        return self._offline.series(view, features.views[view], series)

    def entities(self, features: FeatureSet) -> pd.DataFrame:
        return self._offline.entities(features.primary, features.views[features.primary])

    def _some_entities(self, features: FeatureSet) -> list[dict[str, str]]:
        """Up to a hundred stored entities, spread over all."""
        entities = self.entities(features)
        return [
            {str(k): v for k, v in row.items()}
            for row in entities.iloc[:: max(1, len(entities) // 100)][:100].to_dict("records")
        ]

    def disk(self, features: FeatureSet) -> tuple[Path, int] | None:
        return self._offline.disk(features.views)

    def has_rows(self, features: FeatureSet) -> bool:
        return all(self._offline.rows(name, view) for name, view in features.views.items())

    def count(self, features: FeatureSet) -> int | None:
        return self._offline.rows(features.primary, features.views[features.primary])

    @contextmanager
    def parts(self, features: FeatureSet, rows: int) -> Iterator[Sequence[StoredRows]]:
        if self.options.join != "arrays":  # Feast joins all rows at once
            yield [self]
            return
        with store_parts(self._offline, features, rows) as parts:
            yield parts

    def training_rows(
        self, features: FeatureSet, columns: Sequence[str], known_at: datetime | None = None
    ) -> pd.DataFrame:
        if self.options.join == "arrays":
            return joined_rows(features, self._offline, columns, known_at)
        from framework_feast.offline.historical import historical_rows

        self._apply(self._store, features)
        return historical_rows(self._store, features, self._offline, columns, known_at)

    def view_rows(
        self,
        features: FeatureSet,
        view: str,
        columns: Sequence[str],
        known_at: datetime | None = None,
    ) -> pa.Table:
        return view_rows(features, self._offline, view, columns, known_at)

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
        """Materialize; rows that another experiment keeps in a longer window stay online."""
        return self._materializer(features, needs).run(start, end, progress, views, overlap)

    def lengthen(self, features: FeatureSet, needs: Needs, progress: Progress) -> dict[str, int]:
        short = self._online.short_views(features, needs)
        return (
            self._materializer(features, needs).run(None, None, progress, short, None)
            if short
            else {}
        )

    def push(
        self, features: FeatureSet, view: str, rows: pd.DataFrame, needs: Needs | None = None
    ) -> int:
        return self._materializer(features, needs).push(view, rows)

    def _materializer(self, features: FeatureSet, needs: Needs | None) -> Materializer:
        from framework_feast.online.materialize import Materializer

        self._apply(self._store, features)
        return Materializer(
            self.options, self._offline, self._store, self._online.records, features, needs
        )

    async def context(
        self,
        features: FeatureSet,
        schema: Schema,
        entities: Sequence[dict[str, str]],
        at: datetime | None,
    ) -> Context:
        return await self._online.context(features, schema, entities, at)

    async def has_entities(self, features: FeatureSet) -> bool:
        return await self._online.has_entities(features)

    def _apply(self, store: FeatureStore, features: FeatureSet) -> None:
        from framework_feast.repository.definitions import feast_objects
        from framework_feast.repository.store import apply

        records = self._online.records
        if records is not None:
            records.clear_remains()
        apply(store, feast_objects(features, self._offline), self.options.state)

    async def close(self) -> None:
        """Close the online store's clients; the next call makes new ones."""
        await self._online.close()
        with self._lock:
            online, self._opened = self._opened, None
        if online is not None:
            await online.close()
