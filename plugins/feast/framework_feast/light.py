"""Feast, imported once and here, without what takes most of its import's time and does nothing for
this plugin.

Where torch is installed Feast loads it for its vector search; here it gets a wrapper that loads
torch when it is asked for. typeguard takes apart and compiles again every annotated class of Feast;
what this plugin hands to Feast, its own options have checked. Both are five sixths of the time. A
process that has imported Feast itself keeps it as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

import typeguard


def _torch_wrapper() -> ModuleType:
    wrapper: Any = ModuleType("feast.torch_wrapper", "Loads torch when Feast first needs it.")
    wrapper.get_torch = lambda: import_module("torch")
    made: ModuleType = wrapper
    return made


def _unchecked(target: Any = None, **_: Any) -> Any:
    """In the place of ``typeguard.typechecked``: the class or function as it is."""
    if target is not None:
        return target
    as_it_is: Callable[[Any], Any] = lambda decorated: decorated  # noqa: E731  a decorator with arguments
    return as_it_is


@contextmanager
def _light() -> Iterator[None]:
    if "feast" in sys.modules:
        yield
        return
    sys.modules["feast.torch_wrapper"] = _torch_wrapper()
    checked, typeguard.typechecked = typeguard.typechecked, _unchecked
    try:
        yield
    finally:
        typeguard.typechecked = checked


with _light():
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
