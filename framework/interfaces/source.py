"""Source: raw data to tables, one for each feature view."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from framework.interfaces.views import View


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows on their way into the store.

    ``rows``: as :meth:`Source.read` gives them; of equal ``View.identity`` the last one counts. ``whole``: they are all there is, so that
    a gap, a duplicate or a wrong order in them is an error. ``position``: where the source has got to with them, kept when they are stored
    and handed to the next ``batches``. ``stored``: called when they are stored, as often as they are. ``reject``: takes a row (its number
    and why it cannot be stored) off the ingestion's hands; None: such a row stops it.
    """

    rows: pd.DataFrame
    whole: bool = False
    position: str | None = None
    stored: Callable[[], None] | None = None
    reject: Callable[[int, str], None] | None = None


class Source(ABC):
    """Reads raw data. The constructor stores its options and does nothing else."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def read(self, table: str) -> pd.DataFrame:
        """Every row of one table, in the source's order: a view's keys, ``event_timestamp`` (UTC) and values, or what views join.

        Raises :class:`~framework.errors.DataError` naming the file, table or column that is missing.
        """

    def batches(self, table: str, view: View, position: str | None) -> Iterator[Batch]:
        """What is to be stored for ``view``, one batch after another; the next one is asked for when the last is stored.

        ``position``: the newest one that was stored, None to begin at the beginning. Rows that were given before may be given again:
        storing them twice changes nothing. By default the whole table each time.
        """
        yield Batch(self.read(table), whole=True)

    @abstractmethod
    def fingerprint(self) -> dict[str, str]:
        """What was read: ``{file or query: sha256}``; equal data gives an equal fingerprint."""

    @property
    def poll(self) -> float | None:
        """Seconds between two looks for new rows until the run is told to stop; None: ``run=ingest`` takes what there is and ends."""
        return None

    def close(self) -> None:  # noqa: B027  most sources hold nothing
        """Release connections."""
