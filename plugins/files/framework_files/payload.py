"""Features that come with each request: nothing is stored, nothing is looked up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from framework.data.context import Context
from framework.data.schema import Schema
from framework.errors import ConfigError, DataError
from framework.features.views import FeatureSet
from framework.interfaces.retrieval import Needs, Progress, RetrievalStrategy

if TYPE_CHECKING:
    import pyarrow as pa


class PayloadRetrieval(RetrievalStrategy):
    """For servers whose callers send every feature with ``POST /predict``."""

    max_context_length: int | None = 0

    def ingest(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        """Raises :class:`ConfigError`: there is no store."""
        raise ConfigError(
            "retrieval=payload keeps no rows; ingest with retrieval=file or retrieval=feast."
        )

    def stored_rows(
        self, features: FeatureSet, view: str, series: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Raises :class:`ConfigError`: there is no store."""
        raise ConfigError(
            "retrieval=payload keeps no rows; ingest with retrieval=file or retrieval=feast."
        )

    def has_rows(self, features: FeatureSet) -> bool:
        """Never."""
        return False

    def training_rows(
        self, features: FeatureSet, columns: Sequence[str], known_at: datetime | None = None
    ) -> pd.DataFrame:
        """Raises :class:`ConfigError`: there is no store."""
        raise ConfigError(
            "retrieval=payload has no rows to train on; train with retrieval=file or "
            "retrieval=feast."
        )

    def view_rows(
        self,
        features: FeatureSet,
        view: str,
        columns: Sequence[str],
        known_at: datetime | None = None,
    ) -> pa.Table:
        """Raises :class:`ConfigError`: there is no store."""
        raise ConfigError(
            "retrieval=payload keeps no rows; read views with retrieval=file or retrieval=feast."
        )

    def materialize(
        self,
        features: FeatureSet,
        start: datetime | None,
        end: datetime | None,
        progress: Progress,
        *,
        views: Sequence[str] | None = None,
        overlap: timedelta | None = None,
        needs: Needs | None = None,
    ) -> dict[str, int]:
        """Nothing to make available."""
        return {}

    async def context(
        self,
        features: FeatureSet,
        schema: Schema,
        entities: Sequence[dict[str, str]],
        at: datetime | None,
    ) -> Context:
        """Raises :class:`DataError`: the caller has the features."""
        raise DataError(
            "retrieval=payload looks nothing up; send the features with POST /predict, or "
            "serve with retrieval=file or feast."
        )
