"""The rows of Parquet files by parts of whole series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from framework.data.arrays import Rows
from framework.features.views import View
from framework.retrieval.key_runs import Keys

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


@dataclass
class SortedFile:
    """An open file of rows that are sorted by the keys of its view. It stays the same file when the
    store replaces it.
    """

    view: View
    file: pq.ParquetFile
    _group: dict[tuple[str, ...], tuple[int, pa.Table]] = field(default_factory=dict)
    _last: dict[tuple[str, ...], tuple[int, int, pa.Table]] = field(default_factory=dict)

    @cached_property
    def _begins(self) -> Rows:
        """The first row of each row group, and the number of all rows."""
        groups = self.file.metadata
        counts = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    @cached_property
    def runs(self) -> tuple[Rows, Keys]:
        """The rows of each series, ``[series + 1]``, and the series. The keys alone are read, row
        group by row group.
        """
        import pyarrow as pa

        keys, count = list(self.view.entity), int(self._begins[-1])
        if not keys:
            one = pa.table({"": pa.nulls(min(count, 1))})
            return np.unique(np.array([0, count], dtype=np.int64)), Keys.of(one, ())
        starts, firsts = [], []
        for number, begin in enumerate(self._begins[:-1]):
            rows = self.file.read_row_group(number, columns=keys)
            places = Keys.of(rows, keys).offsets[:-1]
            starts.append(begin + places)
            firsts.append(rows.take(places))
        entities = pa.concat_tables(firsts).unify_dictionaries()
        first = Keys.of(entities, keys).offsets[:-1]  # a series goes on in the next row group
        offsets = np.append(np.concatenate(starts)[first], count)
        return offsets.astype(np.int64), Keys.of(entities.take(first), keys)

    def read(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """Read consecutive rows.

        Args:
            start: The first row.
            stop: One past the last row.
            columns: Columns beside the identity.

        Returns:
            The identity and the columns. What was read last is kept.
        """
        import pyarrow as pa

        names = tuple(dict.fromkeys([*self.view.identity(), *columns]))
        last = self._last.get(names)
        if last is not None and last[:2] == (start, stop):
            return last[2]
        first = max(int(np.searchsorted(self._begins, start, side="right")) - 1, 0)
        pieces = [self._read_group(min(first, len(self._begins) - 2), names).slice(0, 0)]
        for number in range(first, len(self._begins) - 1):
            begin = int(self._begins[number])
            if begin >= stop:
                break
            low = max(start - begin, 0)
            pieces.append(self._read_group(number, names).slice(low, stop - begin - low))
        table = pa.concat_tables(pieces)
        self._last[names] = start, stop, table
        return table

    def _read_group(self, number: int, names: tuple[str, ...]) -> pa.Table:
        last = self._group.get(names)
        if last is None or last[0] != number:
            last = number, self.file.read_row_group(number, columns=list(names))
            self._group[names] = last
        return last[1]


@dataclass(frozen=True)
class FilePart:
    """The rows of some consecutive series. ``rows``: by view, the first row and the one past the
    last; a view may have those of other series, too.
    """

    files: Mapping[str, SortedFile]
    rows: Mapping[str, tuple[int, int]]

    def table(self, name: str, view: View, features: Sequence[str]) -> pa.Table:
        """Read the rows of a view, as :meth:`RowStore.table` does.

        Args:
            name: The view's name.
            view: The view.
            features: Columns beside the identity.

        Returns:
            The identity, then ``features``, sorted by identity.
        """
        return self.files[name].read(*self.rows[name], features)


@contextmanager
def open_files(paths: Mapping[str, tuple[Path, View]]) -> Iterator[dict[str, SortedFile]]:
    """Open the files of views.

    Args:
        paths: File and view by the view's name.

    Yields:
        The open files.
    """
    import pyarrow.parquet as pq

    with ExitStack() as stack:
        files = {}
        for name, (path, view) in paths.items():
            texts = [*view.entity, *view.categories]
            file = stack.enter_context(pq.ParquetFile(path, read_dictionary=texts))
            files[name] = SortedFile(view, file)
        yield files


def parts_of(files: Mapping[str, SortedFile], primary: str, rows: int) -> list[FilePart]:
    """Divide the rows of views by the series of the primary one.

    Args:
        files: The files of the views.
        primary: The name of the primary view.
        rows: About how many rows of it a part has; a longer series is a part of its own.

    Returns:
        The parts, in the order of the series.
    """
    offsets, series = files[primary].runs
    edges = np.searchsorted(offsets, np.arange(0, offsets[-1], rows))
    edges = np.unique(np.append(edges, len(offsets) - 1))
    places = {
        name: series.places_in(file.runs[1]) for name, file in files.items() if name != primary
    }
    parts = []
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        ranges = {primary: (int(offsets[first]), int(offsets[last]))}
        for name, place in places.items():
            runs = place[first:last][place[first:last] >= 0]
            own = files[name].runs[0]
            ranges[name] = (int(own[runs.min()]), int(own[runs.max() + 1])) if len(runs) else (0, 0)
        parts.append(FilePart(files, ranges))
    return parts
