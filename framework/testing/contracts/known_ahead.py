"""The part of the contract of retrieval strategies that is about steps to come: known-in-advance
columns and the newest actual.

:class:`framework.testing.contracts.retrieval.RetrievalContract` holds it.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from framework.data.context import Context
from framework.data.schema import Schema
from framework.data.vocabulary import MISSING_FEATURE, OK, TIME, UNKNOWN_ENTITY
from framework.features.views import FeatureSet
from framework.interfaces.retrieval import Needs, RetrievalStrategy
from framework.retrieval.stored_panel import columns_of, stored_context, stored_panel
from framework.testing.contracts.findings import same_bits
from framework.testing.contracts.retrieval_rows import expect_status

_DAY = timedelta(days=1)
_FIRST = datetime(2024, 3, 8, tzinfo=UTC)
_HORIZON = 3
#: The series, and the number of the day of each one's newest actual.
_NEWEST = {("a", "x"): 8, ("a", "y"): 7, ("c", "x"): 6}

#: Known columns in the primary view, in a view of the same keys, in one of fewer keys, and in one
#: whose rows hold for a week.
AHEAD = FeatureSet.model_validate(
    {
        "primary": "till",
        "views": {
            "till": {"entity": ["shop", "item"], "columns": ["y", "z", "promo"], "ttl": "1d"},
            "plan": {"entity": ["shop", "item"], "columns": ["price"], "ttl": "1d"},
            "opening": {"entity": ["shop"], "columns": ["hours"], "ttl": "1d"},
            "tariff": {"entity": ["shop"], "columns": ["rate"], "ttl": "1d", "valid_for": "7d"},
        },
    }
)
_KNOWN = ("promo", "price", "hours", "rate")


def stored() -> dict[str, pd.DataFrame]:
    """Make rows of each view. The targets end at :data:`_NEWEST`, ``z`` a day before ``y``; all
    that is planned goes on for three days.

    Returns:
        The rows, by view.
    """
    till, plan = [], []
    for i, ((shop, item), newest) in enumerate(_NEWEST.items()):
        for day in range(newest + _HORIZON + 1):
            row = {"shop": shop, "item": item, TIME: _FIRST + day * _DAY}
            y = 10.0 * i + day / 3 if day <= newest else None
            z = 1 / (day + 1) if day < newest else None
            till.append({**row, "y": y, "z": z, "promo": (day * 7 + i) % 5 / 3})
            plan.append({**row, "price": 2 + (day * 3 + i) % 7 / 11})
    days = range(max(_NEWEST.values()) + _HORIZON + 1)
    opening = [
        {"shop": shop, TIME: _FIRST + day * _DAY, "hours": day + len(shop) / 7}
        for shop in "ac"
        for day in days
    ]
    tariff = [
        {"shop": shop, TIME: _FIRST + day * _DAY, "rate": day / 7 + 0.1}
        for shop in "ac"
        for day in (-2, 5)
    ]
    frames = {"till": till, "plan": plan, "opening": opening, "tariff": tariff}
    return {name: pd.DataFrame(rows) for name, rows in frames.items()}


def ahead_of(rows: dict[str, pd.DataFrame], shop: str, item: str) -> np.ndarray:
    """Find what is planned of the steps after a series' newest actual, by a plain loop.

    Args:
        rows: What :func:`stored` made.
        shop: A key of the series.
        item: A key of the series.

    Returns:
        ``[H, K]``.
    """
    origin = _FIRST + _NEWEST[shop, item] * _DAY
    values = np.full((_HORIZON, len(_KNOWN)), np.nan)
    for k, (column, name) in enumerate(zip(_KNOWN, AHEAD.views, strict=True)):
        view = AHEAD.views[name]
        for h in range(_HORIZON):
            step = origin + (h + 1) * _DAY
            for row in rows[name].to_dict("records"):
                of_entity = row["shop"] == shop and row.get("item", item) == item
                if of_entity and row[TIME] <= step < row[TIME] + (
                    view.valid_for or timedelta(microseconds=1)
                ):
                    values[h, k] = row[column]  # rows are in order of time: the newest comes last
    return values


class KnownAheadContract:
    """The promises of every strategy that keeps rows about steps to come."""

    @abstractmethod
    def make(self, tmp_path: Any) -> RetrievalStrategy:
        """Make a new strategy on the store below ``tmp_path``, as another process would make it.

        Args:
            tmp_path: A folder of the test's own.

        Returns:
            The strategy.
        """

    @pytest.fixture(params=[1, 3], ids=["newest", "window"])
    def length(self, request: pytest.FixtureRequest, tmp_path: Any) -> int:
        """Choose the steps of a window; fewer where the strategy gives fewer.

        Args:
            request: Of the fixture.
            tmp_path: A folder of the test's own.

        Returns:
            The steps.
        """
        limit = self.make(tmp_path / "limit").max_context_length
        return min(int(request.param), limit or int(request.param))

    def _asked(
        self,
        tmp_path: Any,
        length: int,
        rows: dict[str, pd.DataFrame],
        *entities: tuple[str, str],
        at: datetime | None = None,
    ) -> Context:
        """The windows of a filled store; those of the offline panel are the same, bit for bit.

        A strategy that gives no known columns says so of each window, and those of the offline
        panel are given.
        """
        strategy = self.make(tmp_path)
        for name in AHEAD.views:
            strategy.ingest(AHEAD, name, rows[name])
        strategy.materialize(
            AHEAD, None, None, lambda _: None, needs=Needs(("y", "z"), length, "D")
        )
        schema = Schema(
            name="ahead",
            entity_keys=("shop", "item"),
            frequency="D",
            targets=("y", "z"),
            past=("y", "z"),
            nullable=("z",),
            known=_KNOWN,
            static=("shop", "item"),
            horizon=_HORIZON,
            context_length=length,
            quantiles=(),
        )
        entity_keys = [{"shop": shop, "item": item} for shop, item in entities]

        async def once(server: RetrievalStrategy) -> Context:
            context = await server.context(AHEAD, schema, entity_keys, at)
            await server.close()
            return context

        context = asyncio.run(once(self.make(tmp_path)))
        panel = stored_panel(strategy, AHEAD, columns_of(schema), "refuse")
        origin = None if at is None else np.datetime64(at.replace(tzinfo=None), "us")
        offline = stored_context(panel, AHEAD, schema, entities, origin, None)
        if not strategy.gives_known:
            assert OK not in context.status, (
                "a strategy that says that it gives no known columns answers a pair that has some."
            )
            return offline
        assert context.status == offline.status, (
            f"context gives the statuses {context.status} ({context.detail}), what run=predict "
            f"reads gives {offline.status} ({offline.detail}): two rules."
        )
        ok = [j for j, status in enumerate(offline.status) if status == OK]
        for part in ("origins", "past", "known"):
            same_bits(
                getattr(context, part)[ok],
                getattr(offline, part)[ok],
                f"{part} of context, beside what run=predict reads,",
                "the server's store keeps other rows, or looks a step up by another rule",
            )
        assert context.static[ok].tolist() == offline.static[ok].tolist(), (
            "keys and categories of context are others than those that run=predict reads."
        )
        return context

    def expect_known(self, context: Context, shop: str, item: str, doing: str) -> None:
        """Check the columns known in advance of the first window.

        Args:
            context: What a strategy gave.
            shop: A key of its series.
            item: A key of its series.
            doing: What was asked, as the subject of a sentence.

        Raises:
            AssertionError: They are others than those that were stored for these steps.
        """
        same_bits(
            context.known[0],
            ahead_of(stored(), shop, item),
            f"{doing} looks up columns {_KNOWN} of the {_HORIZON} steps ahead, which",
            "a step ahead takes the row of its own label, or of a view with valid_for the newest "
            "one that still holds, never the origin's row",
        )

    def test_known_columns_are_those_of_the_steps_ahead(self, tmp_path: Any, length: int) -> None:
        rows = stored()
        context = self._asked(tmp_path, length, rows, *_NEWEST)
        doing = "context with columns known in advance"
        expect_status(context, [OK] * 3, doing)
        newest = [
            np.datetime64((_FIRST + day * _DAY).replace(tzinfo=None), "us").item()
            for day in _NEWEST.values()
        ]
        assert context.origins.tolist() == newest, (
            f"{doing} begins at {context.origins.tolist()}, not at {newest}: an origin is the "
            "newest row with a target; later rows of the primary view are steps to come."
        )
        expected = np.stack([ahead_of(rows, *entity) for entity in _NEWEST])
        assert np.isfinite(expected).all(), "the suite plans a value for every step."
        for i, entity in enumerate(_NEWEST):
            self.expect_known(context.take(np.array([i])), *entity, doing)

    def test_an_origin_that_is_named_has_the_same_window(self, tmp_path: Any, length: int) -> None:
        window = self._asked(tmp_path, length, stored(), ("a", "x"), at=_FIRST + 8 * _DAY)
        doing = "context at a named origin with columns known in advance"
        expect_status(window, [OK], doing)
        self.expect_known(window, "a", "x", doing)

    @pytest.mark.parametrize(
        ("view", "column", "steps"),
        [("till", "promo", 1), ("plan", "price", 2), ("opening", "hours", 3)],
    )
    def test_a_plan_that_ends_early_is_a_missing_feature(
        self, tmp_path: Any, length: int, view: str, column: str, steps: int
    ) -> None:
        rows = stored()
        rows[view] = rows[view][rows[view][TIME] <= _FIRST + (8 + _HORIZON - steps) * _DAY]
        context = self._asked(tmp_path, length, rows, ("a", "x"))
        doing = f"a plan that lacks the last {steps} of the steps ahead"
        expect_status(context, [MISSING_FEATURE], doing, column)

    @pytest.mark.parametrize(
        ("view", "column"), [("till", "promo"), ("plan", "price"), ("opening", "hours")]
    )
    def test_a_null_in_a_plan_is_a_missing_feature(
        self, tmp_path: Any, length: int, view: str, column: str
    ) -> None:
        rows = stored()
        rows[view].loc[rows[view][TIME] == _FIRST + 10 * _DAY, column] = None
        context = self._asked(tmp_path, length, rows, ("a", "x"))
        doing = "a null in the plan of a step ahead"
        expect_status(context, [MISSING_FEATURE], doing, column)

    def test_a_row_of_another_label_says_nothing(self, tmp_path: Any, length: int) -> None:
        rows = stored()
        plan = rows["opening"]
        rows["opening"] = plan[
            plan[TIME] != _FIRST + 9 * _DAY
        ]  # the day before has a row, within the ttl
        context = self._asked(tmp_path, length, rows, ("a", "x"))
        doing = "a step ahead whose own plan is missing while the day before has one"
        expect_status(context, [MISSING_FEATURE], doing, "hours")

    def test_valid_for_ends_before_its_last_moment(self, tmp_path: Any, length: int) -> None:
        rows = stored()
        rows["tariff"] = rows["tariff"].assign(
            **{TIME: rows["tariff"][TIME] - _DAY}
        )  # the newest, of day 4, holds to the end of day 10
        context = self._asked(tmp_path, length, rows, ("a", "x"))
        doing = "a step ahead exactly valid_for after the newest row of its view"
        expect_status(context, [MISSING_FEATURE], doing, "rate")

    def test_a_step_to_come_is_no_origin(self, tmp_path: Any, length: int) -> None:
        context = self._asked(tmp_path, length, stored(), ("a", "x"), at=_FIRST + 9 * _DAY)
        doing = "an origin whose row has a plan and no target"
        expect_status(context, [MISSING_FEATURE], doing, "2024-03-16")

    def test_a_series_without_an_actual_is_unknown(self, tmp_path: Any, length: int) -> None:
        rows = stored()
        rows["till"].loc[rows["till"]["shop"] == "c", ["y", "z"]] = None
        context = self._asked(tmp_path, length, rows, ("c", "x"), ("a", "x"))
        expect_status(context, [UNKNOWN_ENTITY, OK], "a series that has plans and no actual")
