"""Request bodies to arrays, by validators compiled from the pair's schema. Wrong input is
a 422 with its path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType, defstruct
from msgspec.structs import astuple

from framework.data.anchors import explain_off_grid, off_grid
from framework.data.arrays import Float64, Objects, Times
from framework.data.canonical_text import EXACT, canonical_text
from framework.data.context import Context
from framework.data.frequency import Frequency
from framework.data.row_windows import cut_windows, future_values
from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.errors import FieldError
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.columns import Columns, PlainColumns
from framework.serving.pipeline.decoding import Decoder
from framework.serving.pipeline.request_types import Key, request_types
from framework.serving.pipeline.times import parse_time, parse_times


class Payload:
    """``POST /predict``: rows or columns to a :class:`Context`.

    A row has the static columns (text, number or boolean), ``event_timestamp`` and the past columns
    (numbers); categories and past columns are null only where the schema is nullable. With a
    context of one step each row is a window of its own; with a longer one the consecutive rows of
    an entity are its history and its last steps the window.
    """

    def __init__(self, schema: Schema, max_rows: int) -> None:
        self._schema, self._max_rows = schema, max_rows
        self._frequency = Frequency.parse(schema.frequency)
        self._static = len(schema.static)
        self._plain = PlainColumns(schema, max_rows)
        types = request_types(schema)
        self._decode = Decoder(types.payload, types.keys_of_payload)

    def context(self, body: bytes | Columns) -> Context:
        """Raises :class:`Refusal` 400, 413 or 422."""
        if isinstance(body, Columns):
            plain = self._plain.read(body.columns)
            if plain is not None:
                static, stamps, past = plain
                times = parse_times(stamps, lambda i: _column(TIME, i))
                return self._windows(static, times, past, None, _column)
        request = self._decode(bytes(body))
        if request.rows is not UNSET:
            if request.columns is not UNSET:
                raise Refusal(422, "give either rows or columns", "columns")
            static, stamps, past = self._from_rows(request.rows)

            def where(name: str, i: int) -> str:
                return f"rows[{i}].{name}"
        elif request.columns is not UNSET:
            static, stamps, past = self._from_columns(request.columns)
            where = _column
        else:
            raise Refusal(
                422,
                "a value is required: rows (a list of objects), or columns (an object of lists)",
                "rows",
            )
        times = parse_times(stamps, lambda i: where(TIME, i))
        return self._windows(self._texts(static, where), times, past, request, where)

    def _texts(self, static: Objects, where: Callable[[str, int], str]) -> Objects:
        """Values to canonical texts, in place."""
        for i, name in enumerate(self._schema.static):
            column = static[:, i]
            if i < len(self._schema.entity_keys):
                column[:] = [
                    key_text(value, lambda j=j, name=name: where(name, j))  # type: ignore[misc]
                    for j, value in enumerate(column.tolist())
                ]
            else:
                column[:] = [
                    value if type(value) is str else canonical_text(value)
                    for value in column.tolist()
                ]
        return static

    def _from_rows(self, rows: Sequence[Struct]) -> tuple[Objects, Sequence[str], Float64]:
        """Static values, texts of the times, past values."""
        self._check_size(len(rows), "rows")
        records, split = [astuple(row) for row in rows], self._static
        static = np.array([record[:split] for record in records], dtype=object)
        past = np.array([record[split + 1 :] for record in records], dtype=np.float64)
        return static, [record[split] for record in records], past

    def _from_columns(self, record: Struct) -> tuple[Objects, Sequence[str], Float64]:
        columns, split = astuple(record), self._static
        names = [*self._schema.static, TIME, *self._schema.past]
        size = len(columns[0])
        self._check_size(size, f"columns.{names[0]}")
        for name, values in zip(names, columns, strict=True):
            if len(values) != size:
                raise Refusal(
                    422,
                    f"{len(values)} values, but {size} in columns.{names[0]}",
                    f"columns.{name}",
                )
        past = np.array(columns[split + 1 :], dtype=np.float64)
        static = np.empty((size, split), dtype=object)
        for i in range(split):
            static[:, i] = columns[i]
        return static, columns[split], np.ascontiguousarray(past.T)

    def _check_size(self, size: int, path: str) -> None:
        if size > self._max_rows:
            raise Refusal(413, f"{size} rows, at most {self._max_rows} in one request", path)
        if size == 0:
            raise Refusal(422, "at least one row is needed", path)

    def _windows(
        self,
        static: Objects,
        times: Times,
        past: Float64,
        request: Any,
        where: Callable[[str, int], str],
    ) -> Context:
        try:
            return self._cut(static, times, past, request, where)
        except FieldError as error:
            raise Refusal(422, error.message, error.path) from None

    def _cut(
        self,
        static: Objects,
        times: Times,
        past: Float64,
        request: Any,
        where: Callable[[str, int], str],
    ) -> Context:
        schema = self._schema
        context = cut_windows(schema, self._frequency, static, times, past, where)
        if request is None:
            return context
        if schema.known:
            names, rows = schema.entity_keys, []
            for i, row in enumerate(map(astuple, request.future)):
                rows.append(
                    (*read_keys(row[: len(names)], names, f"future[{i}]"), *row[len(names) :])
                )
            if len(rows) > self._max_rows * schema.horizon:
                raise Refusal(
                    413,
                    f"{len(rows)} rows, at most {self._max_rows * schema.horizon} in one request",
                    "future",
                )
            steps = parse_times(
                [row[len(schema.entity_keys)] for row in rows], lambda i: f"future[{i}].{TIME}"
            )
            context.known[:] = future_values(schema, self._frequency, context, rows, steps)
        if not request.levels and request.horizon is None:
            return context
        return replace(context, levels=request.levels, horizon=request.horizon)


def _column(name: str, i: int) -> str:
    return f"columns.{name}[{i}]"


def key_text(value: Any, path: Callable[[], str]) -> str:
    """The text of an entity key. Raises a 422 for a number that names no one entity."""
    if type(value) is str:
        return value
    if isinstance(value, float) and (value % 1 or abs(value) >= EXACT):
        raise Refusal(
            422,
            f"a key is text, a whole number or a boolean, got {value!r}; send it as text",
            path(),
        )
    return str(canonical_text(value))


def read_keys(values: Sequence[Any], names: Sequence[str], path: str) -> tuple[str, ...]:
    """The texts of one entity's keys, found under ``path``. Raises what :func:`key_text` raises."""
    return tuple(
        key_text(value, lambda name=name: f"{path}.{name}")  # type: ignore[misc]
        for name, value in zip(names, values, strict=True)
    )


class EntityPeek:
    """The entity of a payload's first row, whatever else is in it: it says which arm validates the
    request.
    """

    def __init__(self, entity_keys: Sequence[str]) -> None:
        attributes = [f"f{i}" for i in range(len(entity_keys))]
        names = dict(zip(attributes, entity_keys, strict=True))
        self._names = tuple(entity_keys)
        row = defstruct("PeekRow", [(a, Key) for a in attributes], rename=names)
        columns = defstruct("PeekColumns", [(a, list[Key]) for a in attributes], rename=names)
        fields: list[Any] = [
            ("rows", list[row] | UnsetType, UNSET),  # type: ignore[valid-type]
            ("columns", columns | UnsetType, UNSET),
        ]
        self._decode = msgspec.json.Decoder(defstruct("Peek", fields)).decode

    def first(self, body: bytes) -> tuple[str, ...] | None:
        """None when the body has none, or is not what it should be."""
        try:
            request: Any = self._decode(body)
            if request.rows is not UNSET:
                return (
                    read_keys(astuple(request.rows[0]), self._names, "rows[0]")
                    if request.rows
                    else None
                )
            if request.columns is UNSET or any(not values for values in astuple(request.columns)):
                return None
            return read_keys(
                [values[0] for values in astuple(request.columns)], self._names, "columns"
            )
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Refusal):
            return None


@dataclass(frozen=True, slots=True)
class Lookup:
    """Entity keys to look up, the time as of which (UTC; None: newest), the levels of the intervals
    and the steps to answer.
    """

    entities: list[dict[str, str]]
    at: datetime | None
    levels: tuple[float, ...] = ()
    horizon: int | None = None


class Entities:
    """``POST /predict/feast`` and ``/predict/feast/batch``."""

    def __init__(self, schema: Schema, max_rows: int) -> None:
        self._schema, self._keys, self._max_rows = schema, schema.entity_keys, max_rows
        types = request_types(schema)
        self._one = Decoder(types.one, types.keys_of_one)
        self._many = Decoder(types.many, types.keys_of_many)

    def one(self, body: bytes) -> Lookup:
        request = self._one(body)
        return Lookup(
            [self._record(request.entity, "entity")],
            self._at(request.at),
            request.levels,
            request.horizon,
        )

    def many(self, body: bytes) -> Lookup:
        request = self._many(body)
        if len(request.entities) > self._max_rows:
            raise Refusal(
                413,
                f"{len(request.entities)} entities, at most {self._max_rows} in one request",
                "entities",
            )
        if not request.entities:
            raise Refusal(422, "at least one entity is needed", "entities")
        entities = [
            self._record(entity, f"entities[{i}]") for i, entity in enumerate(request.entities)
        ]
        return Lookup(entities, self._at(request.at), request.levels, request.horizon)

    def _record(self, entity: Struct, path: str) -> dict[str, str]:
        return dict(zip(self._keys, read_keys(astuple(entity), self._keys, path), strict=True))

    def _at(self, text: str | None) -> datetime | None:
        return None if text is None else read_origin(text, self._schema)


def read_origin(text: str, schema: Schema) -> datetime:
    """The field ``at`` of a request, UTC. Raises a 422 for what is no time, or no step of the
    pair.
    """
    time = parse_time(text, "at")
    if off_grid(schema, np.array([time], "M8[us]"))[0]:
        raise Refusal(422, explain_off_grid(schema, np.datetime64(time, "us")), "at")
    return time.replace(tzinfo=UTC)
