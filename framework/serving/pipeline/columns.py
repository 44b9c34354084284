"""A request in columns that are arrays already, as other protocols have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from framework.data.arrays import Float64, Objects
from framework.data.schema import Schema
from framework.data.vocabulary import TIME

#: Numbers that are taken as they are: what is larger, or no number, goes through full validation.
_PLAIN = 1e15
#: Characters of a text that is taken as it is; the shortest limit that a text has.
_SHORT = 1000

Column = Float64 | list[str]


class Columns:
    """The columns of a body of ``POST /predict``. ``bytes()`` gives that body: full validation, and
    a shadow, read it. ``len()`` is that of the client's own body.

    Args:
        columns: Numbers, NaN for null, or texts.
        size: Bytes of the client's body.
        encode: Makes the body of ``POST /predict``. Raises what a wrong request is refused with.
    """

    def __init__(
        self, columns: Mapping[str, Column], size: int, encode: Callable[[], bytes]
    ) -> None:
        self.columns, self._size, self._encode = columns, size, encode
        self._body: bytes | None = None

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        if self._body is None:
            self._body = self._encode()
        return self._body


class PlainColumns:
    """Reads columns of which a glance says that they are right: the columns of the schema, of one
    length, with short texts and finite numbers, and nothing beside them. Costs next to nothing.
    """

    def __init__(self, schema: Schema, max_rows: int) -> None:
        self._static, self._past = schema.static, schema.past
        self._names = {*schema.static, TIME, *schema.past}
        self._max_rows, self._known = max_rows, bool(schema.known)
        self._nullable = np.array([name in schema.nullable for name in schema.past], dtype=bool)

    def read(self, columns: Mapping[str, Column]) -> tuple[Objects, Sequence[str], Float64] | None:
        """Read the columns of a request.

        Returns:
            Static texts, texts of the times, past values; None where full validation must look.
        """
        if self._known or columns.keys() != self._names:
            return None
        size = len(columns[TIME])
        if not 0 < size <= self._max_rows or any(len(c) != size for c in columns.values()):
            return None
        texts = [columns[name] for name in (*self._static, TIME)]
        numbers = [columns[name] for name in self._past]
        if not all(isinstance(column, np.ndarray) for column in numbers):
            return None
        if any(isinstance(column, np.ndarray) or _long(column) for column in texts):
            return None
        past = np.array(numbers, dtype=np.float64).reshape(len(numbers), size)
        plain = np.abs(past) <= _PLAIN
        if not plain.all():
            plain |= np.isnan(past) & self._nullable[:, None]
            if not plain.all():
                return None
        static = np.empty((size, len(self._static)), dtype=object)
        for i, column in enumerate(texts[:-1]):
            static[:, i] = column
        times = texts[-1]
        assert isinstance(times, list)
        return static, times, np.ascontiguousarray(past.T)


def _long(texts: list[str]) -> bool:
    return max(map(len, texts)) > _SHORT
