"""A store of two views and a question to it, which the checks of retrieval strategies share."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from datetime import datetime
from typing import Any

import pandas as pd
import pytest

from framework.data.context import Context
from framework.data.schema import Schema
from framework.features.views import FeatureSet
from framework.interfaces.retrieval import RetrievalStrategy
from framework.testing.contracts.retrieval_rows import FEATURES, sales, weather


class StoredRows:
    """A store of the suite's rows of sales and weather; a subclass gives ``make``."""

    @abstractmethod
    def make(self, tmp_path: Any) -> RetrievalStrategy:
        """Make a new strategy on the store below ``tmp_path``, as another process would make it.

        Args:
            tmp_path: A folder of the test's own.

        Returns:
            The strategy.
        """

    @pytest.fixture
    def strategy(self, tmp_path: Any) -> RetrievalStrategy:
        """Give one strategy of the store.

        Args:
            tmp_path: A folder of the test's own.

        Returns:
            The strategy.
        """
        return self.make(tmp_path)

    def schema(self, **changes: Any) -> Schema:
        """Make the schema of a pair on the suite's views.

        Args:
            changes: Fields that differ.

        Returns:
            The schema.
        """
        values: dict[str, Any] = {
            "name": "contract",
            "entity_keys": ("shop", "item"),
            "frequency": "D",
            "targets": ("y",),
            "past": ("y", "gap", "temp", "wind"),
            "nullable": ("gap",),
            "known": (),
            "static": ("shop", "item", "kind"),
            "horizon": 2,
            "context_length": 1,
            "quantiles": (),
        }
        return Schema(**{**values, **changes})

    def fill(self, strategy: RetrievalStrategy, *weathers: pd.DataFrame) -> None:
        """Store sales and weather.

        Args:
            strategy: Where they are stored.
            weathers: Rows of weather; none: the suite's.
        """
        strategy.ingest(FEATURES, "sales", sales())
        strategy.ingest(FEATURES, "weather", pd.concat(weathers or (weather(),)))

    def ask(
        self,
        strategy: RetrievalStrategy,
        *entities: tuple[str, str],
        at: datetime | None = None,
        features: FeatureSet = FEATURES,
        **changes: Any,
    ) -> Context:
        """Look windows up and close the strategy.

        Args:
            strategy: What is asked.
            entities: Shop and item of each window.
            at: The origin (UTC); None: the newest.
            features: The views.
            changes: Fields of the schema that differ.

        Returns:
            The windows.
        """
        entity_keys = [{"shop": shop, "item": item} for shop, item in entities]

        async def once() -> Context:
            context = await strategy.context(features, self.schema(**changes), entity_keys, at)
            await strategy.close()
            return context

        return asyncio.run(once())
