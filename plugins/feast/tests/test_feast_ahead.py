"""Steps to come in the online store: streams, incremental runs, what Feast's own layout holds,
stores of an earlier version.
"""

from __future__ import annotations

import asyncio
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from feast_cases import DAY, FIRST, options
from framework_feast.records import packed
from framework_feast.records.packed import decode, definition, record_keys
from framework_feast.retrieval import FeastRetrieval

from framework.data.context import Context
from framework.data.schema import Schema
from framework.data.vocabulary import MISSING_FEATURE, OK, SHORT_HISTORY, TIME
from framework.errors import ConfigError, DataError
from framework.features.views import FeatureSet
from framework.interfaces.retrieval import Needs
from framework.serving.deployment import Deployment
from framework.testing.servers.fake_server import FakeParts

FEATURES = FeatureSet.model_validate(
    {
        "primary": "till",
        "views": {
            "till": {"entity": ["shop"], "columns": ["y", "promo"], "ttl": "1d"},
            "plan": {"entity": ["shop"], "columns": ["price", "hours"], "ttl": "3d"},
        },
    }
)
ENTITY = [{"shop": "a"}]
AHEAD = 4


def schema(length: int, **changes: Any) -> Schema:
    fields: dict[str, Any] = {
        "name": "ahead",
        "entity_keys": ("shop",),
        "frequency": "D",
        "targets": ("y",),
        "past": ("y", "hours"),
        "nullable": (),
        "known": ("promo", "price"),
        "static": ("shop",),
        "horizon": 2,
        "context_length": length,
        "quantiles": (),
    }
    return Schema(**{**fields, **changes})


def needs(steps: int) -> Needs:
    return Needs(("y",), steps, "D")


def tables(newest: int, first: int = 0, shops: str = "ab") -> dict[str, pd.DataFrame]:
    """Days ``first`` to ``newest`` have an actual, those after it a plan; every value says its
    day.
    """
    days = range(first, newest + AHEAD + 1)
    stamps = [FIRST + day * DAY for day in days]
    till = {
        TIME: stamps,
        "y": [float(d) if d <= newest else None for d in days],
        "promo": [d + 0.25 for d in days],
    }
    plan = {TIME: stamps, "price": [d + 0.5 for d in days], "hours": [d + 0.75 for d in days]}
    return {
        name: pd.concat(
            [pd.DataFrame({"shop": shop, **columns}) for shop in shops], ignore_index=True
        )
        for name, columns in (("till", till), ("plan", plan))
    }


def ask(strategy: FeastRetrieval, length: int, at: datetime | None = None) -> Context:
    async def once() -> Context:
        context = await strategy.context(FEATURES, schema(length), ENTITY, at)
        await strategy.close()
        return context

    return asyncio.run(once())


def holds(strategy: FeastRetrieval, length: int, newest: int) -> None:
    """The window that ends on the day ``newest``, and the plan of the two days after it."""
    context = ask(strategy, length)
    assert context.status == [OK], context.detail
    assert context.origins[0] == (FIRST + newest * DAY).tz_localize(None).to_datetime64()
    days = np.arange(newest + 1 - length, newest + 1)
    assert context.past[0].tolist() == [[d, d + 0.75] for d in days.tolist()]
    assert context.known[0].tolist() == [[newest + h + 0.25, newest + h + 0.5] for h in (1, 2)]


def filled(root: Path, steps: int, rows: dict[str, pd.DataFrame], **changes: Any) -> FeastRetrieval:
    strategy = FeastRetrieval(options(root, **changes))
    for name, table in rows.items():
        strategy.ingest(FEATURES, name, table)
    strategy.materialize(FEATURES, None, None, lambda _: None, needs=needs(steps))
    return strategy


@pytest.mark.parametrize("length", [1, 3])
def test_a_stream_brings_actuals_and_plans(tmp_path: Path, length: int) -> None:
    strategy = filled(tmp_path, length, tables(6))
    for newest in range(7, 12):
        for name, table in tables(newest, first=newest).items():
            strategy.push(FEATURES, name, table, needs(length))
        holds(strategy, length, newest)


@pytest.mark.parametrize("length", [1, 3])
def test_a_plan_that_comes_before_its_actuals_changes_no_origin(
    tmp_path: Path, length: int
) -> None:
    strategy = filled(tmp_path, length, tables(6))
    for name, table in tables(9).items():
        strategy.push(FEATURES, name, table[table[TIME] > FIRST + 9 * DAY], needs(length))
        strategy.push(
            FEATURES, name, table[table[TIME] > FIRST + 9 * DAY]
        )  # by somebody who does not say what is an actual
    holds(strategy, length, 6)


@pytest.mark.parametrize("length", [1, 3])
def test_incremental_goes_on_from_the_newest_actual_not_from_the_end_of_the_plan(
    tmp_path: Path, length: int
) -> None:
    strategy = filled(tmp_path, length, tables(6))
    for name, table in tables(8).items():
        strategy.ingest(FEATURES, name, table)
    said: list[str] = []
    strategy.materialize(FEATURES, None, None, said.append, overlap=DAY, needs=needs(length))
    assert said[0].endswith("2024-03-06T00:00:00.000000 to 2024-03-13T00:00:00.000000")
    holds(strategy, length, 8)


def test_what_is_kept_does_not_grow(tmp_path: Path) -> None:
    strategy = filled(tmp_path, 3, tables(6))
    records = strategy._online.records
    assert records is not None

    def lengths() -> list[int]:
        async def read() -> list[bytes | None]:
            keys = [
                key
                for name, view in FEATURES.views.items()
                for key in record_keys(definition(name, view), [("a",)])
            ]
            found = [*await records.read("newest", keys), *await records.read("window", keys)]
            await strategy.close()
            return found

        return [
            0 if record is None else len(decode(record, 2, 0)) for record in asyncio.run(read())
        ]

    assert lengths() == [1 + AHEAD, 1 + AHEAD, 3 + AHEAD, 3 + AHEAD]
    for newest in range(7, 30):
        for name, table in tables(newest, first=newest).items():
            strategy.push(FEATURES, name, table, needs(3))
    lag = 3  # days, the ttl of the plan: a stream does not say which series lag behind
    assert lengths() == [1 + AHEAD, 1 + lag + AHEAD, 3 + AHEAD, 3 + lag + AHEAD]
    for name, table in tables(29).items():
        strategy.ingest(FEATURES, name, table)
    strategy.materialize(FEATURES, None, None, lambda _: None, needs=needs(3))
    assert lengths()[:2] == [1 + AHEAD, 1 + AHEAD]


def test_steps_to_come_are_kept_up_to_a_limit(tmp_path: Path) -> None:
    context = ask(filled(tmp_path, 1, tables(6), ahead=1), 1)
    assert context.status == [MISSING_FEATURE]
    assert "'promo' for 1, 'price' for 1 of the 2 steps" in str(context.detail[0])


def test_what_feast_keeps_is_the_row_of_the_origin(tmp_path: Path) -> None:
    """The SDK reads the newest actual, described as of its day, although later rows are stored."""
    filled(tmp_path, 1, tables(6))

    async def once() -> Context:
        strategy = FeastRetrieval(options(tmp_path, read="sdk"))
        context = await strategy.context(FEATURES, schema(1, known=()), ENTITY, None)
        await strategy.close()
        return context

    context = asyncio.run(once())
    assert context.status == [OK], context.detail
    assert context.past[0].tolist() == [[6.0, 6.75]]


def test_a_pair_that_knows_columns_in_advance_is_not_served_by_the_sdk(tmp_path: Path) -> None:
    deployment = Deployment(FakeParts(tmp_path), "ahead", "production", FEATURES, "feast", tmp_path)
    deployment.__dict__["strategy"] = FeastRetrieval(options(tmp_path, read="sdk"))
    with pytest.raises(
        ConfigError,
        match=r"reads one row of each entity, .*\['promo', 'price'\] of the steps ahead; read packed",  # noqa: E501
    ):
        deployment.check(schema(1))
    deployment.__dict__["strategy"] = FeastRetrieval(options(tmp_path))
    deployment.check(schema(1))


def test_a_store_of_an_earlier_version_is_read_and_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its records do not say what is ahead: the newest row was the origin, whatever was in it."""
    rows = tables(6)
    with monkeypatch.context() as patch:
        patch.setattr(packed.Rows, "encode", _first_version)
        strategy = FeastRetrieval(options(tmp_path))
        for name, table in rows.items():
            strategy.ingest(FEATURES, name, table)
        strategy.materialize(FEATURES, None, (FIRST + 6 * DAY).to_pydatetime(), lambda _: None)
    context = ask(strategy, 1)
    assert context.status == [MISSING_FEATURE]  # no plan was kept
    assert context.past[0].tolist() == [[6.0, 6.75]]
    strategy.materialize(FEATURES, None, None, lambda _: None, needs=needs(1))
    holds(strategy, 1, 6)


def _first_version(rows: packed.Rows) -> bytes:
    head = packed._HEAD.pack(1, rows.cut, rows.numbers.shape[1], 0, len(rows))
    return head + rows.times.tobytes() + np.ascontiguousarray(rows.numbers).tobytes()


def test_training_makes_what_is_online_as_long_as_its_model_needs(tmp_path: Path) -> None:
    strategy = filled(tmp_path, 1, tables(9))
    assert ask(strategy, 1).status == [OK]
    short = ask(strategy, 5)
    assert short.status == [SHORT_HISTORY]
    assert "run=materialize with this pair's model keeps as many as it needs" in str(
        short.detail[0]
    )
    assert strategy.lengthen(FEATURES, needs(1), lambda _: None) == {}
    assert strategy.lengthen(FEATURES, needs(5), lambda _: None) == {"till": 2, "plan": 2}
    holds(strategy, 5, 9)
    assert strategy.lengthen(FEATURES, needs(5), lambda _: None) == {}
    strategy.materialize(
        FEATURES, None, None, lambda _: None, needs=needs(1)
    )  # another model's shortens nothing
    holds(strategy, 5, 9)
    assert strategy.lengthen(FEATURES, needs(5), lambda _: None) == {}


def test_entities_that_come_later_have_the_longest_window_too(tmp_path: Path) -> None:
    strategy = filled(tmp_path, 5, tables(9, shops="b"))
    for name, table in tables(9, shops="a").items():
        strategy.ingest(FEATURES, name, table)
    strategy.materialize(FEATURES, None, None, lambda _: None, needs=needs(1))
    holds(strategy, 5, 9)


def test_a_store_that_was_lost_is_filled_for_every_model_it_was_filled_for(tmp_path: Path) -> None:
    strategy = filled(tmp_path, 5, tables(9))
    shutil.rmtree(tmp_path / "feast")
    strategy.materialize(FEATURES, None, None, lambda _: None, needs=needs(1))
    holds(strategy, 5, 9)


def test_what_was_never_materialized_is_not_by_training(tmp_path: Path) -> None:
    strategy = FeastRetrieval(options(tmp_path))
    for name, table in tables(6).items():
        strategy.ingest(FEATURES, name, table)
    assert strategy.lengthen(FEATURES, needs(5), lambda _: None) == {}
    with pytest.raises(DataError, match="run=materialize"):
        ask(strategy, 1)


def test_a_view_of_another_cadence_spans_the_same_time(tmp_path: Path) -> None:
    """Three days of a view with a row every six hours are more than three rows."""
    hours = pd.date_range(FIRST, FIRST + 9 * DAY, freq="6h")
    plan = pd.DataFrame(
        {"shop": "a", TIME: hours, "price": 1.0, "hours": np.arange(len(hours), dtype=float)}
    )
    strategy = filled(tmp_path, 3, {"till": tables(6, shops="a")["till"], "plan": plan})
    context = ask(strategy, 3)
    assert context.status == [OK], context.detail
    assert context.past[0].tolist() == [[4.0, 16.0], [5.0, 20.0], [6.0, 24.0]]


@pytest.mark.parametrize("length", [1, 3])
def test_one_series_without_a_key(tmp_path: Path, length: int) -> None:
    body = FEATURES.model_dump()
    for view in body["views"].values():
        view["entity"] = []
    features, strategy = FeatureSet.model_validate(body), FeastRetrieval(options(tmp_path))
    for name, table in tables(6, shops="a").items():
        strategy.ingest(features, name, table.drop(columns="shop"))
    strategy.materialize(features, None, None, lambda _: None, needs=needs(length))

    async def once() -> Context:
        assert await strategy.has_entities(features)
        context = await strategy.context(
            features, schema(length, entity_keys=(), static=()), [{}], None
        )
        await strategy.close()
        return context

    context = asyncio.run(once())
    assert context.status == [OK], context.detail
    assert context.past[0, -1].tolist() == [6.0, 6.75]
    assert context.known[0].tolist() == [[7.25, 7.5], [8.25, 8.5]]
