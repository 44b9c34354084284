"""Retrieval strategy: rows for training, contexts for serving, and the store behind both."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from framework.data.context import Context
from framework.data.grouping import entities_of
from framework.data.schema import Schema
from framework.errors import ConfigError
from framework.features.views import FeatureSet

if TYPE_CHECKING:
    import pyarrow as pa

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Needs:
    """What contexts will need of rows that are made available.

    ``targets``: a row of the primary view that has none of them is a step to come. ``steps``: of
    history, that a context holds; ``frequency``: their alias.
    """

    targets: tuple[str, ...]
    steps: int
    frequency: str


class RetrievalStrategy(ABC):
    """Where features come from. The constructor stores its options and does nothing else."""

    #: Steps of history that ``context`` can give; None for any number, 0 when it looks nothing up
    #: (a request must bring its rows).
    max_context_length: int | None = None
    #: Whether ``context`` gives the values of columns known in advance; else it says
    #: ``missing_feature`` of each pair that has some.
    gives_known: bool = True

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def ingest(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        """Store the finished rows of a view for training: entity keys, ``event_timestamp``,
        features. Returns the rows stored.

        Complete or not at all: a killed process leaves the old rows. A row with the
        ``View.identity`` of a stored one replaces it.
        """

    @abstractmethod
    def stored_rows(
        self, features: FeatureSet, view: str, series: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """What ``ingest`` has stored of a view, every version: ``View.identity`` and features,
        sorted by it; empty when there is none.

        Also ``INSERTED`` (:mod:`framework.features.views`), when rows had it. A strategy that does
        not keep it has rows that fill gaps known by their looks alone.

        ``series``: a frame of the view's entity keys (text); only these series. Ingestion merges
        new rows with them.
        """

    def entities(self, features: FeatureSet) -> pd.DataFrame:
        """The entities of the primary view that have stored rows: its keys (text), each once,
        sorted.

        A strategy that can read the keys alone does so; here they come from ``stored_rows``.
        """
        return entities_of(features.entity_keys, self.stored_rows(features, features.primary))

    @abstractmethod
    def has_rows(self, features: FeatureSet) -> bool:
        """Whether every view has rows for training."""

    @abstractmethod
    def training_rows(
        self, features: FeatureSet, columns: Sequence[str], known_at: datetime | None = None
    ) -> pd.DataFrame:
        """Every row of the primary view joined, point-in-time and within each view's ttl, with
        ``columns`` of all views.

        Sorted by entity keys and ``event_timestamp`` (UTC, ``datetime64[us, UTC]``); null where a
        view has no row in time. Of a row's versions the newest counts; with ``known_at``, the
        newest of those created at or before it, and rows without one are absent. Columns known in
        advance are not asked for here but from ``view_rows``: they have rows of steps that are
        still to come.
        """

    @abstractmethod
    def view_rows(
        self,
        features: FeatureSet,
        view: str,
        columns: Sequence[str],
        known_at: datetime | None = None,
    ) -> pa.Table:
        """Read one view alone, as it is stored for training, rows of steps that are still to come
        included.

        Args:
            features: The views.
            view: The name of one of them.
            columns: Columns of it, in this order; none for the keys and times alone.
            known_at: As of :meth:`training_rows`.

        Returns: One row for each key and time: the view's entity keys (text), ``event_timestamp``
            (UTC, microseconds), ``columns``. Sorted by keys and time.

        Raises:
            DataError: The view has no rows.
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
        needs: Needs | None = None,
    ) -> dict[str, int]:
        """Make the stored rows from ``start`` (None: the first) to ``end`` (None: the last),
        inclusive, available to ``context``.

        ``views``: these only. ``overlap``: begin so long before what earlier calls have made
        available instead, for the rows that came late. ``needs``: so much of the rows before the
        newest actual, and all that are stored of the steps after it; what earlier calls have kept
        for longer contexts stays. No row replaces a newer one of its key, in whatever order calls
        come; one that was killed is made good by the next. Returns the keys written of each view; a
        strategy that serves what training reads returns {}.
        """

    def remove(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        """Remove the stored rows whose ``View.identity`` is in ``rows``; returns how many there
        were. Complete or not at all.

        Raises :class:`~framework.errors.ConfigError`: a strategy that cannot.
        """
        raise ConfigError(
            "ingest.removed=remove: the selected retrieval strategy cannot remove rows; "
            "take warn or keep, "
            "or delete the store and run=ingest."
        )

    def lengthen(self, features: FeatureSet, needs: Needs, progress: Progress) -> dict[str, int]:
        """Make as much history available as ``needs`` says, of the views of which ``materialize``
        has made less available.

        Training calls it for the pair's model. Returns the keys written of each view; {} of a
        strategy that serves what training reads.
        """
        return {}

    def push(
        self, features: FeatureSet, view: str, rows: pd.DataFrame, needs: Needs | None = None
    ) -> int:
        """Make finished rows of a view available to ``context`` at once, as a stream brings them;
        the columns are those of ``ingest``.

        ``needs``: as of ``materialize``. Returns the keys written, 0 of a strategy that serves what
        training reads. Training sees rows by ``ingest`` only.
        """
        return 0

    @abstractmethod
    async def context(
        self,
        features: FeatureSet,
        schema: Schema,
        entities: Sequence[dict[str, str]],
        at: datetime | None,
    ) -> Context:
        """One window per entity, in order, as known at ``at`` (UTC; None: the newest step of each
        entity with an actual).

        An actual is a target that is not null; rows of the primary view after the newest one are
        steps to come, never an origin. ``Context.known`` holds the value of each step ahead by
        :func:`framework.retrieval.freshness.in_force`, from any view.

        Never raises for an entity: an unknown one, a missing or stale feature, a short history is
        that window's status. Raises :class:`~framework.errors.DataError` when the store cannot be
        reached.
        """

    async def has_entities(self, features: FeatureSet) -> bool:
        """Whether ``context`` can find any entity of the primary view at all. Servers ask again and
        again: it must be cheap.

        Raises :class:`~framework.errors.DataError` when the store cannot be reached. Here for a
        strategy that serves what training reads.
        """
        return await asyncio.to_thread(self.has_rows, features)

    async def close(self) -> None:  # noqa: B027  most strategies hold nothing
        """Release connections."""
