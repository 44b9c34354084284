"""``ledger=files``: Parquet files below ``paths.state``, and how much of what was forecast they
have.

Each process of a server has a file of counts and writes segments::

    serving/ledger/NAME/counts/PROCESS                             three numbers and a lock
    serving/ledger/NAME/2026-11-28/PROCESS.FIRST-AFTER-LOST.parquet

The process numbers its forecasts. A segment accounts for the numbers ``FIRST`` to ``AFTER - 1``,
of which it holds those that were to be kept; ``LOST`` forecasts of the process had been lost when
it was written. A segment whose range lies within another's was merged into that one, and stays a
while for those who are reading.

The counts are how many forecasts were offered, accounted for, and lost. They are written by system
calls, so they outlive a process that is killed (not a machine that stops), and the lock says
whether the process is alive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from framework.errors import DataError
from framework.interfaces.ledger import Count, Ledger, LedgerCounts, LedgerWriter
from framework.monitoring.ledger_counts import read_counts
from framework.monitoring.ledger_segments import FORMAT, FORMAT_KEY, folder_of, segments

if TYPE_CHECKING:
    import pyarrow as pa


class FilesLedger(Ledger):
    """Keeps forecasts in files of this machine, or of a folder that several share."""

    def writer(self, name: str, state: Path, count: Count) -> LedgerWriter | None:
        if not self.options.share:
            return None
        from framework.monitoring.ledger_writer import FilesWriter  # brings numpy and Arrow

        return FilesWriter(self.options, folder_of(state, name), name, count)

    def read(
        self, name: str, state: Path, columns: Sequence[str], since: datetime | None
    ) -> Iterator[pa.Table]:
        first = date.min if since is None else since.astimezone(UTC).date()
        folder = folder_of(state, name)
        for segment in segments(folder):
            if date.fromisoformat(segment.path.parent.name) >= first:
                table = _read(segment.path, columns, since)
                if table is not None:
                    yield table
                elif any(map(segment.is_within, segments(folder))):
                    raise DataError(
                        f"{segment.path}: this file was merged into another while the ledger was "
                        "read; run it again."
                    )

    def counts(self, name: str, state: Path) -> LedgerCounts:
        folder = folder_of(state, name)
        newest = {segment.process: segment for segment in segments(folder)}
        missing_count = waiting = 0
        for one in read_counts(folder / "counts"):
            accounted, lost = one.accounted, one.lost
            segment = newest.get(one.process)
            if segment is not None and segment.after > accounted:
                accounted, lost = segment.after, max(lost, segment.lost)
            open_ = max(one.offered - accounted, 0)
            missing_count += lost + (0 if one.alive else open_)
            waiting += open_ if one.alive else 0
        return LedgerCounts(missing_count, waiting)


def _read(path: Path, columns: Sequence[str], since: datetime | None) -> pa.Table | None:
    """A segment's rows, None when the file went meanwhile."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            number = int((file.schema_arrow.metadata or {}).get(FORMAT_KEY, b"1"))
            if number > FORMAT:
                raise DataError(
                    f"{path}: it has the form {number} of a ledger's file, this version reads "
                    f"{FORMAT}; a later version wrote it, install that one."
                )
            selection = [n for n in names if any(_means(column, n) for column in columns)]
            table = file.read(columns=selection)
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: this file of the ledger cannot be read ({reason}); move it away."
        ) from error
    if since is None or "at" not in table.column_names:
        return table
    import pyarrow.compute as pc

    return table.filter(pc.greater_equal(table["at"], pa.scalar(since, table["at"].type)))


def _means(column: str, name: str) -> bool:
    return name.startswith(column[:-1]) if column.endswith("*") else name == column
