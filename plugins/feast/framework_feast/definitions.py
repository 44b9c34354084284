"""Feast's objects from the declared views: the one place where a feature view becomes a Feast definition."""

from __future__ import annotations

from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, String

from framework.errors import ConfigError
from framework.interfaces.values import TIME
from framework.interfaces.views import FeatureSet, View
from framework.offline import OfflineStore


def feast_objects(features: FeatureSet, offline: OfflineStore) -> list[Entity | FeatureView]:
    """The entities and feature views of a feature set; their sources are the files of ``offline``, which need not exist yet.

    A Feast entity has one join key, so a series with several keys is described by several entities. Keys and categories are
    strings, every other feature is a float64. Raises :class:`ConfigError` for a ttl that Feast's DuckDB join cannot express.
    """
    keys = sorted({key for view in features.views.values() for key in view.entity})
    entities = {key: Entity(name=key, join_keys=[key], value_type=ValueType.STRING) for key in keys}
    views = [_feature_view(name, view, entities, offline) for name, view in features.views.items()]
    return [*entities.values(), *views]


def _checked_ttl(name: str, ttl: timedelta) -> timedelta:
    """Feast adds the ttl to a timestamp as an interval of one unit: whole days, or whole seconds of less than a day."""
    if ttl % timedelta(days=1) and (ttl > timedelta(days=1) or ttl % timedelta(seconds=1)):
        raise ConfigError(f"features.views.{name}.ttl: {ttl} is not possible with Feast's DuckDB join; use whole days, or less than a day.")
    return ttl


def _feature_view(name: str, view: View, entities: dict[str, Entity], offline: OfflineStore) -> FeatureView:
    fields = [Field(name=key, dtype=String) for key in view.entity]
    fields += [Field(name=f, dtype=String if f in view.categories else Float64) for f in view.feature_names()]
    return FeatureView(
        name=name,
        entities=[entities[key] for key in view.entity],
        ttl=_checked_ttl(name, view.ttl),
        schema=fields,
        online=True,
        source=FileSource(name=f"{name}_rows", path=str(offline.path(name, view)), timestamp_field=TIME),
    )
