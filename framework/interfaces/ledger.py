"""Ledger: what a server forecast, kept and read again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from framework.errors import ConfigError, suggest
from framework.options import Options, Percent

if TYPE_CHECKING:
    import pyarrow as pa

#: Counts forecasts by outcome: ``written``, ``dropped`` (the queue was full) or ``lost`` (the
#: ledger refused).
Count = Callable[[str, int], None]


#: The column of the features.
FEATURES = "features"


class LedgerOptions(Options):
    """``share``: per cent of the entities whose forecasts are kept, the same entities in every arm;
    0 for none.

    It is written every ``seconds``, or when ``rows`` have come together: a server that is killed
    loses what came after. ``queue``: answers that wait for the writer at most. ``megabytes``: what
    the forecasts of a name may take, ``days``: how long they are kept; the oldest go.

    ``features``: of each forecast the ``values`` of the newest step that it was made from, the
    ``digest`` of all of them, or ``none``. ``leave_out``: columns that are not kept. ``hashed``:
    entity keys, and other texts, of which a SHA-256 is kept; ``run=monitor`` knows the entities of
    the offline store by it.
    """

    share: Percent = 100.0
    seconds: float = Field(default=10.0, ge=1)
    rows: PositiveInt = 100_000
    queue: PositiveInt = 1000
    megabytes: PositiveInt = 1000
    days: PositiveInt = 400
    features: Literal["none", "digest", "values"] = "none"
    leave_out: tuple[Literal["request_id", "shadow", "stale"], ...] = ()
    hashed: tuple[str, ...] = ()

    def check(self, entity_keys: Sequence[str]) -> None:
        """Refuse to hash what is no text of the ledger.

        Args:
            entity_keys: The keys of the entities.

        Raises:
            ConfigError: Names what may be hashed.
        """
        texts = [*entity_keys, *({"request_id"} - {*self.leave_out})]
        for name in self.hashed:
            if name not in texts:
                raise ConfigError(
                    f"ledger.hashed: '{name}' is no entity key;{suggest(name, texts)} "
                    f"Those that can be hashed: {', '.join(texts)}."
                )


class FilesLedgerOptions(LedgerOptions):
    """Of ``ledger=files``."""


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

    @property
    def hooks(self) -> object:
        """Give the object that implements the hooks of serving: the writer itself, unless it says
        otherwise.
        """
        return self

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
            :func:`framework.data.forecast_table.forecast_arrow`, ``stale``: the views that were
            older than their ttl, joined by commas, or null, and where they are kept ``features``,
            on the first row of each entity.
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
