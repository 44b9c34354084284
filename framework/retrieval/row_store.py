"""The store that keeps the rows of views for training: its contract, and Parquet on local disk."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from framework.data.arrays import Objects
from framework.data.canonical_text import category_texts, key_texts
from framework.errors import DataError
from framework.features.views import INSERTED, View
from framework.retrieval.newest_rows import last_of_runs, newest_versions

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class Tables(Protocol):
    """The rows of views, of all series or of some."""

    def table(self, name: str, view: View, features: Sequence[str]) -> pa.Table:
        """Read the rows of a view, as :meth:`RowStore.table` does.

        Args:
            name: The view's name.
            view: The view.
            features: Columns beside the identity.

        Returns:
            The identity, then ``features``, sorted by identity.
        """


class RowStore(ABC):
    """Rows of views: entity keys (text), ``event_timestamp`` (UTC), the created column of a view
    that has one, numbers, categories (text).

    Beside them stands ``INSERTED``: 1 in a row that fills a gap, 0 in a given one, null in rows of
    a version that did not say.

    No ``View.identity`` twice. Rows belong to a definition: those that an earlier one made are
    neither mixed in nor lost.
    """

    @abstractmethod
    def write(self, name: str, view: View, rows: pd.DataFrame) -> int:
        """Add rows, all or none. One with the identity of a stored or an earlier row replaces it.

        Args:
            name: The view's name.
            view: The view.
            rows: Its identity and features.

        Returns:
            How many distinct rows were written.

        Raises:
            DataError: A column is missing, null or no number.
        """

    @contextmanager
    def writing(self, name: str, view: View) -> Iterator[Callable[[pd.DataFrame], int]]:
        """Add rows piece by piece, as one :meth:`write`; here the pieces are kept in memory.

        Args:
            name: The view's name.
            view: The view.

        Yields:
            A function that takes rows and says how many they are; see
            :meth:`framework.interfaces.retrieval.RetrievalStrategy.ingesting`.
        """
        import pandas as pd

        pieces: list[pd.DataFrame] = []

        def add(rows: pd.DataFrame) -> int:
            pieces.append(rows)
            return len(rows)

        yield add
        if any(len(piece) for piece in pieces):
            self.write(name, view, pd.concat(pieces, ignore_index=True))

    @abstractmethod
    def rows(self, name: str, view: View) -> int:
        """Count the stored rows.

        Args:
            name: The view's name.
            view: The view.

        Returns:
            The number of rows, of every version.
        """

    def disk(self, views: Mapping[str, View]) -> tuple[Path, int] | None:
        """Say where on this machine the rows are.

        Args:
            views: The views by name.

        Returns:
            The folder, which need not exist, and the bytes that these views take there; None where
            they are kept elsewhere.
        """
        return None

    @abstractmethod
    def table(self, name: str, view: View, features: Sequence[str]) -> pa.Table:
        """Read every stored row.

        Args:
            name: The view's name.
            view: The view.
            features: Columns beside the identity; features, or ``INSERTED``.

        Returns:
            The identity, then ``features``, sorted by identity. Times are microseconds, UTC.

        Raises:
            DataError: There are no rows, or they cannot be read.
        """

    @contextmanager
    def parts(
        self, views: Mapping[str, View], primary: str, rows: int
    ) -> Iterator[Sequence[Tables]]:
        """Divide the rows by whole series, as
        :meth:`framework.interfaces.retrieval.RetrievalStrategy.parts` does; here they are one part.

        Args:
            views: The views by name.
            primary: The name of the primary view.
            rows: About how many rows of it a part has.

        Yields:
            The parts, in the order of the series.
        """
        yield [self]

    def read(self, name: str, view: View, known_at: datetime | None = None) -> pd.DataFrame:
        """Read the newest version of each row.

        Args:
            name: The view's name.
            view: The view.
            known_at: Only versions created at or before this time (UTC); None: all.

        Returns:
            Every column of the view, sorted by identity.
        """
        rows: pd.DataFrame = newest_versions(
            view, self.table(name, view, view.feature_names()), known_at
        ).to_pandas()
        return rows

    def series(self, name: str, view: View, series: pd.DataFrame | None = None) -> pd.DataFrame:
        """Read every version of some series.

        Args:
            name: The view's name.
            view: The view.
            series: The keys of the series; None: all series.

        Returns:
            The identity and what :meth:`kept` names, sorted by identity; empty when nothing is
            stored.
        """
        import pandas as pd

        columns, keys = self.kept(view), list(view.entity)
        if not self.rows(name, view):
            return pd.DataFrame(columns=[*view.identity(), *columns])
        if not keys:
            series = None
        table = (
            self.table(name, view, columns) if series is None else self.narrowed(name, view, series)
        )
        rows: pd.DataFrame = _plain(table).to_pandas()
        if INSERTED in rows and rows[INSERTED].isna().all():
            rows = rows.drop(columns=INSERTED)
        return rows if series is None else rows.merge(series[keys].drop_duplicates(), on=keys)

    def kept(self, view: View) -> tuple[str, ...]:
        """List the columns of a stored row beside its identity.

        Args:
            view: The view.

        Returns:
            The features and ``INSERTED``.
        """
        return (*view.feature_names(), INSERTED)

    def narrowed(self, name: str, view: View, series: pd.DataFrame) -> pa.Table:
        """Read the rows of some series, and few others; here after all have been read.

        Args:
            name: The view's name.
            view: The view.
            series: The keys of the series.

        Returns:
            The identity and what :meth:`kept` names.
        """
        import pyarrow.compute as pc

        table, key = self.table(name, view, self.kept(view)), view.entity[0]
        return table.filter(
            pc.is_in(
                _plain(table.select([key]))[0],
                _texts(series[key].drop_duplicates().to_numpy(dtype=object)),
            )
        )

    def entities(self, name: str, view: View) -> pd.DataFrame:
        """List the keys of every series.

        Args:
            name: The view's name.
            view: The view.

        Returns:
            The keys, each once, sorted.
        """
        import pandas as pd

        keys = list(view.entity)
        rows = self.rows(name, view)
        if not rows or not keys:
            return pd.DataFrame(columns=keys, index=range(min(rows, 1)))
        table = _plain(self.table(name, view, ()).select(keys)).group_by(keys).aggregate([])
        key_rows: pd.DataFrame = (
            table.select(keys).sort_by([(key, "ascending") for key in keys]).to_pandas()
        )
        return key_rows


def digest_of(view: View) -> str:
    """Hash how the columns of a view are made. The ttl is not part of it: it is applied when rows
    are read.

    Args:
        view: The view.

    Returns:
        Eight hexadecimal digits.
    """
    return hashlib.sha256(view.definition().encode()).hexdigest()[:8]


def typed(name: str, view: View, rows: pd.DataFrame) -> pa.Table:
    """Give the columns of a view the types of a store.

    Args:
        name: The view's name, for messages.
        view: The view.
        rows: Its identity and features, in any types.

    Returns:
        Keys and categories as text, times in UTC with microseconds, numbers as floats.

    Raises:
        DataError: A column is missing, null or no number; the message names it.
    """
    import pyarrow as pa

    features = view.feature_names()
    missing_columns = [c for c in (*view.identity(), *features) if c not in rows.columns]
    if missing_columns:
        raise DataError(
            f"offline store: view '{name}': missing columns {missing_columns}; the rows have "
            f"{list(rows.columns)}."
        )
    empty = [c for c in view.identity() if rows[c].isna().any()]
    if empty:
        raise DataError(
            f"offline store: view '{name}': null in {empty}; every row needs its keys and "
            "its times."
        )
    columns: dict[str, Any] = {
        key: _texts(key_texts(rows[key], f"offline store: view '{name}'")) for key in view.entity
    }
    columns |= {time: _moments(rows[time]) for time in view.identity()[len(view.entity) :]}
    for feature in features:
        values = rows[feature]
        columns[feature] = (
            _texts(category_texts(values)) if feature in view.categories else _numbers(name, values)
        )
    unsaid = pa.nulls(len(rows), pa.float64())
    columns[INSERTED] = _numbers(name, rows[INSERTED]) if INSERTED in rows.columns else unsaid
    return pa.table(columns)


def _marked(rows: pa.Table, columns: Sequence[str]) -> pa.Table:
    """With nulls for the mark where a file of an earlier version has none."""
    import pyarrow as pa

    if INSERTED not in columns or INSERTED in rows.column_names:
        return rows
    return rows.append_column(INSERTED, pa.nulls(rows.num_rows, pa.float64()))


def _moments(values: pd.Series[Any]) -> pa.Array:
    import pandas as pd
    import pyarrow as pa

    return pa.array(
        pd.DatetimeIndex(pd.to_datetime(values, utc=True)).as_unit("us"), pa.timestamp("us", "UTC")
    )


def _texts(values: Objects) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, pa.string())


def _numbers(name: str, values: pd.Series[Any]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    try:
        return pa.array(
            values.to_numpy(dtype=np.float64, na_value=np.nan), pa.float64(), from_pandas=True
        )
    except (TypeError, ValueError) as error:
        raise DataError(
            f"offline store: view '{name}': column '{values.name}' is not numeric "
            f"({_line(error)}); list it under categories."
        ) from error


def _plain(table: pa.Table) -> pa.Table:
    """With texts as texts where they are codes of a dictionary."""
    import pyarrow as pa

    fields = [
        field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def distinct(view: View, rows: pa.Table) -> pa.Table:
    """Drop all but the last of rows with the same identity.

    Args:
        view: The view.
        rows: Its rows, in any order.

    Returns:
        The rows, sorted by identity.
    """
    return last_of_runs(
        rows.sort_by([(column, "ascending") for column in view.identity()]), view.identity()
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
