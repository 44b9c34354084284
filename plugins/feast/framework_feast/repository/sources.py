"""The shared parts of the offline stores: their type, and the description of their rows for Feast.

Imports no Feast: training through the own join needs none.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from framework.data.vocabulary import TIME
from framework.errors import ConfigError
from framework.features.views import View
from framework.retrieval.row_store import RowStore

if TYPE_CHECKING:
    from framework_feast.light import DataSource

#: The dask store drops a row whose feature is older than its ttl, joins rows of equal key and
#: time, and takes the older value of a tie.
_INEXACT = ("file", "dask")
_KNOWN = ("duckdb", "postgres", "bigquery", "snowflake.offline")


class FeastRows(RowStore):
    """Rows in a store that Feast reads too."""

    @abstractmethod
    def source(self, name: str, view: View) -> DataSource:
        """Feast's description of where the view's rows are."""


def source_settings(name: str, view: View) -> dict[str, Any]:
    """Return the settings that every Feast source of a view gets."""
    return {
        "name": f"{name}_rows",
        "timestamp_field": TIME,
        "created_timestamp_column": view.created or "",
    }


def offline_type(content: Mapping[str, Any]) -> str:
    """The offline store of a feature_store.yaml's content. Raises :class:`ConfigError` for an
    unknown one and one that answers wrongly.
    """
    offline = content.get("offline_store")
    kind = offline.get("type") if isinstance(offline, Mapping) else offline
    if kind is None or kind in _INEXACT:
        raise ConfigError(
            f"feature_store.offline_store.type: '{kind or 'dask, the default'}' loses rows "
            "in point-in-time joins; use duckdb."
        )
    if kind not in _KNOWN:
        raise ConfigError(
            f"feature_store.offline_store.type: '{kind}' is not one of {', '.join(_KNOWN)}."
        )
    return str(kind)
