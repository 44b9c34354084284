"""The rows of a view as arrays, entity by entity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from framework.data.arrays import Objects
from framework.data.vocabulary import TIME
from framework.features.views import View
from framework_feast.records.packed import Moments, Rows, columns


@dataclass(frozen=True, slots=True)
class Series:
    """The rows of one entity, rising in time; when each of them became known, in a view that says
    so.
    """

    key: tuple[str, ...]
    rows: Rows
    created: list[pd.Timestamp] | None


class SortedRows:
    """A view's rows, sorted by key and time."""

    def __init__(self, view: View, frame: pd.DataFrame) -> None:
        frame = frame.sort_values([*view.identity()], kind="stable").drop_duplicates(
            [*view.entity, TIME], keep="last"
        )
        numbers, categories = columns(view)
        self.keys: Objects = frame[list(view.entity)].astype(str).to_numpy(dtype=object)
        self.times: Moments = (
            pd.DatetimeIndex(frame[TIME])
            .tz_convert("UTC")
            .tz_localize(None)
            .to_numpy()
            .astype("M8[us]")
            .view(np.int64)
        )
        self.numbers = frame[list(numbers)].to_numpy(dtype=np.float64, na_value=np.nan)
        self.created = None if view.created is None else frame[view.created].tolist()
        texts = frame[list(categories)].astype(object)
        self.categories: Objects = texts.where(texts.notna(), None).to_numpy(dtype=object)

    def between(self, first: int | None, last: int | None, cut: bool = False) -> list[Series]:
        """The entities that have rows in the range, with these rows."""
        if not len(self.times):
            return []
        starts = np.append(0, np.flatnonzero((self.keys[1:] != self.keys[:-1]).any(axis=1)) + 1)
        series = []
        for start, stop in zip(
            starts.tolist(), [*starts[1:].tolist(), len(self.times)], strict=True
        ):
            times = self.times[start:stop]
            low = 0 if first is None else int(np.searchsorted(times, first))
            high = len(times) if last is None else int(np.searchsorted(times, last, side="right"))
            if low < high:
                part = slice(start + low, start + high)
                rows = Rows(
                    self.times[part], self.numbers[part], self.categories[part], cut or low > 0
                )
                series.append(
                    Series(
                        tuple(self.keys[start]),
                        rows,
                        None if self.created is None else self.created[part],
                    )
                )
        return series
