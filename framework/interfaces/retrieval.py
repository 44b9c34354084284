"""Retrieval strategy: rows for training, contexts for serving, and the store behind both."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from framework.data.context import Context
from framework.data.grouping import entities_of
from framework.data.schema import Schema
from framework.errors import ConfigError
from framework.features.views import FeatureSet

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Needs:
    """The needs of later contexts for rows that are made available.

    ``targets``: a row of the primary view that has none of them is a step to come. ``steps``: of
    history, that a context holds; ``frequency``: their alias.
    """

    targets: tuple[str, ...]
    steps: int
    frequency: str


class StoredRows(Protocol):
    """Stored rows, of all series or of some: what a panel is made of."""

    def training_rows(
        self, features: FeatureSet, columns: Sequence[str], known_at: datetime | None = None
    ) -> pd.DataFrame:
        """Read joined rows, as :meth:`RetrievalStrategy.training_rows` does.

        Args:
            features: The views.
            columns: Columns of all views.
            known_at: Only versions created at or before it (UTC); None: the newest.

        Returns:
            The joined rows.
        """

    def view_rows(
        self,
        features: FeatureSet,
        view: str,
        columns: Sequence[str],
        known_at: datetime | None = None,
    ) -> pa.Table:
        """Read one view alone, as :meth:`RetrievalStrategy.view_rows` does.

        Args:
            features: The views.
            view: The name of one of them.
            columns: Columns of it.
            known_at: Only versions created at or before it (UTC); None: the newest.

        Returns:
            The rows.
        """


class RetrievalStrategy(ABC):
    """The origin of features. The constructor stores its options and does nothing else."""

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
        """Store the finished rows of a view for training.

        Complete or not at all: a killed process leaves the old rows. A row with the
        ``View.identity`` of a stored one replaces it.

        Args:
            features: The views.
            view: The name of one of them.
            rows: Its ``View.identity`` and features; times are UTC.

        Returns:
            How many rows were stored.
        """

    @contextmanager
    def ingesting(self, features: FeatureSet, view: str) -> Iterator[Callable[[pd.DataFrame], int]]:
        """Store the finished rows of a view piece by piece, as one :meth:`ingest`.

        A strategy that can write a piece before it has the next does so; here they are kept in
        memory.

        Args:
            features: The views.
            view: The name of one of them.

        Yields:
            A function that takes the rows of :meth:`ingest` and says how many they are. The keys of
            each piece come after those of the one before. Everything is stored when the block ends,
            and nothing when it raises.
        """
        import pandas as pd

        pieces: list[pd.DataFrame] = []

        def add(rows: pd.DataFrame) -> int:
            pieces.append(rows)
            return len(rows)

        yield add
        if any(len(piece) for piece in pieces):
            self.ingest(features, view, pd.concat(pieces, ignore_index=True))

    @abstractmethod
    def stored_rows(
        self, features: FeatureSet, view: str, series: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Read what ``ingest`` has stored of a view, every version. Ingestion merges new rows with
        them.

        Args:
            features: The views.
            view: The name of one of them.
            series: The view's entity keys (text), for rows of these series only; None: of all.

        Returns:
            ``View.identity`` and features, sorted by the identity; empty when nothing is stored.
            Also ``INSERTED`` (:mod:`framework.features.views`), when rows had it. A strategy that
            does not keep it has rows that fill gaps known by their looks alone.
        """

    def entities(self, features: FeatureSet) -> pd.DataFrame:
        """List the entities of the primary view that have stored rows.

        A strategy that can read the keys alone does so; here they come from ``stored_rows``.

        Args:
            features: The views.

        Returns:
            The keys (text), each once, sorted.
        """
        return entities_of(features.entity_keys, self.stored_rows(features, features.primary))

    def disk(self, features: FeatureSet) -> tuple[Path, int] | None:
        """Say where on this machine ``ingest`` stores rows.

        Args:
            features: The views.

        Returns:
            The folder, which need not exist, and the bytes that these views take there now; None
            where the rows are not kept in a folder.
        """
        return None

    @abstractmethod
    def has_rows(self, features: FeatureSet) -> bool:
        """Say whether every view has rows for training.

        Args:
            features: The views.

        Returns:
            False when a view has none.
        """

    def count(self, features: FeatureSet) -> int | None:
        """Count the stored rows of the primary view without reading them, for an estimate of the
        memory that they take.

        Args:
            features: The views.

        Returns:
            The number of rows, of every version; None where it takes more than a moment.
        """
        return None

    @contextmanager
    def parts(self, features: FeatureSet, rows: int) -> Iterator[Sequence[StoredRows]]:
        """Divide the stored rows by whole series, so that not all of them are in memory at once.

        A strategy that can read some series alone does so; here all rows are one part.

        Args:
            features: The views.
            rows: About how many rows of the primary view a part has; a longer series is a part of
                its own, and a store of no more rows is one part.

        Yields:
            The parts, in the order of the series: each is read when it is asked for its rows, and
            all of them are of the rows that were stored when the block began. Rows of other views
            may come with those of series that are not of the part.
        """
        yield [self]

    @abstractmethod
    def training_rows(
        self, features: FeatureSet, columns: Sequence[str], known_at: datetime | None = None
    ) -> pd.DataFrame:
        """Read every row of the primary view, joined point-in-time with the other views.

        Columns known in advance are not asked for here but from :meth:`view_rows`: they have rows
        of steps that are still to come.

        Args:
            features: The views; each one's ttl says how old its row may be.
            columns: Columns of all views.
            known_at: Of a row's versions, the newest of those created at or before this time (UTC);
                a row without one is absent. None: the newest.

        Returns:
            Entity keys, ``event_timestamp`` (UTC, ``datetime64[us, UTC]``) and ``columns``, sorted
            by keys and time; null where a view has no row in time.
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

        Returns:
            One row for each key and time: the view's entity keys (text), ``event_timestamp`` (UTC,
            microseconds), ``columns``. Sorted by keys and time.

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
        """Make stored rows available to ``context``.

        No row replaces a newer one of its key, in whatever order calls come. A call that was killed
        is made good by the next.

        Args:
            features: The views.
            start: The first time (UTC), inclusive; None: of the first row.
            end: The last time (UTC), inclusive; None: of the last row.
            progress: Takes a line for people.
            views: These only; None: all.
            overlap: Instead of ``start``, begin so long before what earlier calls have made
                available, for the rows that came late.
            needs: So much of the rows before the newest actual, and all that are stored of the
                steps after it. What earlier calls have kept for longer contexts stays.

        Returns:
            The keys written, by view; {} of a strategy that serves what training reads.
        """

    def remove(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        """Remove stored rows, all of them or none.

        Args:
            features: The views.
            view: The name of one of them.
            rows: The ``View.identity`` of the rows.

        Returns:
            How many of them were stored.

        Raises:
            ConfigError: This strategy cannot remove rows.
        """
        raise ConfigError(
            "ingest.removed=remove: the selected retrieval strategy cannot remove rows; "
            "take warn or keep, "
            "or delete the store and run=ingest."
        )

    def lengthen(self, features: FeatureSet, needs: Needs, progress: Progress) -> dict[str, int]:
        """Make more history available, of the views of which ``materialize`` has made less than is
        needed. Training calls it for the pair's model.

        Args:
            features: The views.
            needs: How much.
            progress: Takes a line for people.

        Returns:
            The keys written, by view; {} of a strategy that serves what training reads.
        """
        return {}

    def push(
        self, features: FeatureSet, view: str, rows: pd.DataFrame, needs: Needs | None = None
    ) -> int:
        """Make finished rows of a view available to ``context`` at once, as a stream brings them.
        Training sees rows by :meth:`ingest` only.

        Args:
            features: The views.
            view: The name of one of them.
            rows: The columns of :meth:`ingest`.
            needs: As of :meth:`materialize`.

        Returns:
            The keys written; 0 of a strategy that serves what training reads.
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
        """Look up one window for each entity.

        An actual is a target that is not null; rows of the primary view after the newest one are
        steps to come, never an origin. ``Context.known`` holds the value of each step ahead by
        :func:`framework.retrieval.freshness.in_force`, from any view.

        An entity never raises: an unknown one, a missing or stale feature, a short history is that
        window's status.

        Args:
            features: The views.
            schema: The columns and lengths of a window.
            entities: The entity keys of each window.
            at: As known at this time (UTC); None: at the newest step of each entity with an actual.

        Returns:
            The windows, in the order of ``entities``.

        Raises:
            DataError: The store cannot be reached.
        """

    async def has_entities(self, features: FeatureSet) -> bool:
        """Say whether ``context`` can find any entity of the primary view at all. Servers ask again
        and again: it must be cheap.

        Args:
            features: The views.

        Returns:
            What :meth:`has_rows` says, for a strategy that serves what training reads.

        Raises:
            DataError: The store cannot be reached.
        """
        return await asyncio.to_thread(self.has_rows, features)

    async def close(self) -> None:  # noqa: B027  most strategies hold nothing
        """Release connections."""
