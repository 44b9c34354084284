"""A stranger's strategy keeps the contract with the public surface alone. It is what a plugin's
author writes: the class is at most 60 lines, and its store could be any other.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from framework.data.context import Context
from framework.data.schema import Schema
from framework.data.time import to_numpy
from framework.features.views import FeatureSet, View
from framework.interfaces.retrieval import RetrievalStrategy
from framework.interfaces.surface import SURFACE
from framework.retrieval.freshness import utc_now
from framework.retrieval.point_in_time import joined_rows, view_rows
from framework.retrieval.row_store import RowStore, digest_of, distinct, typed
from framework.retrieval.stored_panel import columns_of, stored_context, stored_panel
from framework.testing.contracts.retrieval import RetrievalContract


class MemoryStore(RowStore):
    """Rows in a dictionary, which a database would replace."""

    def __init__(self, tables: dict[str, pa.Table]) -> None:
        self._tables = tables

    def write(self, name: str, view: View, rows: pd.DataFrame) -> int:
        new, key = distinct(view, typed(name, view, rows)), name + digest_of(view)
        parts = [self._tables[key], new] if key in self._tables else [new]
        self._tables[key] = distinct(view, pa.concat_tables(parts))
        return int(new.num_rows)

    def rows(self, name: str, view: View) -> int:
        key = name + digest_of(view)
        return int(self._tables[key].num_rows) if key in self._tables else 0

    def table(self, name: str, view: View, features: Sequence[str]) -> pa.Table:
        return self._tables[name + digest_of(view)].select([*view.identity(), *features])


class MemoryRetrieval(RetrievalStrategy):
    """Serves what training reads."""

    def _store(self) -> MemoryStore:
        return MemoryStore(self.options)

    def ingest(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        return self._store().write(view, features.views[view], rows)

    def stored_rows(self, features: FeatureSet, view: str, series: Any = None) -> pd.DataFrame:
        return self._store().series(view, features.views[view], series)

    def has_rows(self, features: FeatureSet) -> bool:
        return all(self._store().rows(name, view) for name, view in features.views.items())

    def training_rows(
        self, features: FeatureSet, columns: Sequence[str], known_at: datetime | None = None
    ) -> pd.DataFrame:
        return joined_rows(features, self._store(), columns, known_at)

    def view_rows(
        self, features: FeatureSet, view: str, columns: Sequence[str], known_at: Any = None
    ) -> pa.Table:
        return view_rows(features, self._store(), view, columns, known_at)

    def materialize(self, *arguments: Any, **options: Any) -> dict[str, int]:
        return {}

    async def context(
        self, features: FeatureSet, schema: Schema, entities: Sequence[dict[str, str]], at: Any
    ) -> Context:
        keys = [tuple(entity[key] for key in schema.entity_keys) for entity in entities]
        panel = stored_panel(self, features, columns_of(schema), gaps="insert")
        origin, now = (to_numpy(at), None) if at is not None else (None, utc_now())
        return stored_context(panel, features, schema, keys, origin, now)


class TestMemory(RetrievalContract):
    def make(self, tmp_path: Path) -> MemoryRetrieval:
        stores = vars(self).setdefault("stores", {})
        return MemoryRetrieval(stores.setdefault(tmp_path, {}))


def test_it_is_small_and_imports_the_public_surface_alone() -> None:
    assert sum(len(inspect.getsource(c).split("\n")) for c in (MemoryStore, MemoryRetrieval)) <= 60
    surface = {name for names in SURFACE.values() for name in names}
    imported = {
        node.module
        for node in ast.walk(ast.parse(Path(__file__).read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("framework.")
    } - {"framework.interfaces.surface"}
    assert all(any(f"{name}.".startswith(f"{m}.") for m in surface) for name in imported), imported
