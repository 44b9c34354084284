"""A context of one step: the newest row of each view for each entity, whatever store it was read
from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from framework.data.arrays import Objects
from framework.data.canonical_text import canonical_text
from framework.data.context import Context
from framework.data.schema import Schema
from framework.data.vocabulary import OK, UNKNOWN_ENTITY
from framework.features.views import FeatureSet, View
from framework.retrieval.freshness import absent_origin, check_context, utc_now
from framework_feast.records.packed import NewestRows, columns


def newest_context(
    features: FeatureSet,
    schema: Schema,
    entities: Sequence[dict[str, str]],
    at: datetime | None,
    rows: Mapping[str, NewestRows],
) -> Context:
    """One window of one step per entity, in order. A window whose row has another time than ``at``
    says what the store holds.

    A row of the primary view without any target is of a step to come, and no origin.
    """
    n, origin = len(entities), moment(at)
    static = static_values(schema, entities)
    past = np.full((n, 1, len(schema.past)), np.nan)
    for name, view in features.views.items():
        numbers, categories = columns(view)
        source, target = places(numbers, schema.past)
        past[:, 0, target] = rows[name].numbers[:, source]
        source, target = places(categories, schema.static)
        static[:, target] = rows[name].categories[:, source]
    row_times = {name: view_rows.times for name, view_rows in rows.items()}
    targets = [
        columns(features.views[features.primary])[0].index(target) for target in schema.targets
    ]
    to_come = np.isnan(rows[features.primary].numbers[:, targets]).all(axis=1)
    origins = np.where(to_come, np.datetime64("NaT", "us"), row_times[features.primary])
    status, detail = [OK] * n, [None] * n  # type: list[str], list[str | None]
    absent = np.isnat(origins)
    other = absent if origin is None else absent | (origins != origin)
    for j in np.flatnonzero(other).tolist():
        status[j], detail[j] = explain_absent(features, entities[j], origin, origins[j])
    if origin is not None:
        origins = np.where(absent, origin, origins)
    known = np.full(
        (n, schema.horizon, len(schema.known)), np.nan
    )  # one row says nothing of later steps
    context = Context(origins, past, known, static, status, detail)
    return check_context(features, schema, context, row_times, utc_now() if at is None else None)


def explain_absent(
    features: FeatureSet, entity: dict[str, str], at: np.datetime64 | None, row_time: np.datetime64
) -> tuple[str, str]:
    """Return the status and detail of an entity of which the store has no row, or only that of
    ``row_time`` where ``at`` was asked.
    """
    if np.isnat(row_time) or at is None:
        return (
            UNKNOWN_ENTITY,
            f"view '{features.primary}': nothing online for {entity}; run=materialize if it is new",
        )
    return absent_origin(features.primary, features.views[features.primary], at, row_time)


def static_values(schema: Schema, entities: Sequence[dict[str, str]]) -> Objects:
    """``[n, S]``: the keys; None for the categories."""
    static = np.full((len(entities), len(schema.static)), None, dtype=object)
    for i, key in enumerate(schema.entity_keys):
        static[:, i] = [canonical_text(entity.get(key)) or "" for entity in entities]
    return static


def places(names: Sequence[str], columns_of_schema: Sequence[str]) -> tuple[list[int], list[int]]:
    """Find the positions, in ``names`` and in the schema, of the names that the schema uses."""
    target = {name: i for i, name in enumerate(columns_of_schema)}
    sources = [i for i, name in enumerate(names) if name in target]
    return sources, [target[names[i]] for i in sources]


def view_keys(view: View, entities: Sequence[dict[str, str]]) -> list[tuple[str, ...]]:
    """The values of the view's keys of each entity."""
    return [
        tuple(canonical_text(entity.get(key)) or "" for key in view.entity) for entity in entities
    ]


def moment(at: datetime | None) -> np.datetime64 | None:
    """``datetime64[us]`` of an aware time."""
    return None if at is None else np.datetime64(at.astimezone(UTC).replace(tzinfo=None), "us")
