"""The types of requests: structs compiled from the pair's schema.

They decode the bodies, and the OpenAPI document is generated from them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType, defstruct

from framework.data.schema import Schema
from framework.data.vocabulary import TIME

#: Features are float32 after preprocessing; a number beyond that would become infinite.
_LARGEST = float(np.finfo(np.float32).max)
_Number = Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST)]
#: A category; its text is the canonical one.
Value = Annotated[str, Meta(max_length=10_000)] | int | float | bool
#: What a row or a series is of.
Key = Annotated[str, Meta(max_length=1000)] | int | float | bool
When = Annotated[
    str,
    Meta(
        description="ISO 8601; without an offset it is UTC",
        extra_json_schema={"format": "date-time"},
    ),
]
_Levels = Annotated[
    tuple[Annotated[float, Meta(gt=0, lt=100)], ...],
    Meta(
        max_length=20,
        description="Prediction intervals to answer, in per cent, such as [80, 95]",
    ),
]
_At = Annotated[When | None, Meta(description="As known at this time; null: the newest")]


@dataclass(frozen=True, slots=True)
class RequestTypes:
    """The structs of one pair. ``payload``: of ``POST /predict``; ``one`` and ``many``: of
    ``/predict/feast`` and its batch. The methods count the keys that a decoded one had at least.
    """

    payload: type[Struct]
    one: type[Struct]
    many: type[Struct]
    row: int
    future: int
    entity: int

    def keys_of_payload(self, request: Any) -> int:
        """Of the rows or columns, and what is beside them."""
        keys = _shared(request)
        if request.rows is not UNSET:
            keys += 1 + self.row * len(request.rows)
        if request.columns is not UNSET:
            keys += 1 + self.row
        if self.future:
            keys += 1 + self.future * len(request.future)
        return keys

    def keys_of_one(self, request: Any) -> int:
        """Of an entity, and what is beside it."""
        return 1 + self.entity + (request.at is not None) + _shared(request)

    def keys_of_many(self, request: Any) -> int:
        """Of entities, and what is beside them."""
        entities = 1 + self.entity * len(request.entities)
        return entities + (request.at is not None) + _shared(request)


def _shared(request: Any) -> int:
    return bool(request.levels) + (request.horizon is not None)


def request_types(schema: Schema) -> RequestTypes:
    """Compile the structs of a pair."""
    fields: list[tuple[str, Any]] = [
        (name, Key if name in schema.entity_keys else Value) for name in schema.static
    ]
    fields = [(name, kind | None if name in schema.nullable else kind) for name, kind in fields]
    fields.append((TIME, When))
    fields += [
        (name, _Number | None if name in schema.nullable else _Number) for name in schema.past
    ]
    row = _record("Row", fields)
    columns = _record("Columns", [(name, list[kind]) for name, kind in fields])  # type: ignore[valid-type]
    body: list[Any] = [
        ("rows", list[row] | UnsetType, UNSET),  # type: ignore[valid-type]
        ("columns", columns | UnsetType, UNSET),
    ]
    keys: list[tuple[str, Any]] = [(name, Key) for name in schema.entity_keys]
    if schema.known:
        known: list[tuple[str, Any]] = [
            (name, _Number | None if name in schema.nullable else _Number) for name in schema.known
        ]
        future = _record("Future", [*keys, (TIME, When), *known])
        ahead = list[future]  # type: ignore[valid-type]
        body = [("future", ahead), *body]  # a field that is required comes first
    entity = _record("Entity", keys)
    horizon = Annotated[
        Annotated[int, Meta(ge=1, le=schema.horizon)] | None,
        Meta(description="Steps to answer; null: all"),
    ]
    common: list[Any] = [("levels", _Levels, ()), ("horizon", horizon, None)]
    at: Any = ("at", _At, None)
    return RequestTypes(
        defstruct("PredictRequest", [*body, *common], forbid_unknown_fields=True, frozen=True),
        defstruct("EntityRequest", [("entity", entity), at, *common], forbid_unknown_fields=True),
        defstruct(
            "EntitiesRequest",
            [("entities", list[entity]), at, *common],  # type: ignore[valid-type]
            forbid_unknown_fields=True,
        ),
        len(fields),
        len(keys) + 1 + len(schema.known) if schema.known else 0,
        len(keys),
    )


def _record(name: str, fields: Iterable[tuple[str, Any]]) -> type[Struct]:
    """A record with exactly these fields, whatever characters their names have."""
    names = list(fields)
    attributes = [f"f{i}" for i in range(len(names))]
    return defstruct(
        name,
        [(a, kind) for a, (_, kind) in zip(attributes, names, strict=True)],
        rename=dict(zip(attributes, (field for field, _ in names), strict=True)),
        forbid_unknown_fields=True,
        frozen=True,
        gc=False,
    )
