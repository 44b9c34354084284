"""The part of the contract of retrieval strategies that is about the age of rows.

:class:`framework.testing.contracts.retrieval.RetrievalContract` holds it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from framework.data.vocabulary import MISSING_FEATURE, OK, STALE, TIME
from framework.features.views import FeatureSet
from framework.interfaces.retrieval import Needs, RetrievalStrategy
from framework.retrieval.stored_panel import columns_of, stored_context, stored_panel
from framework.testing.contracts.findings import same_bits
from framework.testing.contracts.retrieval_rows import (
    DAY,
    FEATURES,
    FIRST,
    expect_status,
    sales,
    weather,
)
from framework.testing.contracts.stored_rows import StoredRows


class FreshnessContract(StoredRows):
    """A row says nothing of an origin that is further from it than its view's ttl."""

    def test_a_view_older_than_its_ttl_is_stale(self, strategy: RetrievalStrategy) -> None:
        self.fill(
            strategy, weather(until=5)
        )  # its newest row is two days and a microsecond older than the origin of a/y
        strategy.materialize(FEATURES, None, None, lambda _: None)
        context = self.ask(strategy, ("a", "y"), nullable=("gap", "temp", "wind"))
        doing = "a row that is a microsecond older at the origin than its view's ttl"
        expect_status(context, [STALE], doing, "'weather'")

    @pytest.mark.parametrize("length", [1, 3])
    def test_a_stale_row_that_is_flagged_describes_the_origin(
        self, strategy: RetrievalStrategy, length: int
    ) -> None:
        views = FEATURES.model_dump(mode="json")["views"]
        views["weather"] |= {"columns": ["temp", "wind", "sky"], "categories": ["sky"]}
        flagged = FeatureSet.model_validate({"primary": "sales", "views": views, "stale": "flag"})
        strategy.ingest(flagged, "sales", sales())
        old = weather(until=5)
        strategy.ingest(flagged, "weather", old.assign(sky=[f"sky {i}" for i in range(len(old))]))
        changes: dict[str, Any] = {
            "nullable": ("gap", "temp", "wind"),
            "static": ("shop", "item", "kind", "sky"),
            "context_length": min(length, strategy.max_context_length or length),
        }
        schema = self.schema(**changes)
        needs = Needs(schema.targets, schema.context_length, schema.frequency)
        strategy.materialize(flagged, None, None, lambda _: None, needs=needs)
        context = self.ask(strategy, ("a", "y"), features=flagged, **changes)
        doing = "a stale row where features.stale is flag"
        expect_status(context, [OK], doing)
        flags = None if context.freshness is None else context.freshness.stale["weather"].tolist()
        assert flags == [True], (
            f"{doing} is answered with the freshness {flags}, not [True]: the client is to be told "
            "which views are old; check_context makes it."
        )
        temperatures = context.past[0, :, 2].tolist()  # that row is of all steps
        assert temperatures == [13.0] * schema.context_length, (
            f"{doing} describes the steps as {temperatures}, not by its value 13."
        )
        static = context.static[0].tolist()
        assert static == ["a", "y", "k1", "sky 3"], f"{doing} gives the categories {static}."
        panel = stored_panel(strategy, flagged, columns_of(schema), "refuse")
        offline = stored_context(panel, flagged, schema, [("a", "y")], None, None)
        same_bits(
            context.past,
            offline.past,
            f"{doing}, beside what run=predict reads,",
            "server and batch judge age by two rules",
        )
        assert offline.static.tolist() == context.static.tolist(), (
            f"{doing} has other categories than those that run=predict reads."
        )

    def test_a_row_exactly_as_old_as_the_ttl_is_fresh(self, strategy: RetrievalStrategy) -> None:
        strategy.ingest(FEATURES, "sales", sales()[sales()[TIME] <= FIRST + 4 * DAY])
        strategy.ingest(FEATURES, "weather", weather(until=4))
        strategy.materialize(FEATURES, None, None, lambda _: None)
        context = self.ask(strategy, ("a", "y"), nullable=("gap",))
        doing = "a row that is exactly as old at the origin as its view's ttl"
        expect_status(context, [OK], doing)
        assert context.past[0, -1, 2] == 12.0, f"{doing} gives {context.past[0, -1, 2]}, not 12."

    def test_a_view_without_the_entity_is_a_missing_feature(
        self, strategy: RetrievalStrategy
    ) -> None:
        self.fill(strategy)
        strategy.materialize(FEATURES, None, None, lambda _: None)
        context = self.ask(strategy, ("c", "x"))
        doing = "an entity that another view does not have"
        expect_status(context, [MISSING_FEATURE], doing, "'weather'", "'temp'")

    def test_at_names_an_origin_or_is_explained(self, strategy: RetrievalStrategy) -> None:
        self.fill(strategy)
        strategy.materialize(FEATURES, None, None, lambda _: None)
        newest = FIRST + 8 * DAY
        context = self.ask(strategy, ("a", "x"), at=newest)
        expect_status(context, [OK], "an origin that has a row")
        later = self.ask(strategy, ("a", "x"), at=newest + timedelta(hours=12))
        doing = "an origin between two steps"
        expect_status(later, [MISSING_FEATURE], doing, "2024-03-16")
        old = self.ask(strategy, ("a", "x"), at=newest + 3 * DAY)
        expect_status(old, [STALE], "an origin three days after the newest row", "'sales'")

    def test_an_origin_older_than_max_age_by_the_clock_is_stale(
        self, strategy: RetrievalStrategy
    ) -> None:
        """``features.max_age`` counts where no origin is asked for: the rows of 2024 are old."""
        fields = FEATURES.model_dump(mode="json")
        limited = FeatureSet.model_validate({**fields, "max_age": "30d"})
        self.fill(strategy)
        strategy.materialize(limited, None, None, lambda _: None)
        nullable = ("gap", "temp", "wind")
        newest = self.ask(strategy, ("a", "x"), features=limited, nullable=nullable)
        doing = "a newest row that is older by the clock than features.max_age"
        expect_status(newest, [STALE], doing, "'sales'")
        at = FIRST + 8 * DAY
        context = self.ask(strategy, ("a", "x"), at=at, features=limited, nullable=nullable)
        expect_status(context, [OK], "an old origin that is asked for, whatever features.max_age,")
