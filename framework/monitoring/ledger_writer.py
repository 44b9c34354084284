"""Writes the ledger of files: one writer in each process that answers requests. Follows the hooks
of serving, off the path of the requests.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from framework.data.buckets import BUCKETS, bucket_of
from framework.data.forecast import Forecast
from framework.data.forecast_table import forecast_arrow, plain
from framework.data.vocabulary import OK
from framework.files import atomic_write
from framework.interfaces.ledger import Count, FilesLedgerOptions, LedgerWriter
from framework.interfaces.observer import ServedArm, ServedRequest
from framework.interfaces.plugin import hookimpl
from framework.monitoring.ledger_segments import (
    ACCOUNTED,
    LOST,
    OFFERED,
    SEGMENTS,
    Counts,
    Segment,
    covering_segments,
    read_counts,
)

log = logging.getLogger(__name__)

#: Small segments that are merged into one, and what may at most be merged.
_MERGED, _MERGED_ROWS = 60, 2_000_000
#: Seconds until ``flush_due`` is called again, and some more: a flush is rather early than late.
_LOOK = 1.2
#: Seconds between two looks at what is too old or too much.
_TIDY = 600.0


@dataclass(frozen=True, slots=True)
class _Served:
    arm: ServedArm
    forecast: Forecast
    request: ServedRequest


class FilesWriter(LedgerWriter):
    """``folder``: of the ledger of the pairs called ``name``."""

    def __init__(self, options: FilesLedgerOptions, folder: Path, name: str, count: Count) -> None:
        self.queue = options.queue
        self._options, self._folder, self._count = options, folder, count
        self._salt, self._limit = f"records of {name}", round(options.share * BUCKETS / 100)
        self._process = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
        self._counts: Counts | None = None
        self._offered = 0  # by the event loop's thread
        self._taken = self._written = self._lost = 0  # forecasts; by the writer's thread
        self._waiting: list[_Served] = []
        self._rows = 0
        self._due = monotonic() + options.seconds
        self._tidy = monotonic()
        self._small: list[Path] = []
        self._open()

    def offered(self, forecasts: int) -> None:
        self._offered += forecasts
        if self._counts is not None:
            with contextlib.suppress(OSError):  # what is written at a flush says it, too
                self._counts.write(OFFERED, self._offered)

    @hookimpl
    def forecasts_served(self, arm: ServedArm, forecast: Forecast, request: ServedRequest) -> None:
        self._waiting.append(_Served(arm, forecast, request))
        self._taken += request.forecasts
        self._rows += int(np.prod(forecast.values.shape[:3]))
        if self._rows >= self._options.rows:
            self._flush()

    @hookimpl
    def forecasts_dropped(self, count: int) -> None:
        self._taken += count
        self._lost += count
        self._count("dropped", count)

    @hookimpl
    def flush_due(self) -> None:
        if monotonic() + _LOOK >= self._due:
            self._flush()

    @hookimpl
    def server_stopped(self) -> None:
        self._flush()
        if self._counts is not None:
            self._counts.close()
            self._counts = None

    def _open(self) -> None:
        if self._counts is not None:
            return
        folder = self._folder / "counts"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._counts = Counts(folder / self._process)
        except OSError as error:
            log.error("the ledger cannot be written: %s", error)

    def _flush(self) -> None:
        """Write what has come together; what cannot be written is lost and counted."""
        served, self._waiting, self._rows = self._waiting, [], 0
        self._due = monotonic() + self._options.seconds
        if self._taken == self._written:
            return
        self._open()
        try:
            table = self._table(served)
            if table is not None:
                self._small.append(self._write(table, self._written, self._taken, self._lost))
        except (OSError, ValueError, pa.ArrowException) as error:
            count = sum(one.request.forecasts for one in served)
            self._lost += count
            log.error("%d forecasts are lost to the ledger: %s", count, error)
            self._count("lost", count)
        else:
            self._count("written", sum(one.request.forecasts for one in served))
        self._written = self._taken
        if self._counts is not None:
            with contextlib.suppress(OSError):  # the next flush says it
                self._counts.write(OFFERED, self._offered)
                self._counts.write(LOST, self._lost)
                self._counts.write(ACCOUNTED, self._written)
        with contextlib.suppress(OSError):  # the next flush tries again
            self._merge()
            if monotonic() >= self._tidy:
                self._tidy = monotonic() + _TIDY
                forget(self._folder, self._options)

    def _write(self, table: pa.Table, first: int, after: int, lost: int) -> Path:
        name = Segment.name(self._process, first, after, lost)
        path = self._folder / f"{datetime.now(UTC):%Y-%m-%d}" / name
        with atomic_write(path) as stream:
            pq.write_table(table, stream, compression="zstd")
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
            name = Segment.name(self._process, parts[0].first, parts[-1].after, parts[-1].lost)
            with atomic_write(self._folder / day / name) as stream:
                pq.write_table(table, stream, compression="zstd")
            for part in parts:
                if part.path.name != name:
                    part.path.unlink(missing_ok=True)

    def _table(self, served: list[_Served]) -> pa.Table | None:
        """One table of many answers; those of one pair are put together as arrays first."""
        alike: dict[tuple[object, ...], list[_Served]] = {}
        for one in served:
            forecast = one.forecast
            key = (one.arm.name, one.arm.pair.digest, forecast.values.shape[1:], one.arm.shadow)
            alike.setdefault(key, []).append(one)
        tables = [table for group in alike.values() if len(table := self._of_pair(group))]
        return pa.concat_tables(tables, promote_options="default") if tables else None

    def _of_pair(self, served: list[_Served]) -> pa.Table:
        arm, forecasts = served[0].arm, [one.forecast for one in served]
        whole_forecast = Forecast(
            np.concatenate([f.origins for f in forecasts]),
            np.concatenate([f.times for f in forecasts]),
            np.concatenate([f.entities for f in forecasts]),
            np.concatenate([f.values for f in forecasts]),
            forecasts[0].targets,
            forecasts[0].quantiles,
            [status for f in forecasts for status in f.status],
            [None] * sum(len(f.status) for f in forecasts),
        )
        _, horizon, targets, _ = whole_forecast.values.shape
        answered = np.array([status == OK for status in whole_forecast.status], dtype=bool)
        lines = np.where(answered, horizon * targets, targets)
        window = np.repeat(np.arange(len(lines)), lines)
        request = np.repeat(np.arange(len(served)), [len(f.status) for f in forecasts])[window]
        head = {
            "at": pa.array([one.request.at for one in served], pa.timestamp("us", tz="UTC")),
            "request_id": pa.array([one.request.id for one in served], pa.string()),
        }
        table = forecast_arrow(whole_forecast, arm.schema.entity_keys)
        table = table.cast(plain(table.schema))
        columns = {name: column.take(pa.array(request)) for name, column in head.items()}
        constants = {
            "arm": pa.scalar(arm.name),
            "shadow": pa.scalar(arm.shadow),
            "version": pa.scalar(arm.pair.version, pa.int64()),
            "digest": pa.scalar(arm.pair.digest),
        }
        columns |= {name: pa.repeat(value, len(table)) for name, value in constants.items()}
        stale = pa.array([views for f in forecasts for views in _stale(f)], pa.string())
        for name in table.column_names:
            columns[name] = table[name]
        columns["stale"] = stale.take(pa.array(window))
        whole = pa.table(columns)
        return whole if self._limit >= BUCKETS else whole.filter(self._kept(whole_forecast)[window])

    def _kept(self, forecast: Forecast) -> np.ndarray:
        """Choose by entity, so that every arm and shadow keeps the same ones."""
        places = [bucket_of(self._salt, entity) for entity in forecast.entities.tolist()]
        return np.array(places) < self._limit


def _stale(forecast: Forecast) -> list[str | None]:
    views = {} if forecast.freshness is None else forecast.freshness.stale
    return [
        ",".join(view for view, old in views.items() if old[i]) or None
        for i in range(len(forecast.status))
    ]


def forget(folder: Path, options: FilesLedgerOptions) -> None:
    """Remove the oldest segments: those older than ``days``, and those above ``megabytes``. Of
    several processes each may. The counts of a process that ended go with its last segment, when
    nothing of it is missing.
    """
    oldest = f"{datetime.now(UTC) - timedelta(days=options.days):%Y-%m-%d}"
    limit, size = options.megabytes * 1_000_000, 0
    processes, paths = set(), list(folder.glob(SEGMENTS))
    covering = covering_segments(paths)
    for path in set(paths) - {
        segment.path for segment in covering
    }:  # a merge was killed before it removed its parts
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
    for path in (folder / "counts").glob("*"):
        if path.name not in processes:
            offered, accounted, lost, alive = read_counts(path)
            if not alive and not lost and offered == accounted:
                path.unlink(missing_ok=True)
