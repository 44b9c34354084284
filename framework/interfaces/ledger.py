"""Ledger: what a server forecast, kept and read again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveInt

from framework.options import Options, Percent

if TYPE_CHECKING:
    import pyarrow as pa

#: Counts forecasts by outcome: ``written``, ``dropped`` (the queue was full) or ``lost`` (the
#: ledger refused).
Count = Callable[[str, int], None]


class FilesLedgerOptions(Options):
    """``share``: per cent of the entities whose forecasts are kept, the same entities in every arm;
    0 for none.

    A file is written every ``seconds``, or when ``rows`` have come together: a server that is
    killed loses what came after. ``queue``: answers that wait for the writer at most.
    ``megabytes``: what all files of a pair's name may take, ``days``: how long they are kept; the
    oldest go.
    """

    share: Percent = 100.0
    seconds: float = Field(default=10.0, ge=1)
    rows: PositiveInt = 100_000
    queue: PositiveInt = 1000
    megabytes: PositiveInt = 1000
    days: PositiveInt = 400


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """The part of all forecasts that a ledger lacks or waits for.

    ``missing``: forecasts that servers made and that are lost: a server was killed, its queue was
    full, the disk refused. ``waiting``: forecasts that running servers have not written yet.
    """

    missing: int
    waiting: int


class LedgerWriter(ABC):
    """One process of a server writes through this. It also implements the hooks of serving that it
    needs (:mod:`framework.plugins.hookspecs`), which are called in a thread of its own.
    """

    #: Answers that wait for the writer at most.
    queue: int

    @abstractmethod
    def offered(self, forecasts: int) -> None:
        """Count forecasts that are about to be answered. Called on the path of the request, so it
        is quick, and it never raises.

        Args:
            forecasts: How many.
        """


class Ledger(ABC):
    """Keeps forecasts. The constructor stores its options and does nothing else."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def writer(self, name: str, state: Path, count: Count) -> LedgerWriter | None:
        """Open the ledger for one process of a server.

        Args:
            name: Of the pairs.
            state: The folder for what a server keeps.
            count: Is told what became of the forecasts.

        Returns:
            The writer, None when nothing is to be kept.
        """

    @abstractmethod
    def read(
        self, name: str, state: Path, columns: Sequence[str], since: datetime | None
    ) -> Iterator[pa.Table]:
        """Read what was kept, in pieces, in no order.

        Args:
            name: Of the pairs.
            state: The folder that the servers kept it in.
            columns: Those that are wanted. One that a piece lacks is left out of it; a name that
                ends with ``*`` means all columns that begin so.
            since: UTC; rows of forecasts made before it are left out.

        Returns:
            Tables with one row for each entity, step and target: ``at`` (UTC, when the forecast
            was made), ``request_id``, ``arm``, ``shadow``, ``version``, ``digest``, the columns of
            :func:`framework.data.forecast_table.forecast_arrow`, and ``stale``: the views that
            were older than their ttl, joined by commas, or null.
        """

    @abstractmethod
    def counts(self, name: str, state: Path) -> LedgerCounts:
        """Say how much is missing.

        Args:
            name: Of the pairs.
            state: The folder that the servers kept it in.

        Returns:
            The counts, of all processes of all servers.
        """
