"""Feast, imported once and here, as lightly as it can be."""

from __future__ import annotations

from framework_feast.private_parts import light_import

with light_import():
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.data_source import DataSource
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
    from feast.types import Float64, String

__all__ = [
    "DataSource",
    "Entity",
    "FeatureStore",
    "FeatureView",
    "Field",
    "FieldStatus",
    "FileSource",
    "Float64",
    "RepoConfig",
    "String",
    "ValueType",
]
