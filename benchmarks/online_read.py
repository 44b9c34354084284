"""Online features of 100 entities x 50 numbers: the raw read of the store, ours, Feast's SDK;
SQLite and a real Redis.

Raw is the read alone: from SQLite, a table with a row for each entity and a column for each
feature, by ``WHERE key IN``, as an array; from Redis, the hashes that Feast wrote, by HMGET in one
pipeline, their values not even decoded. Ours and the SDK end with a checked context: freshness,
nulls, statuses. The sides take turns in short rounds; medians.

    python benchmarks/online_read.py
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from framework_feast import FeastOptions
from framework_feast.records.redis import parse_connection
from framework_feast.retrieval import FeastRetrieval
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.features.views import FeatureSet
from framework.testing.servers import redis

ENTITIES, FEATURES, ROUNDS, CALLS = 100, 50, 15, 10
COLUMNS = tuple(f"f{i}" for i in range(FEATURES))
VIEWS = FeatureSet.model_validate(
    {"primary": "v", "views": {"v": {"entity": ["shop"], "columns": COLUMNS, "ttl": "1d"}}}
)
SCHEMA = Schema(
    name="benchmark",
    entity_keys=("shop",),
    frequency="D",
    targets=COLUMNS[:1],
    past=COLUMNS,
    nullable=(),
    known=(),
    static=("shop",),
    horizon=1,
    context_length=1,
    quantiles=(),
)
ASKED = [{"shop": f"shop-{i}"} for i in range(ENTITIES)]
Side = Callable[[], Awaitable[Any]]


def options(root: Path, online: dict[str, Any], **more: Any) -> FeastOptions:
    store = {
        "project": "benchmark",
        "provider": "local",
        "registry": {"path": str(root / f"{online['type']}-registry.db")},
        "online_store": online,
        "offline_store": {"type": "duckdb"},
        "entity_key_serialization_version": 3,
        "materialization": {"pull_latest_features": True},
    }
    return FeastOptions(store=store, state=root / "offline", timeout=30, **more)


def fill(root: Path, online: dict[str, Any]) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(10 * ENTITIES, FEATURES))
    rows = pd.DataFrame(values, columns=list(COLUMNS))
    rows.insert(0, TIME, pd.Timestamp("2024-01-01", tz="UTC"))
    rows.insert(0, "shop", [f"shop-{i}" for i in range(len(rows))])
    strategy = FeastRetrieval(options(root, online))
    strategy.ingest(VIEWS, "v", rows)
    strategy.materialize(VIEWS, None, None, lambda _: None)
    return values[:ENTITIES]


def raw_sqlite(root: Path) -> Side:
    """A row for each entity, a column for each feature."""
    frame = pd.DataFrame(
        np.random.default_rng(0).normal(size=(10 * ENTITIES, FEATURES)), columns=list(COLUMNS)
    )
    connection = sqlite3.connect(root / "raw.db")
    connection.execute(
        f"CREATE TABLE raw (shop TEXT PRIMARY KEY, {', '.join(f'{c} REAL' for c in COLUMNS)})"
    )
    rows = [(f"shop-{i}", *row) for i, row in enumerate(frame.to_numpy().tolist())]
    connection.executemany(f"INSERT INTO raw VALUES ({', '.join('?' * (FEATURES + 1))})", rows)
    connection.commit()
    query = f"SELECT * FROM raw WHERE shop IN ({', '.join('?' * ENTITIES)})"

    async def read() -> Any:
        found = {row[0]: row[1:] for row in connection.execute(query, [e["shop"] for e in ASKED])}
        return np.array([found[e["shop"]] for e in ASKED])

    return read


async def raw_redis(online: dict[str, Any]) -> tuple[Side, Redis]:
    """Feast's own hashes: as many fields as there are features, and the time."""
    client = Redis(**parse_connection(online["connection_string"]))
    hashes = [key async for key in client.scan_iter("*") if await client.type(key) == b"hash"]
    hashes = [key for key in hashes if await client.hlen(key) == FEATURES + 1][:ENTITIES]
    fields = await client.hkeys(hashes[0])

    async def read() -> Any:
        async with client.pipeline(transaction=False) as pipe:
            for key in hashes:
                pipe.hmget(key, fields)
            return await pipe.execute()

    return read, client


async def compare(sides: dict[str, Side]) -> dict[str, list[float]]:
    """Milliseconds of one call, by round."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(ROUNDS + 1):
        for name, side in sides.items():
            calls = 2 if name == "sdk" else CALLS
            start = time.perf_counter()
            for _ in range(calls):
                await side()
            if number:  # the first round warms up
                seconds[name].append(1e3 * (time.perf_counter() - start) / calls)
    return seconds


async def measure(root: Path, online: dict[str, Any], values: np.ndarray) -> dict[str, list[float]]:
    ours, sdk = (FeastRetrieval(options(root, online, read=read)) for read in ("packed", "sdk"))
    client = None
    if online["type"] == "redis":
        raw, client = await raw_redis(online)
    else:
        raw = raw_sqlite(root)
    for strategy in (ours, sdk):
        context = await strategy.context(VIEWS, SCHEMA, ASKED, None)
        assert context.status == ["ok"] * ENTITIES
        assert (context.past[:, 0] == values).all()
    found = await compare(
        {
            "raw": raw,
            "ours": lambda: ours.context(VIEWS, SCHEMA, ASKED, None),
            "sdk": lambda: sdk.context(VIEWS, SCHEMA, ASKED, None),
        }
    )
    for closing in (ours, sdk):
        await closing.close()
    if client is not None:
        await client.aclose()
    return found


@contextlib.contextmanager
def stores(root: Path) -> Iterator[dict[str, dict[str, Any]]]:
    with redis.server() as running:
        yield {
            "sqlite": {"type": "sqlite", "path": str(root / "online.db")},
            "redis": {"type": "redis", "connection_string": running.place},
        }


def main() -> None:
    table = Table("store", "raw ms", "ours ms", "SDK ms", "ours / raw", "SDK / ours")
    summary = []
    with tempfile.TemporaryDirectory() as name, stores(Path(name)) as kinds:
        for kind, online in kinds.items():
            with contextlib.redirect_stdout(io.StringIO()):
                values = fill(Path(name), online)
                found = asyncio.run(measure(Path(name), online, values))
            ratio = statistics.median(
                a / b for a, b in zip(found["ours"], found["raw"], strict=True)
            )
            faster = statistics.median(
                a / b for a, b in zip(found["sdk"], found["ours"], strict=True)
            )
            raw, ours, sdk = (
                f"{statistics.median(found[side]):.2f}" for side in ("raw", "ours", "sdk")
            )
            table.add_row(kind, raw, ours, sdk, f"{ratio:.2f}", f"{faster:.0f}")
            summary.append(f"{kind} {ratio:.2f} x the raw read, {faster:.0f} x faster than the SDK")
    Console(file=sys.stdout).print(table)
    print(f"{ENTITIES} entities x {FEATURES} features: ours is " + "; ".join(summary))


if __name__ == "__main__":
    main()
