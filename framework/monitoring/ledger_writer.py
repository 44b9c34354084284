"""Writes the ledger of files: one writer in each process that answers requests."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from framework.files import atomic_write
from framework.interfaces.ledger import Count, FilesLedgerOptions
from framework.monitoring.ledger_buffer import BufferedWriter
from framework.monitoring.ledger_counts import read_counts
from framework.monitoring.ledger_segments import (
    FORMAT,
    FORMAT_KEY,
    SEGMENTS,
    Segment,
    covering_segments,
)

#: Small segments that are merged into one, and what may at most be merged.
_MERGED, _MERGED_ROWS = 60, 2_000_000
#: Seconds between two looks at what is too old or too much, and those that the parts of a merged
#: segment stay, for who is reading them.
_TIDY, _READING = 600.0, 3600.0


class FilesWriter(BufferedWriter):
    """``folder``: of the ledger of the pairs called ``name``."""

    def __init__(self, options: FilesLedgerOptions, folder: Path, name: str, count: Count) -> None:
        super().__init__(options, folder / "counts", name, count)
        self._segments, self._limits = folder, options
        self._tidy = monotonic()
        self._small: list[Path] = []

    def store(self, table: pa.Table | None, first: int, after: int, lost: int) -> None:
        if table is not None:
            self._small.append(self._write(table, first, after, lost))

    def tidy(self) -> None:
        self._merge()
        if monotonic() >= self._tidy:
            self._tidy = monotonic() + _TIDY
            forget(self._segments, self._limits)

    def _write(self, table: pa.Table, first: int, after: int, lost: int) -> Path:
        name = Segment.name(self.process, first, after, lost)
        path = self._segments / f"{datetime.now(UTC):%Y-%m-%d}" / name
        with atomic_write(path) as stream:
            _write_rows(table, stream)
        return path

    def _merge(self) -> None:
        """Make one segment of many small ones of a day."""
        if len(self._small) < _MERGED:
            return
        paths, self._small = self._small, []
        by_day: dict[str, list[Segment]] = {}
        for path in paths:
            segment = Segment.parse(path)
            if segment is not None and path.exists():
                by_day.setdefault(path.parent.name, []).append(segment)
        for day, parts in by_day.items():
            if sum(pq.read_metadata(part.path).num_rows for part in parts) > _MERGED_ROWS:
                continue
            table = pa.concat_tables(
                [pq.read_table(part.path) for part in parts], promote_options="default"
            )
            name = Segment.name(self.process, parts[0].first, parts[-1].after, parts[-1].lost)
            with atomic_write(self._segments / day / name) as stream:
                _write_rows(table, stream)


def _write_rows(table: pa.Table, stream: BinaryIO) -> None:
    metadata = {**(table.schema.metadata or {}), FORMAT_KEY: str(FORMAT).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), stream, compression="zstd")


def forget(folder: Path, options: FilesLedgerOptions) -> None:
    """Remove the oldest segments: those older than ``days``, and those above ``megabytes``; and the
    parts of merged ones, an hour after the merge. Of several processes each may. The counts of a
    process that ended go with its last segment, when nothing of it is missing; what is missing is
    remembered for ``days``.
    """
    oldest = f"{datetime.now(UTC) - timedelta(days=options.days):%Y-%m-%d}"
    limit, size = options.megabytes * 1_000_000, 0
    processes, paths = set(), list(folder.glob(SEGMENTS))
    covering = covering_segments(paths)
    for path in set(paths) - {segment.path for segment in covering}:
        part = Segment.parse(path)
        if part is not None and any(
            part.is_within(one) and _age(one.path) > _READING for one in covering
        ):
            path.unlink(missing_ok=True)
    for segment in reversed(covering):
        try:
            size += segment.path.stat().st_size
        except FileNotFoundError:
            continue
        if size > limit or segment.path.parent.name < oldest:
            segment.path.unlink(missing_ok=True)
        else:
            processes.add(segment.process)
    for one in read_counts(folder / "counts"):
        if one.process not in processes and not one.alive:
            missing = one.lost or one.offered != one.accounted
            if not missing or _age(one.path) > 86_400 * options.days:
                one.path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """Seconds since a file was written; 0 when it has gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
