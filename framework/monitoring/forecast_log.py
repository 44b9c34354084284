"""The record of what a server answered: forecasts by arm, as Parquet files below ``paths.state``.
Follows the hooks of serving.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd

from framework.data.buckets import PLACES, place_of
from framework.data.forecast import Forecast
from framework.data.forecast_table import forecast_table
from framework.files import atomic_write
from framework.interfaces.observer import ServedArm, ServedRequest
from framework.interfaces.plugin import hookimpl
from framework.monitoring.options import RecordOptions

log = logging.getLogger(__name__)


def records_of(state: Path, name: str) -> Path:
    """The folder of a pair's records."""
    return state / "serving" / "records" / name


class ForecastLog:
    """Follows a server through the hooks of serving, and writes what it forecast.

    Columns: ``at`` (UTC), ``request_id``, ``arm``, ``version``, ``digest``, then those of
    :func:`framework.data.forecast_table.forecast_table`.
    """

    def __init__(
        self, options: RecordOptions, folder: Path, count: Callable[[str, int], None]
    ) -> None:
        self._options, self._folder, self._count = options, folder, count
        self._limit = round(options.share * PLACES / 100)
        self._tables: list[pd.DataFrame] = []
        self._due = monotonic() + options.seconds

    @hookimpl
    def forecasts_served(self, arm: ServedArm, forecast: Forecast, request: ServedRequest) -> None:
        self._tables.append(self._table(arm, forecast, request))
        if sum(len(table) for table in self._tables) >= self._options.rows:
            self._flush()

    @hookimpl
    def forecasts_dropped(self, count: int) -> None:
        self._count("dropped", count)

    @hookimpl
    def flush_due(self) -> None:
        if monotonic() >= self._due:
            self._flush()

    @hookimpl
    def server_stopped(self) -> None:
        self._flush()

    def _flush(self) -> None:
        """Write what has come together."""
        tables, self._tables = self._tables, []
        self._due = monotonic() + self._options.seconds
        self._write([table for table in tables if len(table)])

    def _table(self, arm: ServedArm, forecast: Forecast, request: ServedRequest) -> pd.DataFrame:
        keys, pair = arm.schema.entity_keys, arm.pair
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
            "at": request.at,
            "request_id": request.id,
            "arm": arm.name,
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
            with atomic_write(path) as stream:
                together.to_parquet(stream, index=False)
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
