"""The newest online row of each entity as a context, with the time of every view's row: Feast itself applies no ttl online."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from feast import FeatureStore
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from framework.freshness import absent_origin, check_context
from framework.interfaces.values import OK, UNKNOWN_ENTITY, Context, Float64, Objects, Schema, Times
from framework.interfaces.views import FeatureSet

#: The store has a row for the key, whatever the value in it.
_FOUND = (FieldStatus.PRESENT, FieldStatus.NULL_VALUE, FieldStatus.OUTSIDE_MAX_AGE)


def read_context(
    store: FeatureStore, features: FeatureSet, schema: Schema, entities: Sequence[dict[str, str]], at: datetime | None
) -> Context:
    """One window of one step per entity, in order. ``at`` is in UTC; a window whose row has another time says what the store holds."""
    n, keys = len(entities), schema.entity_keys
    static = np.full((n, len(schema.static)), None, dtype=object)
    for j, entity in enumerate(entities):
        static[j, : len(keys)] = [str(entity.get(k, "")) for k in keys]
    past = np.full((n, 1, len(schema.past)), np.nan)
    held = _read(store, features, schema, static, past) if n else {name: np.empty(0, "M8[us]") for name in features.views}
    origins = held[features.primary]
    known = np.full((n, schema.horizon, len(schema.known)), np.nan)  # the newest row says nothing of later steps
    status, detail = [OK] * n, [None] * n  # type: list[str], list[str | None]
    wanted = None if at is None else np.datetime64(at.replace(tzinfo=None), "us")
    for j, origin in enumerate(origins):
        if np.isnat(origin):
            asked = dict(zip(keys, static[j], strict=False))
            status[j], detail[j] = UNKNOWN_ENTITY, f"view '{features.primary}': nothing online for {asked}; run=materialize if it is new"
        elif wanted is not None and origin != wanted:
            status[j], detail[j] = absent_origin(features.primary, features.views[features.primary], wanted, origin)
    if wanted is not None:
        origins = np.where(np.isnat(origins), wanted, origins)
    return check_context(features, schema, Context(origins, past, known, static, status, detail), held)


def _read(store: FeatureStore, features: FeatureSet, schema: Schema, static: Objects, past: Float64) -> dict[str, Times]:
    """Fill ``past`` and the categories of ``static``; return the time of each view's row, NaT for none."""
    places = {c: i for i, c in enumerate(schema.past)}
    categories = {c: i for i, c in enumerate(schema.static) if i >= len(schema.entity_keys)}
    wanted = {name: [f for f in view.feature_names() if f in places or f in categories] for name, view in features.views.items()}
    rows = [dict(zip(schema.entity_keys, row, strict=False)) for row in static]
    answer = store.get_online_features([f"{name}:{f}" for name, names in wanted.items() for f in names], rows).proto
    vectors = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
    held: dict[str, Times] = {}
    for name, names in wanted.items():
        held[name] = np.full(len(rows), np.datetime64("NaT", "us"))
        for feature in names:
            vector = vectors[feature]
            if feature in places:
                past[:, 0, places[feature]] = [_number(value) for value in vector.values]
            else:
                static[:, categories[feature]] = [value.string_val if value.WhichOneof("val") else None for value in vector.values]
        if names:
            found = np.isin(vector.statuses, _FOUND)
            held[name][found] = np.array([_moment(t) for t in vector.event_timestamps], "M8[us]")[found]
    return held


def _number(value: Any) -> float:
    return value.double_val if value.WhichOneof("val") else np.nan


def _moment(stamp: Any) -> np.datetime64:
    return np.datetime64(stamp.seconds * 1_000_000 + stamp.nanos // 1_000, "us")
