"""The packed record: the newest rows of one view for one entity in one value, read without Feast
and decoded as arrays.

Layout, little endian: version (u1), flags (u1; 1: older rows were dropped), numbers F (u2),
categories C (u2), rows N (u4); since version 2 how many of the rows are later than the newest
actual (u4); N times (i8, microseconds since 1970 UTC), rising; N x F numbers (f8, NaN for null);
where C is not 0, JSON with N lists of C texts or nulls.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any

import numpy as np
import numpy.typing as npt

from framework.data.arrays import Float64, Objects, Times
from framework.errors import DataError
from framework.features.views import View

_VERSION, _CUT = 2, 1
_HEAD, _AHEAD = Struct("<BBHHI"), Struct("<I")
#: The head, as numpy has it.
_FIELDS = [
    ("version", "u1"),
    ("flags", "u1"),
    ("f", "<u2"),
    ("c", "<u2"),
    ("n", "<u4"),
    ("ahead", "<u4"),
]
#: Where the number of rows is, and what it is in a record of one.
_COUNT, _ONE = slice(6, 10), b"\1\0\0\0"

Moments = npt.NDArray[np.int64]


def columns(view: View) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Numbers and categories of a view, each in the order of a record."""
    names = view.feature_names()
    return tuple(n for n in names if n not in view.categories), tuple(
        n for n in names if n in view.categories
    )


def definition(name: str, view: View) -> str:
    """Names a view's records: they change their name with how the view's columns are made, so that
    no other definition's are read.
    """
    return f"{name}-{hashlib.sha256(view.definition().encode()).hexdigest()[:8]}"


def record_keys(definition: str, entities: Iterable[Sequence[str]]) -> list[bytes]:
    """The key of each entity's record: the definition, and each value after its length, so that no
    two entities share one.
    """
    return [
        (definition + "".join([f"/{len(value)}:{value}" for value in values])).encode()
        for values in entities
    ]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one entity, rising in time. ``cut``: the store knew older ones that are not here.

    ``ahead``: how many of them, the last ones, were later than the newest actual when they were
    written.
    """

    times: Moments  # [N] microseconds
    numbers: Float64  # [N, F]
    categories: Objects  # [N, C] str or None
    cut: bool
    ahead: int = 0

    def __len__(self) -> int:
        return len(self.times)

    def part(self, start: int, stop: int, ahead: int) -> Rows:
        """The rows ``start:stop``, of which the last ``ahead`` are steps to come."""
        rows = slice(start, stop)
        return Rows(
            self.times[rows],
            self.numbers[rows],
            self.categories[rows],
            self.cut or start > 0,
            ahead,
        )

    def last(self, count: int) -> Rows:
        """The newest ``count`` rows, none of them ahead."""
        return self.part(max(len(self) - count, 0), len(self), 0)

    def encode(self) -> bytes:
        n, f = self.numbers.shape
        c = self.categories.shape[1]
        head = _HEAD.pack(_VERSION, _CUT if self.cut else 0, f, c, n) + _AHEAD.pack(self.ahead)
        texts = json.dumps(self.categories.tolist(), ensure_ascii=False).encode() if c else b""
        return b"".join(
            (
                head,
                self.times.astype("<i8").tobytes(),
                np.ascontiguousarray(self.numbers, "<f8").tobytes(),
                texts,
            )
        )


def decode(record: bytes, numbers: int, categories: int) -> Rows:
    """Raises :class:`DataError` for a record that is not one of so many numbers and categories."""
    version, flags, f, c, n = _HEAD.unpack_from(record)
    if version not in (1, _VERSION) or (f, c) != (numbers, categories):
        raise _foreign()
    ahead, start = (
        (0, _HEAD.size)
        if version == 1
        else (_AHEAD.unpack_from(record, _HEAD.size)[0], _HEAD.size + _AHEAD.size)
    )
    times = np.frombuffer(record, "<i8", n, start)
    start += 8 * n
    values = np.frombuffer(record, "<f8", n * f, start).reshape(n, f)
    texts = np.empty((n, c), dtype=object)
    if c:
        texts[:] = json.loads(record[start + 8 * n * f :])
    return Rows(times, values, texts, bool(flags & _CUT), ahead)


@dataclass(frozen=True, slots=True)
class EqualRows(Sequence[Rows]):
    """As many rows of each of n entities, without categories: what a store has as a rule. Times are
    one array; numbers stay in the records until they are written to their place.

    ``width``: how many numbers a row has. ``ahead``: how many rows, the last ones, were later than
    the newest actual of their entity.
    """

    times: Moments  # [n, N] microseconds
    records: Sequence[bytes]  # [n]
    width: int
    cut: npt.NDArray[np.bool_]  # [n]
    ahead: int

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, i: Any) -> Any:
        texts = np.empty((self.times.shape[1], 0), dtype=object)
        return Rows(self.times[i], self.numbers(i), texts, bool(self.cut[i]), self.ahead)

    def numbers(self, i: int) -> Float64:
        """``[N, F]`` of one entity."""
        rows, record = self.times.shape[1], self.records[i]
        size = 8 * rows * self.width
        values = np.frombuffer(record, "<f8", rows * self.width, len(record) - size)
        return values.reshape(rows, self.width)

    def numbers_between(self, start: int, stop: int) -> Float64:
        """``[n, stop - start, F]`` of a few rows of all entities."""
        size, rows = 8 * self.width, self.times.shape[1]
        ends = [len(record) - size * rows for record in self.records]
        parts = [
            record[end + size * start : end + size * stop]
            for record, end in zip(self.records, ends, strict=True)
        ]
        return np.frombuffer(b"".join(parts), "<f8").reshape(-1, stop - start, self.width)

    @property
    def stop(self) -> int:
        """The place after the newest actuals."""
        return self.times.shape[1] - self.ahead

    def ends_with_actual(self, targets: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Say of which entities the row before :attr:`stop` is the newest in which any of the
        columns ``targets`` is not null.
        """
        newest = self.numbers_between(self.stop - 1, self.times.shape[1])
        null = np.isnan(newest[:, :, targets]).all(axis=2)
        return np.asarray(~null[:, 0] & null[:, 1:].all(axis=1))


def decode_all(
    records: Sequence[bytes | None], numbers: int, categories: int
) -> Sequence[Rows | None]:
    """Decode the records of several entities. Raises what :func:`decode` raises."""
    first = records[0] if records else None
    if first is not None and not categories and first[0] == _VERSION:
        equal = _equal(records, int.from_bytes(first[_COUNT], "little"), numbers)
        if equal is not None:
            return equal
    return [None if record is None else decode(record, numbers, categories) for record in records]


def _equal(records: Sequence[bytes | None], rows: int, numbers: int) -> EqualRows | None:
    """Records of so many rows and numbers together; None when not all are of one layout."""
    kind = np.dtype([*_FIELDS, ("times", "<i8", (rows,))])
    size = kind.itemsize + 8 * rows * numbers
    present = [record for record in records if record is not None and len(record) == size]
    if len(present) < len(records):
        return None
    heads = np.frombuffer(b"".join([record[: kind.itemsize] for record in present]), kind)
    same = (heads["version"] == _VERSION) & (heads["f"] == numbers) & (heads["c"] == 0)
    same &= (heads["n"] == rows) & (heads["ahead"] == heads["ahead"][0])
    ahead = int(heads["ahead"][0])
    if ahead >= rows or not same.all():
        return None
    cut = (heads["flags"] & _CUT).astype(np.bool_)
    return EqualRows(heads["times"], present, numbers, cut, ahead)


def newest_actual_of(rows: Rows, targets: Sequence[int]) -> int:
    """The place of the newest row in which any of the columns ``targets`` is not null, -1 for
    none.
    """
    if len(rows) and not np.isnan(rows.numbers[-1, targets]).all():
        return len(rows) - 1  # as a rule
    places = np.flatnonzero(~np.isnan(rows.numbers[:, targets]).all(axis=1))
    return int(places[-1]) if len(places) else -1


def merge(old: Rows | None, new: Rows) -> Rows:
    """Both, rising in time; of rows of one time the new one. Whichever begins earlier says whether
    older ones are missing.
    """
    if old is None:
        return new
    cut = new.cut if new.times[0] <= old.times[0] else old.cut
    times = np.concatenate([old.times, new.times])
    order = np.argsort(times, kind="stable")
    order = order[np.append(times[order][1:] != times[order][:-1], True)]
    numbers, categories = (
        np.concatenate([old.numbers, new.numbers]),
        np.concatenate([old.categories, new.categories]),
    )
    return Rows(times[order], numbers[order], categories[order], cut)


def single(records: Iterable[bytes | None]) -> bool:
    """Tell whether each existing record has one row, in the layout of this version."""
    return all(
        record is None or (record[0] == _VERSION and record[_COUNT] == _ONE) for record in records
    )


@dataclass(frozen=True, slots=True)
class NewestRows:
    """The newest row of a view for each of n entities; NaT, NaN and None where there is none."""

    times: Times  # [n]
    numbers: Float64  # [n, F]
    categories: Objects  # [n, C]

    @classmethod
    def nothing(cls, n: int, numbers: int, categories: int) -> NewestRows:
        texts = np.full((n, categories), None, dtype=object)
        return cls(np.full(n, np.datetime64("NaT", "us")), np.full((n, numbers), np.nan), texts)


def decode_newest(records: Sequence[bytes | None], numbers: int, categories: int) -> NewestRows:
    """Records of one row each, all at once."""
    kind = np.dtype([*_FIELDS, ("time", "<i8"), ("values", "<f8", (numbers,))])
    size = kind.itemsize
    places = [i for i, record in enumerate(records) if record is not None]
    present = [record for record in records if record is not None]
    rows = NewestRows.nothing(len(records), numbers, categories)
    if not present:
        return rows
    if any(len(record) < size for record in present):
        raise _foreign()
    table = np.frombuffer(b"".join([record[:size] for record in present]), kind)
    if (
        (table["version"] != _VERSION)
        | (table["f"] != numbers)
        | (table["c"] != categories)
        | (table["n"] != 1)
    ).any():
        raise _foreign()
    index = np.array(places, dtype=np.int64)
    rows.times[index] = table["time"].view("M8[us]")
    rows.numbers[index] = table["values"]
    if categories:
        for i, record in zip(places, present, strict=True):
            rows.categories[i] = json.loads(record[size:])[0]
    return rows


def _foreign() -> DataError:
    return DataError(
        "retrieval=feast: the online store has packed records of another layout; "
        "run=materialize writes them again."
    )
