"""The newest rows through Feast's SDK: the reference for the packed records, and the way for stores
that have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from framework.features.views import FeatureSet
from framework_feast.light import FeatureStore, FieldStatus
from framework_feast.private_parts import ask_for_no_versions
from framework_feast.records.packed import NewestRows, columns
from framework_feast.repository.store import failing, quiet

#: The store has a row for the key, whatever the value in it.
_FOUND = (FieldStatus.PRESENT, FieldStatus.NULL_VALUE, FieldStatus.OUTSIDE_MAX_AGE)
#: Feast's entity of a view without keys: the row and its only value.
NO_KEY = {"__dummy_id": ""}
#: The time that some stores, such as Redis, give to a row that is not there.
_NO_TIME = np.datetime64(0, "us")


def read_newest(
    store: FeatureStore,
    features: FeatureSet,
    entities: Sequence[dict[str, str]],
    selection: frozenset[str],
) -> dict[str, NewestRows]:
    """One ``get_online_features`` for all views that have one of the ``selection`` features; others
    stay null. Blocks.
    """
    references = {
        name: [f for f in view.feature_names() if f in selection]
        for name, view in features.views.items()
    }
    rows: dict[str, NewestRows] = {}
    for name, view in features.views.items():
        numbers, categories = columns(view)
        rows[name] = NewestRows.nothing(len(entities), len(numbers), len(categories))
    if not entities:
        return rows
    with quiet(), failing("get_online_features (run=ingest and run=materialize come first)"):
        ask_for_no_versions(store.provider.online_store)
        answer = store.get_online_features(
            [f"{n}:{f}" for n, names in references.items() for f in names],
            [dict(e) or NO_KEY for e in entities],
        ).proto
    vectors = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
    for name, names in references.items():
        numbers, categories = columns(features.views[name])
        for feature in names:
            values = vectors[feature].values
            if feature in numbers:
                rows[name].numbers[:, numbers.index(feature)] = [
                    v.double_val if v.WhichOneof("val") else np.nan for v in values
                ]
            else:
                texts = [v.string_val if v.WhichOneof("val") else None for v in values]
                rows[name].categories[:, categories.index(feature)] = texts
        if names:
            vector = vectors[names[0]]
            times = np.array([_moment(t) for t in vector.event_timestamps], "M8[us]")
            is_found = np.isin(vector.statuses, _FOUND) & (times != _NO_TIME)
            rows[name].times[is_found] = times[is_found]
    return rows


def _moment(stamp: Any) -> np.datetime64:
    return np.datetime64(stamp.seconds * 1_000_000 + stamp.nanos // 1_000, "us")
