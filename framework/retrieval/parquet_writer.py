"""A Parquet file of sorted rows, written while its pieces come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from framework.errors import FrameworkError
from framework.features.views import View
from framework.retrieval.row_store import distinct

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows of a row group, as pyarrow has it for a file that is written at once: the same rows are the
#: same bytes, however many pieces they came in.
ROW_GROUP = 1024 * 1024


class SortedWriter:
    """Merges pieces with the rows of an older file. Both are sorted by identity."""

    def __init__(
        self, stream: BinaryIO, view: View, schema: pa.Schema, old: Iterator[pa.Table]
    ) -> None:
        import pyarrow.parquet as pq

        self._view, self._schema, self._old = view, schema, old
        self._writer = pq.ParquetWriter(stream, schema, compression="zstd")
        self._rest = schema.empty_table()  # rows of the old file that were read and are not due
        self._waiting: list[pa.Table] = []  # rows that do not fill a row group yet
        self._last: tuple[Any, ...] | None = None

    def add(self, piece: pa.Table) -> None:
        """Write the rows of some series, and what was stored up to them.

        Args:
            piece: Their new rows, sorted, no identity twice.

        Raises:
            FrameworkError: The series do not come after those of the piece before.
        """
        first, last = self._key(piece, 0), self._key(piece, piece.num_rows - 1)
        if self._last is not None and first <= self._last:
            raise FrameworkError(
                f"offline store: the rows of series {first} come after those of {self._last}; a "
                "source gives the parts of a table in the order of their keys."
            )
        self._last = last
        old = self._due(last)
        self._put(distinct(self._view, _joined([*old, piece])) if old else piece)

    def finish(self) -> None:
        """Write what is left."""
        for table in (self._rest, *self._old):
            self._put(table)
        self._flush(0)

    def end(self) -> None:
        """Write no more; a file that was not finished is of no use."""
        self._writer.close()

    def _key(self, table: pa.Table, row: int) -> tuple[Any, ...]:
        return tuple(table[key][row].as_py() for key in self._view.entity)

    def _due(self, last: tuple[Any, ...]) -> list[pa.Table]:
        """The old rows whose keys are not later."""
        due = []
        while True:
            count = self._not_later(self._rest, last)
            due += [self._rest.slice(0, count)] if count else []
            self._rest = self._rest.slice(count)
            if self._rest.num_rows:
                return due
            following = next(self._old, None)
            if following is None:
                return due
            self._rest = following

    def _not_later(self, table: pa.Table, last: tuple[Any, ...]) -> int:
        """Count the rows from the first one whose keys are ``last`` or come before."""
        low, high = 0, table.num_rows
        while low < high:
            middle = (low + high) // 2
            if self._key(table, middle) <= last:
                low = middle + 1
            else:
                high = middle
        return low

    def _put(self, table: pa.Table) -> None:
        if table.num_rows:
            self._waiting.append(table)
            self._flush(ROW_GROUP)

    def _flush(self, least: int) -> None:
        """Write row groups while at least so many rows are waiting."""
        count = sum(table.num_rows for table in self._waiting)
        if not count or count < least:
            return
        rows = _joined(self._waiting)
        whole = count if not least else count - count % least
        self._writer.write_table(rows.slice(0, whole).combine_chunks(), row_group_size=ROW_GROUP)
        self._waiting = [rows.slice(whole)] if whole < count else []


def _joined(tables: list[pa.Table]) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables(tables)
