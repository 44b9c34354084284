"""The record of what a server answered: forecasts by arm, as Parquet files below ``paths.state``.
Written off the path, bounded.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd

from framework.data.buckets import PLACES, place_of
from framework.data.forecast import Forecast
from framework.data.forecast_table import forecast_table
from framework.interfaces.registry import PairVersion
from framework.monitoring.options import RecordOptions

log = logging.getLogger(__name__)


def records_of(state: Path, name: str) -> Path:
    """The folder of a pair's records."""
    return state / "serving" / "records" / name


@dataclass(frozen=True, slots=True)
class Answered:
    """The forecasts that one arm gave to one request.

    ``entity_keys``: the names of the columns of ``forecast.entities``.
    """

    arm: str
    pair: PairVersion
    entity_keys: tuple[str, ...]
    request_id: str
    forecast: Forecast


class ForecastLog:
    """A bounded queue and the thread that writes it. ``offer`` never waits: what the queue has no
    place for is dropped and counted.

    Columns: ``at`` (UTC), ``request_id``, ``arm``, ``version``, ``digest``, then those of
    :func:`framework.data.forecast_table.forecast_table`.
    """

    def __init__(
        self, options: RecordOptions, folder: Path, count: Callable[[str, int], None]
    ) -> None:
        self._options, self._folder, self._count = options, folder, count
        self._queue: queue.Queue[tuple[datetime, Answered] | None] = queue.Queue(options.queue)
        self._limit = round(options.share * PLACES / 100)
        self._thread = threading.Thread(target=self._run, name="records", daemon=True)

    def start(self) -> None:
        if self._limit:
            self._thread.start()

    def close(self) -> None:
        """Write what is left."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def offer(self, answered: Answered) -> None:
        if not self._limit:
            return
        try:
            self._queue.put_nowait((datetime.now(UTC), answered))
        except queue.Full:
            self._count("dropped", len(answered.forecast.status))

    def _run(self) -> None:
        tables: list[pd.DataFrame] = []
        due = monotonic() + self._options.seconds
        while True:
            stopping = False
            try:
                item = self._queue.get(timeout=max(0.0, due - monotonic()))
            except queue.Empty:
                item = None
            else:
                stopping = item is None
            if item is not None:
                tables.append(self._table(*item))
            rows = sum(len(table) for table in tables)
            if stopping or monotonic() >= due or rows >= self._options.rows:
                self._write([table for table in tables if len(table)])
                tables, due = [], monotonic() + self._options.seconds
            if stopping:
                return

    def _table(self, at: datetime, answered: Answered) -> pd.DataFrame:
        keys, forecast, pair = answered.entity_keys, answered.forecast, answered.pair
        table = forecast_table(forecast, keys)
        if self._limit < PLACES:  # by entity, so that every arm and shadow keeps the same ones
            kept = {
                tuple(e)
                for e in forecast.entities.tolist()
                if place_of(f"records of {pair.name}", e) < self._limit
            }
            table = table[
                [tuple(entity) in kept for entity in table[list(keys)].to_numpy(dtype=object)]
            ]
        head: dict[str, Any] = {
            "at": at,
            "request_id": answered.request_id,
            "arm": answered.arm,
            "version": pair.version,
            "digest": pair.digest,
        }
        for place, (column, value) in enumerate(head.items()):
            table.insert(place, column, value)
        return table

    def _write(self, tables: list[pd.DataFrame]) -> None:
        if not tables:
            return
        now = datetime.now(UTC)
        path = self._folder / f"{now:%Y-%m-%d}" / f"{now:%H%M%S%f}-{os.getpid()}.parquet"
        together = pd.concat(tables, ignore_index=True)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            together.to_parquet(path.with_suffix(".tmp"), index=False)
            path.with_suffix(".tmp").replace(path)
            self._forget()
        except OSError as error:
            log.error("%d records are lost: %s", len(together), error)
            self._count("lost", len(together))
        else:
            self._count("written", len(together))

    def _forget(self) -> None:
        """Remove the oldest files above the limit; of several processes each may."""
        files = sorted(self._folder.glob("*/*.parquet"))
        sizes = np.array([path.stat().st_size for path in files])
        after = np.cumsum(sizes[::-1])[::-1]
        for path, size in zip(files, after, strict=True):
            if size > self._options.megabytes * 1_000_000:
                path.unlink(missing_ok=True)
