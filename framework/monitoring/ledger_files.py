"""``ledger=files``: Parquet files below ``paths.state``, and how much of what was forecast they
have.

Each process of a server has a file of counts and writes segments::

    serving/ledger/NAME/counts/PROCESS                             three numbers and a lock
    serving/ledger/NAME/2026-11-28/PROCESS.FIRST-AFTER-LOST.parquet

The process numbers its forecasts. A segment accounts for the numbers ``FIRST`` to ``AFTER - 1``,
of which it holds those that were to be kept; ``LOST`` forecasts of the process had been lost when
it was written. A segment whose range lies within another's was merged into that one.

The counts are how many forecasts were offered, accounted for, and lost. They are written by system
calls, so they outlive a process that is killed (not a machine that stops), and the lock says
whether the process is alive.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from framework.errors import DataError
from framework.interfaces.ledger import Count, Ledger, LedgerCounts, LedgerWriter

if TYPE_CHECKING:
    import pyarrow as pa

_NAME = re.compile(r"(?P<process>.+)\.(?P<first>\d+)-(?P<after>\d+)-(?P<lost>\d+)\.parquet")
#: Where the segments of a ledger are.
SEGMENTS = "????-??-??/*.parquet"
_NUMBERS = struct.Struct("<QQQ")
#: The places of the counts.
OFFERED, ACCOUNTED, LOST = 0, 1, 2


def folder_of(state: Path, name: str) -> Path:
    """The folder of a pair's ledger."""
    return state / "serving" / "ledger" / name


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of forecasts, as its name says."""

    path: Path
    process: str
    first: int
    after: int
    lost: int

    @classmethod
    def parse(cls, path: Path) -> Self | None:
        """Read a name, None when it is no segment's."""
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        return cls(path, match["process"], *(int(match[k]) for k in ("first", "after", "lost")))

    @classmethod
    def name(cls, process: str, first: int, after: int, lost: int) -> str:
        """The name of a segment, which sorts by what it accounts for."""
        return f"{process}.{first:012d}-{after:012d}-{lost}.parquet"


def segments(folder: Path) -> list[Segment]:
    """The segments of a ledger, oldest first, without those that were merged into others."""
    return covering_segments(folder.glob(SEGMENTS))


def covering_segments(paths: Iterable[Path]) -> list[Segment]:
    """:func:`segments` of these files."""
    parsed = [Segment.parse(path) for path in paths]
    known = [segment for segment in parsed if segment is not None]
    covering: list[Segment] = []
    for segment in sorted(known, key=lambda s: (s.process, s.first, -s.after)):
        last = covering[-1] if covering else None
        if last is None or last.process != segment.process or segment.after > last.after:
            covering.append(segment)
    return sorted(covering, key=lambda s: (s.path.parent.name, s.path.name))


class Counts:
    """The counts of this process, which hold its lock. ``path`` is in a folder that exists."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.pwrite(self._file, _NUMBERS.pack(0, 0, 0), 0)

    def write(self, place: int, number: int) -> None:
        """Raises OSError."""
        os.pwrite(self._file, number.to_bytes(8, "little"), 8 * place)

    def close(self) -> None:
        os.close(self._file)


def read_counts(path: Path) -> tuple[int, int, int, bool]:
    """Offered, accounted for, lost, and whether the process is alive."""
    with path.open("rb") as file:
        content = file.read(_NUMBERS.size).ljust(_NUMBERS.size, b"\0")
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return *_NUMBERS.unpack(content), True
    return *_NUMBERS.unpack(content), False


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
        for segment in segments(folder_of(state, name)):
            if date.fromisoformat(segment.path.parent.name) >= first:
                table = _read(segment.path, columns, since)
                if table is not None:
                    yield table

    def counts(self, name: str, state: Path) -> LedgerCounts:
        folder = folder_of(state, name)
        newest = {segment.process: segment for segment in segments(folder)}
        missing = waiting = 0
        for path in sorted((folder / "counts").glob("*")):
            offered, accounted, lost, alive = read_counts(path)
            segment = newest.get(path.name)
            if segment is not None and segment.after > accounted:
                accounted, lost = segment.after, max(lost, segment.lost)
            open_ = max(offered - accounted, 0)
            missing += lost + (0 if alive else open_)
            waiting += open_ if alive else 0
        return LedgerCounts(missing, waiting)


def _read(path: Path, columns: Sequence[str], since: datetime | None) -> pa.Table | None:
    """A segment's rows, None when the file went meanwhile: it was merged, or is too old."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            wanted = [n for n in names if any(_means(column, n) for column in columns)]
            table = file.read(columns=wanted)
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
