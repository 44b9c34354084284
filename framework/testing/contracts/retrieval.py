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
from framework.data.vocabulary import (
    MISSING_FEATURE,
    OK,
    SHORT_HISTORY,
    STALE,
    TIME,
    UNKNOWN_ENTITY,
)
from framework.features.views import FeatureSet
from framework.interfaces.retrieval import Needs, RetrievalStrategy
from framework.retrieval.stored_panel import columns_of, stored_context, stored_panel
from framework.testing.contracts.findings import same_bits
from framework.testing.contracts.known_ahead import KnownAheadContract
from framework.testing.contracts.one_series import OneSeriesContract
from framework.testing.contracts.retrieval_rows import (
    COLUMNS,
    DAY,
    FEATURES,
    FIRST,
    expect_status,
    expected_rows,
    sales,
    same_rows,
    weather,
)
from framework.testing.contracts.row_versions import RowVersionsContract


class RetrievalContract(KnownAheadContract, OneSeriesContract, RowVersionsContract):
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
        assert not strategy.has_rows(FEATURES), "has_rows of an empty store is True."
        count = strategy.ingest(FEATURES, "sales", sales())
        assert count == len(sales()), f"ingest of {len(sales())} rows says that it stored {count}."
        assert not strategy.has_rows(FEATURES), (
            "has_rows is True while the view 'weather' has no rows, so a training would not ingest "
            "it; every view must have some."
        )
        strategy.ingest(FEATURES, "weather", weather())
        assert strategy.has_rows(FEATURES), "has_rows is False though both views have rows."

    def test_entities_are_those_that_have_rows(self, strategy: RetrievalStrategy) -> None:
        assert strategy.entities(FEATURES).empty, "an empty store has entities."
        strategy.ingest(FEATURES, "sales", sales().sample(frac=1, random_state=1))
        entities = strategy.entities(FEATURES)
        keys = [tuple(row) for row in entities[["shop", "item"]].to_numpy()]
        assert keys == [("a", "x"), ("a", "y"), ("c", "x")], (
            f"entities gives {keys}; it is each series of the primary view once, sorted: "
            "('a', 'x'), ('a', 'y') and ('c', 'x')."
        )

    def test_stored_rows_are_what_was_ingested(self, strategy: RetrievalStrategy) -> None:
        assert strategy.stored_rows(FEATURES, "sales").empty, "an empty store has rows."
        strategy.ingest(FEATURES, "sales", sales().sample(frac=1.0, random_state=2))
        expected = sales().sort_values(["shop", "item", TIME], ignore_index=True)
        rows = strategy.stored_rows(FEATURES, "sales")
        self.expect_rows(rows, expected, "stored_rows of a view")
        some = strategy.stored_rows(
            FEATURES, "sales", pd.DataFrame({"shop": ["a", "z"], "item": ["y", "x"]})
        )
        of_series = expected[(expected["shop"] == "a") & (expected["item"] == "y")]
        self.expect_rows(some, of_series, "stored_rows of the series ('a', 'y')")
        changed = expected.assign(y=expected["y"] + 1.0)
        with strategy.ingesting(FEATURES, "sales") as add:
            for _, piece in changed.groupby(["shop", "item"]):
                assert add(piece) == len(piece), "ingesting counts other rows than it was given."
        rows = strategy.stored_rows(FEATURES, "sales")
        self.expect_rows(rows, changed, "stored_rows after pieces of an ingestion")

    def expect_rows(self, rows: pd.DataFrame, expected: pd.DataFrame, doing: str) -> None:
        """Check stored rows of sales.

        Args:
            rows: What a strategy gave.
            expected: What was ingested.
            doing: What was done, as the subject of a sentence.

        Raises:
            AssertionError: They differ.
        """
        columns = ["shop", "item", TIME, "y", "gap", "kind"]
        assert list(rows.columns) == columns, (
            f"{doing} gives the columns {list(rows.columns)}; they are the view's identity, then "
            f"its features: {columns}."
        )
        try:
            pd.testing.assert_frame_equal(
                rows.reset_index(drop=True),
                expected[columns].reset_index(drop=True),
                check_dtype=False,
                check_exact=True,
            )
        except AssertionError as error:
            raise AssertionError(
                f"{doing} is not what was ingested, sorted by keys and time: "
                f"{' '.join(str(error).split())}"
            ) from None

    def test_training_rows_are_point_in_time(self, strategy: RetrievalStrategy) -> None:
        self.fill(strategy)
        expected = expected_rows(sales(), weather(), FEATURES.views["weather"].ttl)
        temperatures = [row[5] for row in expected if row[:2] == ("a", "x")]
        every_case = [10.0, 11.0, 12.0, 12.0, 12.0, 13.0, 13.0, None, 14.0]
        assert temperatures == every_case, "the rows of the suite have every case."
        same_rows(strategy.training_rows(FEATURES, COLUMNS), expected, "training_rows")

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
        assert FEATURES.views["weather"].ttl in ages, "the suite has ages of exactly one ttl."
        nulls = sum(row[5] is None for row in expected)
        assert 40 < nulls < 150, "the suite has rows with a match and rows without one."
        same_rows(strategy.training_rows(FEATURES, COLUMNS), expected, "training_rows")

    def test_the_order_of_ingestion_is_of_no_consequence(self, strategy: RetrievalStrategy) -> None:
        shuffled = sales().sample(frac=1.0, random_state=1)
        strategy.ingest(FEATURES, "weather", weather().iloc[::-1])
        strategy.ingest(FEATURES, "sales", shuffled.iloc[:10])
        strategy.ingest(FEATURES, "sales", shuffled.iloc[10:])
        same_rows(
            strategy.training_rows(FEATURES, COLUMNS),
            expected_rows(sales(), weather(), FEATURES.views["weather"].ttl),
            "training_rows of rows that came in another order, in two parts,",
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
            "training_rows after rows came again with other values",
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
            "training_rows of rows whose times are New York's",
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
        assert context.status[0] in {STALE, MISSING_FEATURE}, (
            f"an entity whose weather is older than its ttl at the origin is {context.status[0]}, "
            "not stale (a store of newest rows has a later one: missing_feature)."
        )
        expect_status(context, [context.status[0], UNKNOWN_ENTITY, OK], "context")
        rows = strategy.training_rows(FEATURES, COLUMNS)
        last = rows[(rows["shop"] == "a") & (rows["item"] == "x")].iloc[-1]
        origin = np.datetime64(last[TIME].tz_localize(None), "us")
        assert context.origins[2] == origin, (
            f"the newest origin of ('a', 'x') is {context.origins[2]}; its newest row with an "
            f"actual is of {origin}."
        )
        same_bits(
            context.past[2, -1],
            last[["y", "gap", "temp", "wind"]].to_numpy(dtype=np.float64),
            "the newest step of context, beside the newest training row,",
            "the server's store rounds, or joins by another rule than training",
        )
        static = context.static[2].tolist()
        assert static == ["a", "x", "k0"], f"keys and category of ('a', 'x') are {static}."

    def test_a_null_is_answered_only_where_training_knew_nulls(
        self, strategy: RetrievalStrategy
    ) -> None:
        end = FIRST + 6 * DAY  # a day on which gap is null
        strategy.ingest(FEATURES, "sales", sales()[sales()[TIME] <= end])
        strategy.ingest(FEATURES, "weather", weather(until=6))
        strategy.materialize(FEATURES, None, end, lambda _: None)
        context = self.ask(strategy, ("a", "x"))
        expect_status(context, [OK], "a null of a column that had nulls in training")
        assert np.isnan(context.past[0, -1, 1]), (
            f"a null is answered as {context.past[0, -1, 1]}: it became a number on its way."
        )
        context = self.ask(strategy, ("a", "x"), nullable=())
        doing = "a null of a column that was never null in training"
        expect_status(context, [MISSING_FEATURE], doing, "'sales'", "'gap'")

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

    def test_a_series_shorter_than_the_window_says_so(self, strategy: RetrievalStrategy) -> None:
        length = min(3, strategy.max_context_length or 3)
        rows = sales()
        counts = rows.groupby(["shop", "item"]).cumcount()
        short = (rows["item"] == "y") & (counts >= length - 1)
        strategy.ingest(FEATURES, "sales", rows[~short])
        strategy.ingest(FEATURES, "weather", weather())
        needs = Needs(("y",), length, "D")
        strategy.materialize(FEATURES, None, None, lambda _: None, needs=needs)
        changes: dict[str, Any] = {"context_length": length, "past": ("y",), "nullable": ()}
        context = self.ask(strategy, ("a", "x"), ("a", "y"), **changes)
        words = [OK, SHORT_HISTORY if length > 1 else UNKNOWN_ENTITY]
        doing = f"a series with {length - 1} rows, where the window has {length} steps,"
        expect_status(context, words, doing)
        expected = [6 / 3, 7 / 3, 8 / 3][-length:]
        actual = context.past[0, :, 0].tolist()
        assert actual == expected, (
            f"a window of {length} steps holds {actual}, not the newest {length} values of its "
            f"series, oldest first: {expected}."
        )
        if length == 1:
            return
        context = self.ask(strategy, ("a", "x"), ("a", "y"), **changes, least_context=1)
        expect_status(context, [OK, OK], f"the same series, of which one step is enough ({doing})")
        null = np.isnan(context.past[:, :, 0]).tolist()
        assert null == [[False] * length, [True] + [False] * (length - 1)], (
            f"windows of {length} steps are null at {null}; that of the younger series is null "
            "before its first row and nowhere else."
        )

    def test_rows_that_came_late_are_materialized_with_an_overlap(
        self, strategy: RetrievalStrategy
    ) -> None:
        """An incremental call begins ``overlap`` before what earlier calls have made available."""
        rows, late = sales(), sales()["item"] == "y"
        strategy.ingest(FEATURES, "sales", rows[~late])
        strategy.ingest(FEATURES, "weather", weather())
        strategy.materialize(FEATURES, None, None, lambda _: None)
        strategy.ingest(FEATURES, "sales", rows[late])  # a day older than the newest one online
        strategy.materialize(FEATURES, None, None, lambda _: None, overlap=3 * DAY)
        context = self.ask(strategy, ("a", "x"), ("a", "y"), past=("y",), nullable=())
        doing = "materialize with an overlap of three days, after rows came a day late,"
        expect_status(context, [OK, OK], doing)

    def test_a_pushed_row_is_served_at_once_and_never_replaces_a_newer_one(
        self, strategy: RetrievalStrategy
    ) -> None:
        rows = sales()[sales()["item"] == "x"]
        earlier = rows[rows[TIME] <= FIRST + 6 * DAY]
        strategy.ingest(FEATURES, "sales", earlier)
        strategy.ingest(FEATURES, "weather", weather())
        needs = Needs(("y",), 1, "D")
        strategy.materialize(FEATURES, None, None, lambda _: None, needs=needs)
        changes: dict[str, Any] = {"past": ("y",), "nullable": ()}
        # of a/x the row of day 7 comes before that of day 8, late; a/y has its own
        newer, older = (rows[rows[TIME] == FIRST + day * DAY] for day in (8, 7))
        count = strategy.push(FEATURES, "sales", newer, needs)
        strategy.push(FEATURES, "sales", older, needs)
        context = self.ask(strategy, ("a", "x"), **changes)
        expect_status(context, [OK], "context after a push")
        if not count:  # it serves what training reads
            strategy.ingest(FEATURES, "sales", rows)
            context = self.ask(strategy, ("a", "x"), **changes)
        assert context.past[0, -1, 0] == 8 / 3, (
            f"after rows of day 8 and then of day 7 came, the newest value served is "
            f"{context.past[0, -1, 0]}, not {8 / 3} of day 8: a row of an older time replaced a "
            "newer one, or a pushed row is not served."
        )
        if count:
            training = strategy.training_rows(FEATURES, ["y"])
            assert training[TIME].max() == FIRST + 6 * DAY, (
                f"training reads a row of {training[TIME].max()} that was pushed and not ingested."
            )

    def test_known_columns_that_are_not_stored_ahead_are_missing(
        self, strategy: RetrievalStrategy
    ) -> None:
        self.fill(strategy)
        strategy.materialize(FEATURES, None, None, lambda _: None)
        context = self.ask(strategy, ("a", "x"), past=("y", "temp"), known=("wind",))
        doing = "a column known in advance without any row of a step ahead"
        expect_status(context, [MISSING_FEATURE], doing, "wind")

    def test_no_entities_give_an_empty_context(self, strategy: RetrievalStrategy) -> None:
        self.fill(strategy)
        strategy.materialize(FEATURES, None, None, lambda _: None)
        count = len(self.ask(strategy))
        assert count == 0, f"context of no entities gives {count} windows."
