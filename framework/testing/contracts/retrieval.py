"""Contract suite of retrieval strategies that keep rows. Subclass :class:`RetrievalContract` in a
plugin's tests.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from framework.data.context import Context
from framework.data.schema import Schema
from framework.data.vocabulary import MISSING_FEATURE, OK, STALE, TIME, UNKNOWN_ENTITY
from framework.features.views import FeatureSet
from framework.interfaces.retrieval import Needs, RetrievalStrategy
from framework.retrieval.stored_panel import columns_of, stored_context, stored_panel
from framework.testing.contracts.known_ahead import KnownAheadContract
from framework.testing.contracts.one_series import OneSeriesContract
from framework.testing.contracts.retrieval_rows import (
    COLUMNS,
    DAY,
    FEATURES,
    FIRST,
    expected_rows,
    sales,
    same_rows,
    weather,
)


class RetrievalContract(KnownAheadContract, OneSeriesContract):
    """Subclass as ``class TestMine(RetrievalContract)`` and give ``make``: the same store each time
    it is called in a test.
    """

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

    def test_rows_are_there_once_every_view_has_some(self, strategy: RetrievalStrategy) -> None:
        assert not strategy.has_rows(FEATURES)
        assert strategy.ingest(FEATURES, "sales", sales()) == len(sales())
        assert not strategy.has_rows(FEATURES)
        strategy.ingest(FEATURES, "weather", weather())
        assert strategy.has_rows(FEATURES)

    def test_entities_are_those_that_have_rows(self, strategy: RetrievalStrategy) -> None:
        assert strategy.entities(FEATURES).empty
        strategy.ingest(FEATURES, "sales", sales().sample(frac=1, random_state=1))
        entities = strategy.entities(FEATURES)
        assert [tuple(row) for row in entities[["shop", "item"]].to_numpy()] == [
            ("a", "x"),
            ("a", "y"),
            ("c", "x"),
        ]

    def test_stored_rows_are_what_was_ingested(self, strategy: RetrievalStrategy) -> None:
        assert strategy.stored_rows(FEATURES, "sales").empty
        strategy.ingest(FEATURES, "sales", sales().sample(frac=1.0, random_state=2))
        expected = sales().sort_values(["shop", "item", TIME], ignore_index=True)
        rows = strategy.stored_rows(FEATURES, "sales")
        assert list(rows.columns) == ["shop", "item", TIME, "y", "gap", "kind"]
        pd.testing.assert_frame_equal(
            rows, expected[rows.columns], check_dtype=False, check_exact=True
        )
        some = strategy.stored_rows(
            FEATURES, "sales", pd.DataFrame({"shop": ["a", "z"], "item": ["y", "x"]})
        )
        of_series = expected[(expected["shop"] == "a") & (expected["item"] == "y")].reset_index(
            drop=True
        )
        pd.testing.assert_frame_equal(
            some.reset_index(drop=True),
            of_series[rows.columns],
            check_dtype=False,
            check_exact=True,
        )

    def test_training_rows_are_point_in_time(self, strategy: RetrievalStrategy) -> None:
        self.fill(strategy)
        expected = expected_rows(sales(), weather(), FEATURES.views["weather"].ttl)
        matched = [row[5] for row in expected if row[:2] == ("a", "x")]
        assert matched == [
            10.0,
            11.0,
            12.0,
            12.0,
            12.0,
            13.0,
            13.0,
            None,
            14.0,
        ]  # the table above has every case
        same_rows(strategy.training_rows(FEATURES, COLUMNS), expected)

    def test_random_rows_are_point_in_time(self, strategy: RetrievalStrategy) -> None:
        rng = np.random.default_rng(11)

        def moments(n: int) -> pd.DatetimeIndex:
            hours = rng.choice(
                24 * 12, n, replace=False
            )  # on the hour, so that ages of exactly one ttl occur
            return pd.DatetimeIndex(pd.Timestamp(FIRST) + pd.to_timedelta(hours, unit="h"))

        series = [("a", "x"), ("a", "y"), ("b", "x"), ("c", "x")]
        primary = pd.concat(
            [
                pd.DataFrame(
                    {
                        "shop": shop,
                        "item": item,
                        TIME: moments(40),
                        "y": rng.normal(size=40),
                        "gap": np.nan,
                        "kind": "k",
                    }
                )
                for shop, item in series
            ]
        )
        other = pd.concat(
            [
                pd.DataFrame(
                    {
                        "shop": shop,
                        TIME: moments(6),
                        "temp": rng.normal(size=6),
                        "wind": rng.normal(size=6),
                    }
                )
                for shop in "abd"
            ]
        )
        strategy.ingest(FEATURES, "sales", primary)
        strategy.ingest(FEATURES, "weather", other)
        expected = expected_rows(primary, other, FEATURES.views["weather"].ttl)
        ages = {row[2] - at for row in expected for at in other[TIME]}
        assert FEATURES.views["weather"].ttl in ages
        assert 40 < sum(row[5] is None for row in expected) < 150
        same_rows(strategy.training_rows(FEATURES, COLUMNS), expected)

    def test_the_order_of_ingestion_is_of_no_consequence(self, strategy: RetrievalStrategy) -> None:
        shuffled = sales().sample(frac=1.0, random_state=1)
        strategy.ingest(FEATURES, "weather", weather().iloc[::-1])
        strategy.ingest(FEATURES, "sales", shuffled.iloc[:10])
        strategy.ingest(FEATURES, "sales", shuffled.iloc[10:])
        same_rows(
            strategy.training_rows(FEATURES, COLUMNS),
            expected_rows(sales(), weather(), FEATURES.views["weather"].ttl),
        )

    def test_a_later_row_replaces_one_of_equal_key_and_time(
        self, strategy: RetrievalStrategy
    ) -> None:
        self.fill(strategy, weather(), weather().assign(temp=-1.0))
        corrected = sales().iloc[[3]].assign(y=777.0)
        strategy.ingest(FEATURES, "sales", corrected)
        primary = sales()
        primary.loc[3, "y"] = 777.0
        same_rows(
            strategy.training_rows(FEATURES, COLUMNS),
            expected_rows(primary, weather().assign(temp=-1.0), FEATURES.views["weather"].ttl),
        )

    def test_times_of_another_zone_are_the_same_moments(self, strategy: RetrievalStrategy) -> None:
        def local(rows: pd.DataFrame) -> pd.DataFrame:
            return rows.assign(
                **{TIME: rows[TIME].dt.tz_convert("America/New_York")}
            )  # daylight saving begins on the third day

        strategy.ingest(FEATURES, "sales", local(sales()))
        strategy.ingest(FEATURES, "weather", local(weather()))
        same_rows(
            strategy.training_rows(FEATURES, COLUMNS),
            expected_rows(sales(), weather(), FEATURES.views["weather"].ttl),
        )

    def test_context_is_the_newest_training_row(
        self, strategy: RetrievalStrategy, tmp_path: Any
    ) -> None:
        self.fill(strategy)
        strategy.materialize(FEATURES, None, None, lambda _: None)
        context = self.ask(
            self.make(tmp_path),
            ("a", "y"),
            ("z", "x"),
            ("a", "x"),
            nullable=("gap", "temp", "wind"),
        )
        assert context.status[0] in {
            STALE,
            MISSING_FEATURE,
        }  # its weather is too old; a store of newest rows has a later one
        assert context.status[1:] == [UNKNOWN_ENTITY, OK]
        rows = strategy.training_rows(FEATURES, COLUMNS)
        last = rows[(rows["shop"] == "a") & (rows["item"] == "x")].iloc[-1]
        assert context.origins[2] == np.datetime64(last[TIME].tz_localize(None), "us")
        assert (
            context.past[2, -1].tobytes()
            == last[["y", "gap", "temp", "wind"]].to_numpy(dtype=np.float64).tobytes()
        )
        assert context.static[2].tolist() == ["a", "x", "k0"]

    def test_a_null_is_answered_only_where_training_knew_nulls(
        self, strategy: RetrievalStrategy
    ) -> None:
        end = FIRST + 6 * DAY  # a day on which gap is null
        strategy.ingest(FEATURES, "sales", sales()[sales()[TIME] <= end])
        strategy.ingest(FEATURES, "weather", weather(until=6))
        strategy.materialize(FEATURES, None, end, lambda _: None)
        context = self.ask(strategy, ("a", "x"))
        assert context.status == [OK]
        assert np.isnan(context.past[0, -1, 1])
        context = self.ask(strategy, ("a", "x"), nullable=())
        assert context.status == [MISSING_FEATURE]
        assert "'sales'" in str(context.detail[0])
        assert "'gap'" in str(context.detail[0])

    def test_a_view_older_than_its_ttl_is_stale(self, strategy: RetrievalStrategy) -> None:
        self.fill(
            strategy, weather(until=5)
        )  # its newest row is two days and a microsecond older than the origin of a/y
        strategy.materialize(FEATURES, None, None, lambda _: None)
        context = self.ask(strategy, ("a", "y"), nullable=("gap", "temp", "wind"))
        assert context.status == [STALE]
        assert "'weather'" in str(context.detail[0])

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
        schema = self.schema(
            nullable=("gap", "temp", "wind"),
            static=("shop", "item", "kind", "sky"),
            context_length=min(length, strategy.max_context_length or length),
        )
        needs = Needs(schema.targets, schema.context_length, schema.frequency)
        strategy.materialize(flagged, None, None, lambda _: None, needs=needs)

        async def once() -> Context:
            context = await strategy.context(flagged, schema, [{"shop": "a", "item": "y"}], None)
            await strategy.close()
            return context

        context = asyncio.run(once())
        assert context.status == [OK], context.detail
        assert context.freshness is not None
        assert context.freshness.stale["weather"].tolist() == [True]
        assert (
            context.past[0, :, 2].tolist() == [13.0] * schema.context_length
        )  # that row is of all three steps
        assert context.static[0].tolist() == ["a", "y", "k1", "sky 3"]
        panel = stored_panel(strategy, flagged, columns_of(schema), "refuse")
        offline = stored_context(panel, flagged, schema, [("a", "y")], None, None)
        assert offline.past.tobytes() == context.past.tobytes()
        assert offline.static.tolist() == context.static.tolist()

    def test_a_row_exactly_as_old_as_the_ttl_is_fresh(self, strategy: RetrievalStrategy) -> None:
        strategy.ingest(FEATURES, "sales", sales()[sales()[TIME] <= FIRST + 4 * DAY])
        strategy.ingest(FEATURES, "weather", weather(until=4))
        strategy.materialize(FEATURES, None, None, lambda _: None)
        context = self.ask(strategy, ("a", "y"), nullable=("gap",))
        assert context.status == [OK]
        assert context.past[0, -1, 2] == 12.0

    def test_a_view_without_the_entity_is_a_missing_feature(
        self, strategy: RetrievalStrategy
    ) -> None:
        self.fill(strategy)
        strategy.materialize(FEATURES, None, None, lambda _: None)
        context = self.ask(strategy, ("c", "x"))
        assert context.status == [MISSING_FEATURE]
        assert "'weather'" in str(context.detail[0])
        assert "'temp'" in str(context.detail[0])

    def test_at_names_an_origin_or_is_explained(self, strategy: RetrievalStrategy) -> None:
        self.fill(strategy)
        strategy.materialize(FEATURES, None, None, lambda _: None)
        newest = FIRST + 8 * DAY
        assert self.ask(strategy, ("a", "x"), at=newest).status == [OK]
        later = self.ask(strategy, ("a", "x"), at=newest + timedelta(hours=12))
        assert later.status == [MISSING_FEATURE]
        assert "2024-03-16" in str(later.detail[0])
        old = self.ask(strategy, ("a", "x"), at=newest + 3 * DAY)
        assert old.status == [STALE]
        assert "'sales'" in str(old.detail[0])

    def test_known_columns_that_are_not_stored_ahead_are_missing(
        self, strategy: RetrievalStrategy
    ) -> None:
        self.fill(strategy)
        strategy.materialize(FEATURES, None, None, lambda _: None)
        context = self.ask(strategy, ("a", "x"), past=("y", "temp"), known=("wind",))
        assert context.status == [MISSING_FEATURE]
        assert "wind" in str(context.detail[0])

    def test_no_entities_give_an_empty_context(self, strategy: RetrievalStrategy) -> None:
        self.fill(strategy)
        strategy.materialize(FEATURES, None, None, lambda _: None)
        assert len(self.ask(strategy)) == 0
