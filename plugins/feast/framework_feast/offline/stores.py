"""The choice of the store that ``feature_store.offline_store`` names. Imports no Feast."""

from __future__ import annotations

from typing import Any

from framework.retrieval.parquet_store import OfflineStore
from framework.retrieval.row_store import RowStore
from framework_feast.repository.sources import offline_type


def row_store(options: Any) -> RowStore:
    """Return the store of ``options.store``; it connects to nothing yet."""
    kind = offline_type(options.store)
    if kind == "duckdb":
        return OfflineStore(options.state)
    if kind == "postgres":
        from framework_feast.offline.postgres import PostgresStore

        return PostgresStore(options.store["offline_store"])
    from framework_feast.offline.warehouse import WarehouseStore

    return WarehouseStore(options.store)
