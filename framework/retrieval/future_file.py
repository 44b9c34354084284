"""A Parquet file of the known-in-advance columns of steps to come, as ``future`` of ``POST
/predict`` has them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from framework.data.context import Context
from framework.data.frequency import Frequency
from framework.data.parquet_columns import keys, numbers, times
from framework.data.schema import Schema
from framework.data.vocabulary import ERROR, MISSING_FEATURE, OK, TIME
from framework.errors import DataError
from framework.retrieval.freshness import lacking_steps, not_known
from framework.retrieval.key_runs import Keys
from framework.retrieval.point_in_time import floats, newest


@dataclass
class FutureFile:
    """Entity keys, ``event_timestamp`` and the known columns, a row for each series and step, in
    any order. Can be pickled.
    """

    path: Path
    schema: Schema

    def __reduce__(self) -> tuple[Any, ...]:
        return FutureFile, (self.path, self.schema)

    @cached_property
    def _rows(self) -> pa.Table:
        """Sorted by key and time."""
        where, names = (
            f"predict.future: {self.path}",
            (*self.schema.entity_keys, TIME, *self.schema.known),
        )
        try:
            file = pq.ParquetFile(self.path)
            missing_columns = [name for name in names if name not in file.schema_arrow.names]
            if missing_columns:
                raise DataError(
                    f"{where}: missing {missing_columns}; it needs the columns {list(names)}."
                )
            table = file.read(columns=list(names))
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"{where} cannot be read as Parquet: {error}") from error
        columns = {
            name: pa.array(keys(table, name, where).tolist(), pa.string())
            for name in self.schema.entity_keys
        }
        columns[TIME] = pa.array(times(table, where), pa.timestamp("us", "UTC"))
        columns |= {
            name: pa.array(numbers(table, name, where), pa.float64()) for name in self.schema.known
        }
        rows = pa.table(columns).sort_by(
            [(name, "ascending") for name in names[: len(self.schema.entity_keys) + 1]]
        )
        self._refuse_twice(rows, where)
        return rows

    def _refuse_twice(self, rows: pa.Table, where: str) -> None:
        same = np.ones(max(len(rows) - 1, 0), dtype=bool)
        for name in (*self.schema.entity_keys, TIME):
            values = rows[name].to_numpy()
            same &= values[1:] == values[:-1]
        if same.any():
            row = rows.slice(int(same.argmax()), 1).to_pylist()[0]
            entity = [row[name] for name in self.schema.entity_keys]
            raise DataError(
                f"{where}: two rows for {entity} at {row[TIME]:%Y-%m-%dT%H:%M:%SZ}; keep one."
            )

    def fill(self, context: Context) -> Context:
        """Give the windows their steps ahead; one that lacks some is ``missing_feature``, one with
        an infinite number ``error``.
        """
        schema, n = self.schema, len(context)
        steps = Frequency.parse(schema.frequency).after(context.origins, schema.horizon)
        series = Keys.of_entities(context.static[:, : len(schema.entity_keys)], schema.entity_keys)
        counts = np.diff(series.offsets) * schema.horizon
        place, row_times = newest(schema.entity_keys, series, counts, steps.ravel(), self._rows)
        values = np.full((n * schema.horizon, len(schema.known)), np.nan)
        is_exact = row_times == steps.ravel()
        for k, name in enumerate(schema.known):
            values[is_exact, k] = floats(self._rows[name])[place[is_exact]]
        known = values.reshape(n, schema.horizon, len(schema.known))
        status, detail = list(context.status), list(context.detail)
        null_counts = lacking_steps(schema, known)
        for j in (j for j in range(n) if status[j] == OK):
            if null_counts[j].any():
                status[j], detail[j] = (
                    MISSING_FEATURE,
                    not_known(schema, context.origins[j], null_counts[j]),
                )
            elif np.isinf(known[j]).any():
                status[j], detail[j] = (
                    ERROR,
                    f"{schema.known[int(np.isinf(known[j]).any(axis=0).argmax())]} is not finite",
                )
        return replace(context, known=known, status=status, detail=detail)
