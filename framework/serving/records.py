"""The record of what a server answered: forecasts by arm, as Parquet files below ``paths.state``. Written off the path, bounded."""

from __future__ import annotations

import logging
import os
import queue
import threading
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd

from framework.forecasts import forecast_table
from framework.interfaces.values import Forecast
from framework.serving.arms import PLACES, Arm, place_of
from framework.serving.asgi import request_id
from framework.serving.metrics import Metrics
from framework.serving.options import RecordOptions

log = logging.getLogger(__name__)


def records_of(state: Path, name: str) -> Path:
    """The folder of a pair's records."""
    return state / "serving" / "records" / name


class Records:
    """A bounded queue and the thread that writes it. ``offer`` never waits: what the queue has no place for is dropped and counted.

    Columns: ``at`` (UTC), ``request_id``, ``arm``, ``version``, ``digest``, then those of :func:`framework.forecasts.forecast_table`.
    """

    def __init__(self, options: RecordOptions, folder: Path, metrics: Metrics) -> None:
        self._options, self._folder, self._metrics = options, folder, metrics
        self._queue: queue.Queue[tuple[datetime, bytes, Arm, Forecast] | None] = queue.Queue(options.queue)
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

    def offer(self, arm: Arm, forecast: Forecast) -> None:
        if not self._limit:
            return
        try:
            self._queue.put_nowait((datetime.now(UTC), request_id.get(), arm, forecast))
        except queue.Full:
            self._metrics.count_records("dropped", len(forecast.status))

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

    def _table(self, at: datetime, request: bytes, arm: Arm, forecast: Forecast) -> pd.DataFrame:
        keys = arm.schema.entity_keys
        table = forecast_table(forecast, keys)
        if self._limit < PLACES:  # by entity, so that every arm and shadow keeps the same ones
            kept = {tuple(e) for e in forecast.entities.tolist() if place_of(f"records of {arm.version.name}", e) < self._limit}
            table = table[[tuple(entity) in kept for entity in table[list(keys)].to_numpy(dtype=object)]]
        head: dict[str, Any] = {
            "at": at,
            "request_id": request.decode(),
            "arm": arm.name,
            "version": arm.version.version,
            "digest": arm.version.digest,
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
            self._metrics.count_records("lost", len(together))
        else:
            self._metrics.count_records("written", len(together))

    def _forget(self) -> None:
        """Remove the oldest files above the limit; of several processes each may."""
        files = sorted(self._folder.glob("*/*.parquet"))
        sizes = np.array([path.stat().st_size for path in files])
        after = np.cumsum(sizes[::-1])[::-1]
        for path, size in zip(files, after, strict=True):
            if size > self._options.megabytes * 1_000_000:
                path.unlink(missing_ok=True)
