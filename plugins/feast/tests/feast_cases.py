"""What the tests of the online half share: two views, rows, and every kind of online store that is
read without Feast.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from framework_feast import FeastOptions
from framework_feast.retrieval import FeastRetrieval

from framework.data.context import Context
from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.features.views import FeatureSet

FEATURES = FeatureSet.model_validate(
    {
        "primary": "sales",
        "views": {
            "sales": {
                "entity": ["shop", "item"],
                "columns": ["y", "price", "kind"],
                "categories": ["kind"],
                "ttl": "1d",
            },
            "weather": {
                "entity": ["shop"],
                "columns": ["temp", "wind", "sky"],
                "categories": ["sky"],
                "ttl": "2d",
            },
        },
    }
)
FIRST = pd.Timestamp("2024-03-01", tz="UTC")
STORES = ("sqlite", "redis", "postgres")


def schema(context_length: int = 1, **changes: Any) -> Schema:
    given: dict[str, Any] = {
        "name": "cases",
        "entity_keys": ("shop", "item"),
        "frequency": "D",
        "targets": ("y",),
        "past": ("y", "price", "temp", "wind"),
        "nullable": ("y", "price", "temp", "wind", "kind", "sky"),
        "known": (),
        "static": ("shop", "item", "kind", "sky"),
        "horizon": 2,
        "context_length": context_length,
        "quantiles": (),
    }
    return Schema(**{**given, **changes})


def rows(shops: int, days: int, seed: int = 3, *, gaps: bool = True) -> dict[str, pd.DataFrame]:
    """Daily sales of two items a shop, and its weather, both with nulls; ``gaps``: some days are
    left out, weather is at odd hours.
    """
    rng = np.random.default_rng(seed)
    sales, weather = [], []
    for shop in range(shops):
        for item in ("x", "y ü"):
            there = np.flatnonzero(rng.random(days - shop % 3) < (0.9 if gaps else 2.0))
            price = np.where(rng.random(len(there)) < 0.1, np.nan, rng.normal(size=len(there)))
            times = FIRST + pd.to_timedelta(there, unit="D")
            kind = [None if d % 7 == 0 else f"k{d % 3}" for d in there]
            sales.append(
                pd.DataFrame(
                    {
                        "shop": f"s{shop}",
                        "item": item,
                        TIME: times,
                        "y": rng.normal(size=len(there)),
                        "price": price,
                        "kind": kind,
                    }
                )
            )
        hours = (
            np.sort(rng.choice(24 * days, days // 2, replace=False))
            if gaps
            else 24 * np.arange(days - shop % 3)
        )
        values = {
            "temp": rng.normal(size=len(hours)),
            "wind": np.where(rng.random(len(hours)) < 0.2, np.nan, 1.0),
            "sky": "grey",
        }
        weather.append(
            pd.DataFrame(
                {"shop": f"s{shop}", TIME: FIRST + pd.to_timedelta(hours, unit="h"), **values}
            )
        )
    return {
        "sales": pd.concat(sales, ignore_index=True),
        "weather": pd.concat(weather, ignore_index=True),
    }


def online(kind: str, place: str, root: Path) -> dict[str, Any]:
    """``online_store`` of a feature_store.yaml."""
    if kind == "redis":
        return {"type": "redis", "connection_string": place}
    if kind == "postgres":
        address, _, database = place.partition("/")
        host, _, port = address.partition(":")
        given = {
            "type": "postgres",
            "host": host,
            "port": int(port),
            "database": database,
            "sslmode": "disable",
        }
        return {**given, "user": "tests", "password": "tests"}
    if kind == "dynamodb":
        return {"type": "dynamodb", "region": "us-east-1", "endpoint_url": place}
    return {"type": "sqlite", "path": str(root / "feast" / "online.db")}


def options(root: Path, kind: str = "sqlite", place: str = "", **changes: Any) -> FeastOptions:
    store = {
        "project": f"t{crc32(str(root).encode())}",  # tests share a server, not a project
        "provider": "local",
        "registry": {
            "path": str(root / "feast" / "registry.db"),
            "serve_features_while_materializing": True,
        },
        "online_store": online(kind, place, root),
        "offline_store": {"type": "duckdb"},
        "entity_key_serialization_version": 3,
        "materialization": {"pull_latest_features": True},
    }
    return FeastOptions(store=store, state=root / "offline", **{"timeout": 30, **changes})


def ingest(strategy: FeastRetrieval, tables: dict[str, pd.DataFrame]) -> None:
    for name, table in tables.items():
        strategy.ingest(FEATURES, name, table)


def ask(
    strategy: Any,
    entities: list[dict[str, str]],
    length: int = 1,
    at: datetime | None = None,
    features: FeatureSet = FEATURES,
) -> Context:
    async def once() -> Context:
        context = await strategy.context(features, schema(length), entities, at)
        await strategy.close()
        return context

    return asyncio.run(once())


def everyone(tables: dict[str, pd.DataFrame]) -> list[dict[str, str]]:
    """Each series there is, and one that there is not."""
    found = tables["sales"][["shop", "item"]].drop_duplicates().to_dict("records")
    return [*found, {"shop": "nowhere", "item": "x"}]


def same(one: Context, other: Context) -> None:
    """Every value, bit for bit but for which NaN; only windows that are ``ok`` have any."""
    assert one.status == other.status
    ok = np.array([s == "ok" for s in one.status])
    assert ok.any()
    np.testing.assert_array_equal(one.origins[ok], other.origins[ok])
    np.testing.assert_array_equal(one.past[ok], other.past[ok])
    assert one.static[ok].tolist() == other.static[ok].tolist()


DAY = timedelta(days=1)
