"""Contract suite of retrieval strategies that keep rows. Subclass :class:`RetrievalContract` in a
plugin's tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from framework.data.vocabulary import (
    MISSING_FEATURE,
    OK,
    SHORT_HISTORY,
    STALE,
    TIME,
    UNKNOWN_ENTITY,
)
from framework.interfaces.retrieval import Needs, RetrievalStrategy
from framework.testing.contracts.findings import same_bits
from framework.testing.contracts.freshness import FreshnessContract
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


class RetrievalContract(
    FreshnessContract, KnownAheadContract, OneSeriesContract, RowVersionsContract
):
    """Subclass as ``class TestMine(RetrievalContract)`` and give ``make``: the same store each time
    it is called in a test.
    """

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
