"""The series of sorted rows: where the rows of each begin, and how the series of one table are
found in another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.data.arrays import Objects, Rows
from framework.data.arrow_columns import coded

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Keys:
    """The runs of equal keys in a sorted table."""

    offsets: Rows  # [runs + 1]
    codes: dict[str, Rows]  # [runs], places in ``values``
    values: dict[str, Any]  # the distinct texts of each key column

    @classmethod
    def of(cls, rows: pa.Table, keys: Sequence[str]) -> Keys:
        """Find the runs of a table.

        Args:
            rows: A table, sorted by ``keys``.
            keys: The key columns.

        Returns:
            The runs.
        """
        columns = {key: coded(rows[key]) for key in keys}
        starts = np.zeros(rows.num_rows, dtype=bool)
        starts[:1] = True
        for codes, _ in columns.values():
            starts[1:] |= codes[1:] != codes[:-1]
        first = np.flatnonzero(starts)
        offsets = np.concatenate([first, [rows.num_rows]]).astype(np.int64)
        return cls(
            offsets,
            {key: codes[first] for key, (codes, _) in columns.items()},
            {key: values for key, (_, values) in columns.items()},
        )

    @classmethod
    def of_entities(cls, entities: Objects, keys: Sequence[str]) -> Keys:
        """Find the runs of an array.

        Args:
            entities: ``[n, E]``, sorted.
            keys: The names of its columns.

        Returns:
            The runs of equal rows.
        """
        import pyarrow as pa

        columns = {
            key: pa.array(entities[:, i].tolist(), pa.string()) for i, key in enumerate(keys)
        }
        return cls.of(
            pa.table({**columns, "": pa.nulls(len(entities))}), keys
        )  # without keys it still has its rows

    def places_in(self, other: Keys) -> Rows:
        """Find these runs in another table.

        Args:
            other: The runs of the other table, of which the keys may be fewer.

        Returns:
            ``[runs]``: the run of ``other`` that has these keys, -1 for none.
        """
        import pyarrow.compute as pc

        own_codes, other_codes = (
            np.zeros(len(self.offsets) - 1, np.int64),
            np.zeros(len(other.offsets) - 1, np.int64),
        )
        absent = np.zeros(len(own_codes), dtype=bool)
        for key, values in other.values.items():
            places = (
                pc.index_in(self.values[key], value_set=values)
                .fill_null(-1)
                .to_numpy(zero_copy_only=False)
                .astype(np.int64)
            )
            own = places[self.codes[key]]
            absent |= own < 0
            _, codes = np.unique(
                np.concatenate(
                    [own_codes * len(values) + own, other_codes * len(values) + other.codes[key]]
                ),
                return_inverse=True,
            )
            own_codes, other_codes = (
                codes[: len(own_codes)].astype(np.int64),
                codes[len(own_codes) :].astype(np.int64),
            )
        order = np.argsort(other_codes, kind="stable")
        place = np.minimum(np.searchsorted(other_codes[order], own_codes), max(len(order) - 1, 0))
        hit = (
            (other_codes[order][place] == own_codes) & ~absent
            if len(order)
            else np.zeros(len(own_codes), dtype=bool)
        )
        return np.where(hit, order[place] if len(order) else -1, -1)
