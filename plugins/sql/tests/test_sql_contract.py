"""``source=sql`` keeps the contract of sources, with a watermark and without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import sqlalchemy as sa
from framework_sql.options import SqlOptions
from framework_sql.source import SqlSource

from framework.data.vocabulary import TIME
from framework.testing.contracts.source import TABLE, SourceContract


class TestEverything(SourceContract):
    table: ClassVar[dict[str, Any]] = {}

    def make(self, tmp_path: Path, rows: pd.DataFrame) -> SqlSource:
        url = f"sqlite:///{tmp_path / 'sales.db'}"
        engine = sa.create_engine(url)
        written = rows.assign(
            **{TIME: [time.isoformat() for time in rows[TIME]]}, entry=range(len(rows))
        )
        written.to_sql(TABLE, engine, index=False, if_exists="replace")
        engine.dispose()
        query = f"SELECT shop, {TIME}, y, kind, entry FROM {TABLE} ORDER BY entry"
        tables = {TABLE: {"query": query, **self.table}}
        return SqlSource(SqlOptions.model_validate({"url": url, "tables": tables, "chunk": 2}))


class TestFromTheWatermarkOn(TestEverything):
    table: ClassVar[dict[str, Any]] = {"watermark": "entry"}
