"""Rows of views in a warehouse, BigQuery or Snowflake: tables that are made there, read through
Feast's own offline store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa

from framework.data.vocabulary import TIME
from framework.errors import ConfigError
from framework.features.views import View
from framework.retrieval.row_store import distinct, typed
from framework_feast.light import DataSource
from framework_feast.repository.sources import FeastRows, source_settings
from framework_feast.repository.store import failing, open_store, quiet

#: Feast's sources want an interval; every row lies in this one.
_ALWAYS = (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))


class WarehouseStore(FeastRows):
    """``content``: a feature_store.yaml's. A view's rows are the table of its name (``table``
    overrides), every feature a column.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content

    def source(self, name: str, view: View) -> DataSource:
        """Feast's description of the view's table."""
        offline, place = self.content["offline_store"], view.table or name
        settings = source_settings(name, view)
        if offline["type"] == "bigquery":
            from feast import BigQuerySource

            prefix = ".".join(p for p in (offline.get("project_id"), offline.get("dataset")) if p)
            return BigQuerySource(table=place if "." in place else f"{prefix}.{place}", **settings)
        from feast import SnowflakeSource

        return SnowflakeSource(
            database=offline["database"], schema=offline.get("schema"), table=place, **settings
        )

    def write(self, name: str, view: View, rows: pd.DataFrame) -> int:
        """Raises :class:`ConfigError`: a warehouse's tables are made in the warehouse."""
        kind = self.content["offline_store"]["type"]
        raise ConfigError(
            f"feature_store.offline_store.type={kind}: the rows of view '{name}' are made "
            f"there (table '{view.table or name}', columns "
            f"{[*view.identity(), *view.feature_names()]}), not ingested; run=materialize "
            "or run=train reads them."
        )

    def kept(self, view: View) -> tuple[str, ...]:
        """Tables that are made in the warehouse say of no row that it fills a gap."""
        return view.feature_names()

    def rows(self, name: str, view: View) -> int:
        return int(self.table(name, view, []).num_rows)

    def table(self, name: str, view: View, features: Sequence[str]) -> pa.Table:
        store = open_store(self.content)
        times = {"timestamp_field": TIME, "created_timestamp_column": view.created}
        with quiet(), failing(f"read '{name}'"):
            job = store.provider.offline_store.pull_all_from_table_or_query(
                config=store.config,
                data_source=self.source(name, view),
                join_key_columns=list(view.entity),
                feature_name_columns=list(features),
                start_date=_ALWAYS[0],
                end_date=_ALWAYS[1],
                **times,
            )
            rows = job.to_df()
        return distinct(view, typed(name, _only(view, features), rows)).select(
            [*view.identity(), *features]
        )


def _only(view: View, features: Sequence[str]) -> View:
    """The view with these features alone, as plain columns."""
    return view.model_copy(
        update={
            "columns": tuple(features),
            "engineer": (),
            "categories": tuple(c for c in view.categories if c in features),
        }
    )
