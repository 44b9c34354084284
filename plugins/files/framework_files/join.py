"""The point-in-time join: for every row of the primary view, the newest row of each other view that was known and fresh then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from framework.errors import DataError, suggest
from framework.interfaces.values import TIME
from framework.interfaces.views import FeatureSet


def join_views(features: FeatureSet, tables: Mapping[str, pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Entity keys, ``event_timestamp`` (UTC, microseconds) and ``columns``, sorted by key and time.

    ``tables``: the rows of every view, as :class:`framework.offline.OfflineStore` keeps them. A row at the very time counts as known, one
    exactly as old as the ttl as fresh. Null where a view has no such row. Raises :class:`DataError` for a column of no view.
    """
    unknown = [c for c in columns if c not in features.feature_names()]
    if unknown:
        raise DataError(f"features: {unknown} are in no view;{suggest(unknown[0], features.feature_names())}")
    keys = list(features.entity_keys)
    primary = tables[features.primary]
    # merge_asof wants both sides sorted by time; the order of equal times is of no consequence, identities are distinct
    joined = primary[[*keys, TIME, *_of(features, features.primary, columns)]].sort_values(TIME, kind="stable")
    for name, view in features.views.items():
        wanted = _of(features, name, columns)
        if name == features.primary or not wanted:
            continue
        joined = pd.merge_asof(
            joined,
            tables[name][[*view.entity, TIME, *wanted]].sort_values(TIME, kind="stable"),
            on=TIME,
            by=list(view.entity) or None,
            tolerance=pd.Timedelta(view.ttl),
        )
    return joined.sort_values([*keys, TIME], kind="stable", ignore_index=True)[[*keys, TIME, *columns]]


def _of(features: FeatureSet, name: str, columns: Sequence[str]) -> list[str]:
    return [c for c in columns if c in features.views[name].feature_names()]
