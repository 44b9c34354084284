"""Retrieval strategy: rows for training, contexts for serving, and the store behind both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from framework.interfaces.values import Context, Schema
from framework.interfaces.views import FeatureSet

Progress = Callable[[str], None]


class RetrievalStrategy(ABC):
    """Where features come from. The constructor stores its options and does nothing else."""

    #: Steps of history that ``context`` can give; None for any number, 0 when it looks nothing up (a request must bring its rows).
    #: A strategy that is told how many to keep takes them as its option ``window``.
    max_context_length: int | None = None

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def ingest(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        """Store the finished rows of a view for training: entity keys, ``event_timestamp``, features. Returns the rows stored.

        Complete or not at all: a killed process leaves the old rows. A row with the ``View.identity`` of a stored one replaces it.
        """

    @abstractmethod
    def stored_rows(self, features: FeatureSet, view: str, series: pd.DataFrame | None = None) -> pd.DataFrame:
        """What ``ingest`` has stored of a view, every version: ``View.identity`` and features, sorted by it; empty when there is none.

        ``series``: a frame of the view's entity keys (text); only these series. Ingestion merges new rows with them.
        """

    def entities(self, features: FeatureSet) -> pd.DataFrame:
        """The entities of the primary view that have stored rows: its keys (text), each once, sorted.

        A strategy that can read the keys alone does so; here they come from ``stored_rows``.
        """
        keys = list(features.entity_keys)
        return self.stored_rows(features, features.primary)[keys].drop_duplicates(ignore_index=True)

    @abstractmethod
    def has_rows(self, features: FeatureSet) -> bool:
        """Whether every view has rows for training."""

    @abstractmethod
    def training_rows(self, features: FeatureSet, columns: Sequence[str], known_at: datetime | None = None) -> pd.DataFrame:
        """Every row of the primary view joined, point-in-time and within each view's ttl, with ``columns`` of all views.

        Sorted by entity keys and ``event_timestamp`` (UTC, ``datetime64[us, UTC]``); null where a view has no row in time. Of a row's
        versions the newest counts; with ``known_at``, the newest of those created at or before it, and rows without one are absent.
        """

    @abstractmethod
    def materialize(
        self,
        features: FeatureSet,
        start: datetime | None,
        end: datetime | None,
        progress: Progress,
        *,
        views: Sequence[str] | None = None,
        overlap: timedelta | None = None,
    ) -> dict[str, int]:
        """Make the stored rows from ``start`` (None: the first) to ``end`` (None: the last), inclusive, available to ``context``.

        ``views``: these only. ``overlap``: begin so long before what earlier calls have made available instead, for the rows that came
        late. No row replaces a newer one of its key, in whatever order calls come; one that was killed is made good by the next.
        Returns the keys written of each view; a strategy that serves what training reads returns {}.
        """

    def push(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        """Make finished rows of a view available to ``context`` at once, as a stream brings them; the columns are those of ``ingest``.

        Returns the keys written, 0 of a strategy that serves what training reads. Training sees rows by ``ingest`` only.
        """
        return 0

    @abstractmethod
    async def context(self, features: FeatureSet, schema: Schema, entities: Sequence[dict[str, str]], at: datetime | None) -> Context:
        """One window per entity, in order, as known at ``at`` (UTC; None: the newest row of each entity).

        Never raises for an entity: an unknown one, a missing or stale feature, a short history is that window's status. Raises
        :class:`~framework.errors.DataError` when the store cannot be reached.
        """

    async def close(self) -> None:  # noqa: B027  most strategies hold nothing
        """Release connections."""
