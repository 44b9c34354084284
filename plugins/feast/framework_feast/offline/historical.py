"""Training rows by Feast's own ``get_historical_features``: the reference that the project's join
is held against.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd

from framework.data.vocabulary import TIME
from framework.errors import ConfigError, DataError, suggest
from framework.features.views import FeatureSet
from framework.retrieval.row_store import RowStore
from framework_feast.light import FeatureStore
from framework_feast.repository.definitions import check_ttls
from framework_feast.repository.store import failing, quiet


def historical_rows(
    store: FeatureStore,
    features: FeatureSet,
    offline: RowStore,
    columns: Sequence[str],
    known_at: datetime | None,
) -> pd.DataFrame:
    """As :meth:`RetrievalStrategy.training_rows`, of views that ``store`` has registered.

    Raises :class:`ConfigError` for ``known_at``, which Feast cannot ask of all rows at once, and
    for a ttl that it cannot express.
    """
    if known_at is not None:
        raise ConfigError(
            "retrieval.join=feast: Feast's join does not know what was known at one moment; "
            "use retrieval.join=arrays."
        )
    check_ttls(features)
    owners = {
        feature: name for name, view in features.views.items() for feature in view.feature_names()
    }
    unknown = [c for c in columns if c not in owners]
    if unknown:
        raise DataError(f"features: {unknown} are in no view;{suggest(unknown[0], owners)}")
    identity = [*features.entity_keys, TIME]
    steps = offline.read(features.primary, features.views[features.primary])[identity]
    steps = steps.astype(dict.fromkeys(features.entity_keys, object))
    with quiet(), failing("get_historical_features"):
        rows = store.get_historical_features(steps, [f"{owners[c]}:{c}" for c in columns]).to_df()
    rows[TIME] = pd.DatetimeIndex(pd.to_datetime(rows[TIME], utc=True)).as_unit("us")
    if len(rows) != len(steps):
        raise DataError(
            f"retrieval.join=feast: the join gave {len(rows)} rows for {len(steps)} steps; "
            "use retrieval.join=arrays."
        )
    return rows.sort_values(identity, kind="stable", ignore_index=True)[[*identity, *columns]]
