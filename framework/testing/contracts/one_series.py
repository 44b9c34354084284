"""Contract of retrieval strategies for one series without a key; :class:`RetrievalContract` holds
it.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from framework.data.context import Context
from framework.data.schema import Schema
from framework.data.vocabulary import OK, TIME
from framework.features.views import FeatureSet
from framework.interfaces.retrieval import Needs, RetrievalStrategy
from framework.retrieval.stored_panel import columns_of, stored_context, stored_panel
from framework.testing.contracts.findings import same_bits
from framework.testing.contracts.retrieval_rows import expect_status

_DAYS = pd.date_range(datetime(2024, 3, 8, tzinfo=UTC), periods=6, freq="D")
_FEATURES = FeatureSet.model_validate(
    {
        "primary": "load",
        "views": {
            "load": {"entity": [], "columns": ["y"], "ttl": "1d"},
            "sky": {"entity": [], "columns": ["temp", "kind"], "categories": ["kind"], "ttl": "2d"},
        },
    }
)


class OneSeriesContract:
    """Views with ``entity: []`` are stored, joined, materialized and read as any other."""

    def test_one_series_needs_no_key(self, strategy: RetrievalStrategy) -> None:
        strategy.ingest(_FEATURES, "load", pd.DataFrame({TIME: _DAYS, "y": [1.0, 2, 3, 4, 5, 6]}))
        sky = pd.DataFrame({TIME: _DAYS[::2], "temp": [0.1, 0.2, 0.3], "kind": ["a", "b", "c"]})
        strategy.ingest(_FEATURES, "sky", sky)
        strategy.ingest(_FEATURES, "load", pd.DataFrame({TIME: _DAYS[-1:], "y": [7.0]}))
        assert strategy.has_rows(_FEATURES), "has_rows of filled views without a key is False."
        shape = strategy.entities(_FEATURES).shape
        assert shape == (1, 0), f"the one series without a key is listed with the shape {shape}."
        rows = strategy.training_rows(_FEATURES, ["y", "temp", "kind"])
        actual = [tuple(row) for row in rows.drop(columns=TIME).to_numpy()]
        expected = [
            (1.0, 0.1, "a"),
            (2.0, 0.1, "a"),
            (3.0, 0.2, "b"),
            (4.0, 0.2, "b"),
            (5.0, 0.3, "c"),
            (7.0, 0.3, "c"),
        ]
        assert actual == expected, (
            f"training_rows of views without a key gives {actual}, not {expected}: a join or a "
            "replacement by no key at all matches nothing, or everything."
        )
        schema = _schema(min(3, strategy.max_context_length or 3))
        needs = Needs(schema.targets, schema.context_length, schema.frequency)
        strategy.materialize(_FEATURES, None, None, lambda _: None, needs=needs)
        online = asyncio.run(_ask(strategy, schema))
        expect_status(online, [OK], "context of the one series without a key")
        newest = online.past[0, -1].tolist()
        assert newest == [7.0, 0.3], f"the newest step of the one series is {newest}."
        assert online.static.tolist() == [["c"]], f"its category is {online.static.tolist()}."
        panel = stored_panel(strategy, _FEATURES, columns_of(schema), "refuse")
        offline = stored_context(panel, _FEATURES, schema, [()], None, None)
        same_bits(
            online.past,
            offline.past,
            "context of the one series, beside what run=predict reads,",
            "the server's store keeps other rows, or rounds",
        )


async def _ask(strategy: RetrievalStrategy, schema: Schema) -> Context:
    nobody: dict[str, Any] = {}
    context = await strategy.context(_FEATURES, schema, [nobody], None)
    await strategy.close()
    return context


def _schema(context_length: int) -> Schema:
    return Schema(
        name="one",
        entity_keys=(),
        frequency="D",
        targets=("y",),
        past=("y", "temp"),
        nullable=(),
        known=(),
        static=("kind",),
        horizon=2,
        context_length=context_length,
        quantiles=(),
    )
