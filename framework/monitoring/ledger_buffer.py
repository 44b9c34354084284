"""The base of the writers of all ledgers: forecasts come together off the path of the requests, and
every one of them is counted, also when the process is killed.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
import time
from abc import abstractmethod
from pathlib import Path
from time import monotonic

import pyarrow as pa

from framework.data.context import Context
from framework.data.forecast import Forecast
from framework.errors import FrameworkError
from framework.interfaces.ledger import Count, LedgerOptions, LedgerWriter
from framework.interfaces.observer import ServedArm, ServedRequest
from framework.interfaces.plugin import hookimpl
from framework.monitoring.ledger_counts import ACCOUNTED, LOST, OFFERED, Counts
from framework.monitoring.ledger_rows import LedgerRows, ServedForecast

log = logging.getLogger(__name__)

#: Seconds until ``flush_due`` is called again, and some more: a flush is rather early than late.
_LOOK = 1.2


class LaterError(FrameworkError):
    """The ledger cannot be reached now; what was to be written may wait."""


class _Hooks:
    """The hooks of serving that a writer follows."""

    def __init__(self, writer: BufferedWriter) -> None:
        self._writer = writer

    @hookimpl
    def forecasts_dropped(self, count: int) -> None:
        self._writer.drop(count)

    @hookimpl
    def flush_due(self) -> None:
        self._writer.flush_due()

    @hookimpl
    def server_stopped(self) -> None:
        self._writer.stop()


class _WithoutFeatures(_Hooks):
    @hookimpl
    def forecasts_served(self, arm: ServedArm, forecast: Forecast, request: ServedRequest) -> None:
        self._writer.take(ServedForecast(arm, forecast, request, None))


class _WithFeatures(_Hooks):
    """Contexts wait in the queue, too."""

    @hookimpl
    def forecasts_served(
        self, arm: ServedArm, forecast: Forecast, request: ServedRequest, context: Context
    ) -> None:
        self._writer.take(ServedForecast(arm, forecast, request, context))


class BufferedWriter(LedgerWriter):
    """Buffers forecasts and has them stored every so often.

    The process numbers its forecasts. How many were offered, accounted for, and lost, is written
    to a file by system calls, so it outlives a process that is killed (not a machine that stops);
    the file's lock says whether the process is alive.

    Args:
        options: Of the ledger.
        folder: Of the file of counts; made when it is needed.
        name: Of the pairs.
        count: Is told what became of the forecasts.
    """

    def __init__(self, options: LedgerOptions, folder: Path, name: str, count: Count) -> None:
        self.queue = options.queue
        self.process = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
        self._options, self._folder, self._count = options, folder, count
        self._table = LedgerRows(options, name).table
        self._counts: Counts | None = None
        self._offered = 0  # by the event loop's thread
        self._taken = self._written = self._lost = 0  # forecasts; by the writer's thread
        self._waiting: list[ServedForecast] = []
        self._rows = 0
        self._due = monotonic() + options.seconds
        self._open()

    @abstractmethod
    def store(self, table: pa.Table | None, first: int, after: int, lost: int) -> None:
        """Store rows that account for the forecasts ``first`` to ``after - 1`` of the process.

        Args:
            table: The rows, None where none is kept.
            first: The number of the first forecast.
            after: One more than the number of the last.
            lost: How many forecasts of the process were lost before.

        Raises:
            LaterError: It cannot be reached now.
            OSError: The rows are lost.
            FrameworkError: The rows are lost.
        """

    def tidy(self) -> None:
        """Remove what is too old or too much. Called after each :meth:`store`."""

    def close(self) -> None:
        """End what :meth:`store` has opened. Called once, when the server stops."""

    @property
    def hooks(self) -> object:
        has_features = self._options.features != "none"
        return _WithFeatures(self) if has_features else _WithoutFeatures(self)

    def offered(self, forecasts: int) -> None:
        self._offered += forecasts
        if self._counts is not None:
            with contextlib.suppress(OSError):  # what is written at a flush says it, too
                self._counts.write(OFFERED, self._offered)

    def take(self, served: ServedForecast) -> None:
        """Keep what an arm answered until the next flush.

        Args:
            served: The answer.
        """
        self._waiting.append(served)
        self._taken += served.request.forecasts
        self._rows += math.prod(served.forecast.values.shape[:3])
        if self._rows >= self._options.rows:
            self._flush(may_wait=False)

    def drop(self, count: int) -> None:
        """Count forecasts that the queue had no room for.

        Args:
            count: How many.
        """
        self._taken += count
        self._lost += count
        self._count("dropped", count)

    def flush_due(self) -> None:
        """Flush when it is time. Called every second."""
        if monotonic() + _LOOK >= self._due:
            self._flush(may_wait=True)

    def stop(self) -> None:
        """Write what is left."""
        self._flush(may_wait=False)
        self.close()
        if self._counts is not None:
            self._counts.close()
            self._counts = None

    def _open(self) -> None:
        if self._counts is not None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._counts = Counts(self._folder / self.process)
        except OSError as error:
            log.error("the ledger cannot be written: %s", error)

    def _flush(self, *, may_wait: bool) -> None:
        """Write what has come together; what cannot be written is lost and counted.

        ``may_wait``: what cannot be written now may wait for the next flush.
        """
        self._due = monotonic() + self._options.seconds
        if self._taken == self._written:
            return
        self._open()
        waiting = sum(one.request.forecasts for one in self._waiting)
        try:
            table = self._table(self._waiting)
            self.store(table, self._written, self._taken, self._lost)
        except (OSError, ValueError, pa.ArrowException, FrameworkError) as error:
            if may_wait and isinstance(error, LaterError):
                log.warning("%d forecasts wait for the ledger: %s", waiting, error)
                return
            self._lost += waiting
            log.error("%d forecasts are lost to the ledger: %s", waiting, error)
            self._count("lost", waiting)
        else:
            self._count("written", waiting)
        self._waiting, self._rows, self._written = [], 0, self._taken
        if self._counts is not None:
            with contextlib.suppress(OSError):  # the next flush says it
                self._counts.write(OFFERED, self._offered)
                self._counts.write(LOST, self._lost)
                self._counts.write(ACCOUNTED, self._written)
        with contextlib.suppress(OSError, pa.ArrowException, FrameworkError):  # the next flush may
            self.tidy()
