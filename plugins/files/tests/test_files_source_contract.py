"""``source=files`` keeps the contract of sources, with text files and with Parquet."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from framework_files.options import FilesOptions
from framework_files.source import FilesSource

from framework.testing.contracts.source import TABLE, SourceContract


class TestCsv(SourceContract):
    def make(self, tmp_path: Path, rows: pd.DataFrame) -> FilesSource:
        place = tmp_path / "sales.csv"
        rows.to_csv(place, index=False)
        return FilesSource(FilesOptions(files={TABLE: str(place)}))


class TestParquet(SourceContract):
    def make(self, tmp_path: Path, rows: pd.DataFrame) -> FilesSource:
        place = tmp_path / "sales.parquet"
        rows.to_parquet(place, index=False)
        return FilesSource(FilesOptions(files={TABLE: str(place)}))
