"""Feast's objects from the declared views: the one place where a feature view becomes a Feast
definition.
"""

from __future__ import annotations

from datetime import timedelta

from framework.errors import ConfigError
from framework.features.views import FeatureSet, View
from framework.retrieval.parquet_store import OfflineStore
from framework.retrieval.row_store import RowStore
from framework_feast.light import (
    DataSource,
    Entity,
    FeatureView,
    Field,
    FileSource,
    Float64,
    String,
    ValueType,
)
from framework_feast.repository.sources import FeastRows, source_settings


def feast_objects(features: FeatureSet, offline: RowStore) -> list[Entity | FeatureView]:
    """The entities and feature views of a feature set; their sources are the files or tables of
    ``offline``, which need not exist yet.

    A Feast entity has one join key, so a series with several keys is described by several entities.
    Keys and categories are strings, every other feature is a float64.
    """
    keys = sorted({key for view in features.views.values() for key in view.entity})
    entities = {key: Entity(name=key, join_keys=[key], value_type=ValueType.STRING) for key in keys}
    views = [_feature_view(name, view, entities, offline) for name, view in features.views.items()]
    return [*entities.values(), *views]


def check_ttls(features: FeatureSet) -> None:
    """Feast adds the ttl to a timestamp as an interval of one unit: whole days, or whole seconds of
    less than a day.

    Raises :class:`ConfigError` for another one.
    """
    day = timedelta(days=1)
    for name, view in features.views.items():
        if view.ttl % day and (view.ttl > day or view.ttl % timedelta(seconds=1)):
            raise ConfigError(
                f"features.views.{name}.ttl: {view.ttl} is not possible with Feast's own "
                "join; use whole days or join=arrays."
            )


def _feature_view(
    name: str, view: View, entities: dict[str, Entity], offline: RowStore
) -> FeatureView:
    fields = [Field(name=key, dtype=String) for key in view.entity]
    fields += [
        Field(name=f, dtype=String if f in view.categories else Float64)
        for f in view.feature_names()
    ]
    return FeatureView(
        name=name,
        entities=[entities[key] for key in view.entity],
        ttl=view.ttl,
        schema=fields,
        online=True,
        source=_source(name, view, offline),
    )


def _source(name: str, view: View, offline: RowStore) -> DataSource:
    """Make the source where Feast finds the rows that ``offline`` keeps."""
    if isinstance(offline, FeastRows):
        return offline.source(name, view)
    if isinstance(offline, OfflineStore):
        return FileSource(path=str(offline.path(name, view)), **source_settings(name, view))
    raise ConfigError(f"retrieval=feast: Feast cannot read {type(offline).__name__}.")
