"""The rows of a view that stay online.

They are the window that ends with the newest actual, and the rows of the steps to come.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from framework.data.frequency import Frequency
from framework.data.grouping import series_numbers
from framework.data.vocabulary import TIME
from framework.features.views import FeatureSet, View
from framework.interfaces.retrieval import Needs
from framework.retrieval.point_in_time import view_rows
from framework.retrieval.row_store import RowStore
from framework_feast.records.packed import Rows, columns, newest_actual_of


class Origins(ABC):
    """The newest actuals of the series that a record describes."""

    @abstractmethod
    def past(self, key: tuple[str, ...], rows: Rows) -> int:
        """Count the rows that are not later than the newest of these actuals."""

    def first(self, key: tuple[str, ...], steps: int) -> int | None:
        """The first step (microseconds) of the earliest window of ``steps`` that ends with one of
        them; None where rows are counted.
        """
        return None


class AllPast(Origins):
    """Nothing is known of steps to come: every row is one of the past."""

    def past(self, key: tuple[str, ...], rows: Rows) -> int:
        return len(rows)


class OwnActuals(Origins):
    """The primary view's: its rows hold the targets."""

    def __init__(self, view: View, targets: Sequence[str]) -> None:
        numbers, _ = columns(view)
        self._places = [numbers.index(target) for target in targets]

    def past(self, key: tuple[str, ...], rows: Rows) -> int:
        return newest_actual_of(rows, self._places) + 1


@dataclass(frozen=True, slots=True)
class OthersActuals(Origins):
    """Another view's: by key, the newest actual of its series, and of the one that lags behind
    most; ``otherwise`` of other keys.
    """

    frequency: Frequency
    by_key: dict[tuple[str, ...], tuple[int, int]]  # lagging, newest
    otherwise: tuple[int, int]

    def past(self, key: tuple[str, ...], rows: Rows) -> int:
        return int(
            np.searchsorted(rows.times, self.by_key.get(key, self.otherwise)[1], side="right")
        )

    def first(self, key: tuple[str, ...], steps: int) -> int | None:
        lagging = np.array([self.by_key.get(key, self.otherwise)[0]]).view("M8[us]")
        return int(self.frequency.shift(lagging, 1 - steps).astype(np.int64)[0])


@dataclass(frozen=True, slots=True)
class Actuals:
    """The newest actual of each series of the primary view: its keys and ``event_timestamp``,
    microseconds.
    """

    frame: pd.DataFrame

    @classmethod
    def stored(
        cls, features: FeatureSet, offline: RowStore, needs: Needs, last: int | None
    ) -> Actuals:
        """Of the rows of the offline store up to ``last``."""
        rows = view_rows(features, offline, features.primary, needs.targets).to_pandas()
        rows[TIME] = (
            pd.DatetimeIndex(rows[TIME])
            .tz_convert("UTC")
            .tz_localize(None)
            .to_numpy()
            .astype("M8[us]")
            .astype(np.int64)
        )
        rows = rows[rows[list(needs.targets)].notna().any(axis=1)]
        if last is not None:
            rows = rows[rows[TIME] <= last]
        keys = list(features.entity_keys)
        if not keys:  # one series
            return cls(rows[[TIME]].nlargest(1, TIME).reset_index(drop=True))
        return cls(
            rows.astype(dict.fromkeys(keys, str))
            .groupby(keys, sort=False)[TIME]
            .max()
            .reset_index()
        )

    @property
    def newest(self) -> int | None:
        return int(self.frame[TIME].max()) if len(self.frame) else None

    def of(self, view: View, frequency: str) -> Origins:
        """Return the origins that a view describes.

        A series that lags behind the newest of its key by more than the view's ttl counts for
        nothing.
        """
        if not len(self.frame):
            return AllPast()
        overall = int(self.frame[TIME].max())
        number = series_numbers(view.entity, self.frame)[0]
        newest = self.frame[TIME].groupby(number).transform("max")
        live = self.frame[self.frame[TIME] >= newest - _microseconds(view.ttl)]
        spans = live[TIME].groupby(number[live.index]).agg(["min", "max"])
        first = live.groupby(number[live.index]).head(1)
        names = map(tuple, first[list(view.entity)].to_numpy(dtype=object))
        places = number[first.index]
        by_key = dict(
            zip(
                names,
                zip(spans["min"][places].tolist(), spans["max"][places].tolist(), strict=True),
                strict=True,
            )
        )
        return OthersActuals(Frequency.parse(frequency), by_key, (overall, overall))


def streamed(view: View, frequency: str, newest: int) -> Origins:
    """For rows that a stream brings: every series is taken to lag behind the ``newest`` actual of
    all by up to the view's ttl.
    """
    return OthersActuals(Frequency.parse(frequency), {}, (newest - _microseconds(view.ttl), newest))


@dataclass(frozen=True, slots=True)
class Retention:
    """``length``: rows up to the newest actual that stay at least. ``steps``: of the primary view,
    that a window spans.

    ``ahead``: rows after it that stay at most, the next ones.
    """

    origins: Origins
    length: int
    steps: int
    ahead: int

    def newest(self, key: tuple[str, ...], rows: Rows, before: Rows | None) -> Rows:
        """The row that describes the origin, and those ahead."""
        return self._kept(key, rows, before, 1, 1)

    def window(self, key: tuple[str, ...], rows: Rows, before: Rows | None) -> Rows | None:
        """The same for a window; None where one row is all that is wanted. A writer that wants
        fewer rows shortens nobody's window.
        """
        length = max(self.length, 0 if before is None else len(before) - before.ahead)
        return (
            None
            if length == 1 and before is None
            else self._kept(key, rows, before, length, self.steps)
        )

    def _kept(
        self, key: tuple[str, ...], rows: Rows, before: Rows | None, length: int, steps: int
    ) -> Rows:
        if isinstance(self.origins, AllPast) and before is not None and before.ahead:
            length = max(length, len(before))  # which of them are ahead, only who wrote them knew
        past = self.origins.past(key, rows)
        start = max(past - length, 0)
        first = self.origins.first(key, steps)
        if first is not None:
            start = min(start, max(int(np.searchsorted(rows.times, first, side="right")) - 1, 0))
        stop = min(len(rows), past + self.ahead)
        return rows.part(start, stop, stop - past)


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
