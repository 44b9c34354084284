"""CSV and Parquet files as the tables of feature views. What reads rows is imported when the first
one is read, so that a wrong name is refused at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from framework.interfaces.source import Batch, Roles, Source
from framework_files import declared, fingerprints

if TYPE_CHECKING:
    import pandas as pd

    from framework.features.views import View
    from framework_files.columns import Columns
    from framework_files.table_reader import TableReader


class FilesSource(Source):
    """The files are opened when the first table is read, and each CSV is parsed once."""

    @cached_property
    def _reader(self) -> TableReader:
        from framework_files.table_reader import TableReader

        return TableReader(self.options)

    def check(self, tables: Mapping[str, Roles]) -> None:
        for table, roles in tables.items():
            declared.check_table(self.options, table, roles)

    def read(self, table: str) -> pd.DataFrame:
        """The rows of one table. A time without a zone, and a date, are taken as UTC."""
        return self.read_as(table, Roles())

    def read_as(self, table: str, roles: Roles) -> pd.DataFrame:
        """The rows of one table; a text that can be read as two numbers or two times is refused
        where one is wanted.
        """
        return self._reader.read(table, roles)

    def batches(self, table: str, view: View, position: str | None) -> Iterator[Batch]:
        """The whole table, in parts of about ``chunk`` rows."""
        for rows, part in self._reader.parts(table, Roles.of_view(view), self.options.chunk):
            yield Batch(rows, whole=True, part=part)

    def texts(self, alias: str) -> Columns | None:
        """Give the columns of a CSV file as they are written, None for Parquet.

        Raises:
            DataError: The file cannot be read.
        """
        return self._reader.files.texts(alias)

    def warnings(self) -> list[str]:
        """Return one line for each column whose numbers may be thousands, or have texts for
        nulls.
        """
        return list(self._reader.files.warnings)

    def fingerprint(self) -> dict[str, str]:
        """``{"alias/file": sha256}`` of every file, and of every table's SQL and options under
        ``table``.
        """
        return fingerprints.fingerprint(self.options)

    def size(self, tables: Sequence[str]) -> int:
        return fingerprints.size_of(self.options, tables)

    def fingerprint_of(self, tables: Sequence[str]) -> dict[str, str]:
        """As :meth:`fingerprint`, of the files that these tables are made of alone."""
        return fingerprints.fingerprint_of(self.options, tables)
