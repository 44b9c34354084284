"""A Parquet file of rows, as ``POST /predict`` takes them, read a range of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from framework.data.context import Context
from framework.data.frequency import Frequency
from framework.data.parquet_columns import keys, numbers, texts, times
from framework.data.row_windows import cut_windows
from framework.data.schema import Schema
from framework.data.vocabulary import ERROR, MISSING_FEATURE, OK, TIME
from framework.errors import DataError, FieldError
from framework.retrieval.future_file import FutureFile

_BATCH = 10_000
Range = tuple[int, int]


@dataclass
class RowsFile:
    """Rows of one entity must follow each other where the pair needs history.

    The columns are the schema's: static ones (text, number, boolean), ``event_timestamp`` (UTC
    where it names no zone), past ones (numbers). A window with a null, in a number or a category,
    where training had none gets the status ``missing_feature``, one with an infinite number
    ``error``.
    """

    path: Path
    schema: Schema
    future: Path | None = None  # of the steps ahead, where the pair has known-in-advance columns
    _rest: pa.Table | None = field(default=None, repr=False)
    _next: int = 0
    _batches: Iterator[pa.RecordBatch] | None = field(default=None, repr=False)

    @cached_property
    def _ahead(self) -> FutureFile | None:
        return None if self.future is None else FutureFile(self.future, self.schema)

    @cached_property
    def _file(self) -> pq.ParquetFile:
        try:
            file = pq.ParquetFile(self.path)
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(
                f"predict.rows: {self.path} cannot be read as Parquet: {error}"
            ) from error
        wrong = self.schema.column_error(tuple(file.schema_arrow.names))
        if wrong is not None:
            raise DataError(f"predict.rows: {self.path}: {wrong}.")
        if self.schema.known and self.future is None:
            raise DataError(
                f"predict.rows: the pair needs {list(self.schema.known)} of the "
                f"{self.schema.horizon} steps ahead; give them with "
                "predict.future, a Parquet file of "
                f"{[*self.schema.entity_keys, TIME, *self.schema.known]}."
            )
        if self.future is not None and not self.schema.known:
            raise DataError(
                "predict.future: the pair has no column that is known in advance; leave it out."
            )
        if not file.metadata.num_rows:
            raise DataError(f"predict.rows: {self.path} has no rows.")
        return file

    def pieces(self, size: int) -> list[Range]:
        """Ranges of about ``size`` rows that cut no history in two."""
        total = self._file.metadata.num_rows
        if self.schema.context_length == 1:
            return [(start, min(start + size, total)) for start in range(0, total, size)]
        starts = self._entity_starts()
        cuts = [0]
        for start in starts:
            if start - cuts[-1] >= size:
                cuts.append(start)
        return list(zip(cuts, [*cuts[1:], total], strict=True))

    def _entity_starts(self) -> list[int]:
        names = list(self.schema.entity_keys)
        if not names:
            return [0]
        starts, at, before = [], 0, None
        earlier_keys: set[tuple[Any, ...]] = set()
        for batch in self._file.iter_batches(_BATCH, columns=names):
            entities = list(zip(*(batch.column(k).to_pylist() for k in names), strict=True))
            for i, entity in enumerate(entities):
                if entity == before:
                    continue
                if entity in earlier_keys:
                    raise DataError(
                        f"predict.rows: {self.path}: the rows of {list(entity)} do not "
                        f"follow each other; sort by {[*names, TIME]}."
                    )
                earlier_keys.add(entity)
                starts.append(at + i)
                before = entity
            at += len(entities)
        return starts

    def context(self, piece: Range) -> Context:
        """The windows of a range of rows."""
        start, stop = piece
        table, schema, file = self._read(start, stop), self.schema, f"predict.rows: {self.path}"
        static = np.empty((len(table), len(schema.static)), dtype=object)
        for i, name in enumerate(schema.static):
            static[:, i] = (
                keys(table, name, file, start)
                if i < len(schema.entity_keys)
                else texts(table, name, file)
            )
        past = np.stack([numbers(table, name, file) for name in schema.past], axis=1)

        def where(name: str, row: int) -> str:
            return f"row {start + row}, column {name}"

        try:
            context = cut_windows(
                schema,
                Frequency.parse(schema.frequency),
                static,
                times(table, file, start),
                past,
                where,
            )
        except FieldError as error:
            raise DataError(f"predict.rows: {self.path}: {error.path}: {error.message}.") from None
        self._mark(context)
        return context if self._ahead is None else self._ahead.fill(context)

    def _mark(self, context: Context) -> None:
        required = [
            i for i, name in enumerate(self.schema.past) if name not in self.schema.nullable
        ]
        for column in range(context.past.shape[2]):
            values = context.past[:, :, column]
            for status, what, wrong in (
                (ERROR, "is not finite", np.isinf(values)),
                (
                    MISSING_FEATURE,
                    "is null",
                    np.isnan(values) if column in required else np.zeros(1, bool),
                ),
            ):
                for window in np.flatnonzero(wrong.any(axis=-1)) if wrong.any() else ():
                    if context.status[window] == OK:
                        context.status[window], context.detail[window] = (
                            status,
                            f"{self.schema.past[column]} {what}",
                        )
        for i, name in enumerate(self.schema.static):
            for window in (
                np.flatnonzero([text is None for text in context.static[:, i]])
                if name not in self.schema.nullable
                else ()
            ):
                if context.status[window] == OK:
                    context.status[window], context.detail[window] = (
                        MISSING_FEATURE,
                        f"{name} is null",
                    )

    def _read(self, start: int, stop: int) -> pa.Table:
        """Goes on from where the last range ended, unless the row group of ``start`` begins after
        that; a step back begins anew.
        """
        file = self._file
        groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        ends = np.cumsum(groups)
        first = int(np.searchsorted(ends, start, side="right"))
        if (
            self._batches is None
            or self._rest is None
            or not ends[first] - groups[first] <= self._next <= start
        ):
            self._batches = file.iter_batches(_BATCH, row_groups=list(range(first, len(groups))))
            self._rest, self._next = (
                file.schema_arrow.empty_table(),
                int(ends[first] - groups[first]),
            )
        rest = self._rest
        while self._next + len(rest) < stop:
            rest = pa.concat_tables([rest, pa.Table.from_batches([next(self._batches)])])
            skipped = min(max(start - self._next, 0), len(rest))
            rest, self._next = rest.slice(skipped), self._next + skipped
        piece = rest.slice(start - self._next, stop - start)
        self._rest, self._next = rest.slice(stop - self._next), stop
        return piece
