"""The last 336 hourly steps of 7 numbers for 100 entities from the online store; SQLite and a real
Redis.

Raw is the barest read there can be: one blob of float64 for each entity, read in one call and
turned into an array. Ours ends with a checked context: steps matched by their times, gaps,
freshness, nulls, statuses. The sides take turns in short rounds; medians.

    python benchmarks/online_window.py
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import sqlite3
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from framework_feast.records.redis import parse_connection
from framework_feast.retrieval import FeastRetrieval
from online_read import Side, compare, options, stores
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.features.views import FeatureSet
from framework.serving.memory import keep_freed_memory

ENTITIES, STEPS, FEATURES = 100, 336, 7
COLUMNS = tuple(f"f{i}" for i in range(FEATURES))
VIEWS = FeatureSet.model_validate(
    {"primary": "v", "views": {"v": {"entity": ["shop"], "columns": COLUMNS, "ttl": "PT1H"}}}
)
SCHEMA = Schema(
    name="benchmark",
    entity_keys=("shop",),
    frequency="h",
    targets=COLUMNS[:1],
    past=COLUMNS,
    nullable=(),
    known=(),
    static=("shop",),
    horizon=24,
    context_length=STEPS,
    quantiles=(),
)
ASKED = [{"shop": f"shop-{i}"} for i in range(ENTITIES)]


def fill(root: Path, online: dict[str, Any]) -> np.ndarray:
    """More steps than the window keeps."""
    steps = STEPS + 50
    values = np.random.default_rng(0).normal(size=(ENTITIES, steps, FEATURES))
    rows = pd.DataFrame(values.reshape(-1, FEATURES), columns=list(COLUMNS))
    rows.insert(
        0, TIME, np.tile(pd.date_range("2024-01-01", periods=steps, freq="h", tz="UTC"), ENTITIES)
    )
    rows.insert(0, "shop", np.repeat([e["shop"] for e in ASKED], steps))
    strategy = FeastRetrieval(options(root, online, window=STEPS))
    strategy.ingest(VIEWS, "v", rows)
    strategy.materialize(VIEWS, None, None, lambda _: None)
    return values[:, -STEPS:]


async def raw(root: Path, online: dict[str, Any], values: np.ndarray) -> tuple[Side, Redis | None]:
    names, blobs = (
        [f"raw:{i}" for i in range(ENTITIES)],
        [np.ascontiguousarray(v).tobytes() for v in values],
    )

    def array(found: list[bytes]) -> np.ndarray:
        return np.frombuffer(b"".join(found)).reshape(ENTITIES, STEPS, FEATURES)

    if online["type"] == "redis":
        client = Redis(**parse_connection(online["connection_string"]))
        await client.mset(dict(zip(names, blobs, strict=True)))

        async def from_redis() -> np.ndarray:
            return array(await client.mget(names))

        return from_redis, client
    connection = sqlite3.connect(root / "raw.db")
    connection.execute("CREATE TABLE raw (name TEXT PRIMARY KEY, blob BLOB)")
    connection.executemany("INSERT INTO raw VALUES (?, ?)", zip(names, blobs, strict=True))
    connection.commit()
    query = f"SELECT name, blob FROM raw WHERE name IN ({', '.join('?' * ENTITIES)})"

    async def from_sqlite() -> np.ndarray:
        found = dict(connection.execute(query, names))
        return array([found[name] for name in names])

    return from_sqlite, None


async def measure(root: Path, online: dict[str, Any], values: np.ndarray) -> dict[str, list[float]]:
    ours = FeastRetrieval(options(root, online, window=STEPS))
    context = await ours.context(VIEWS, SCHEMA, ASKED, None)
    assert context.status == ["ok"] * ENTITIES
    assert (context.past == values).all()
    read, client = await raw(root, online, values)
    assert (await read() == values).all()
    found = await compare({"raw": read, "ours": lambda: ours.context(VIEWS, SCHEMA, ASKED, None)})
    await ours.close()
    if client is not None:
        await client.aclose()
    return found


def main() -> None:
    keep_freed_memory()  # as servers do
    table, summary = Table("store", "raw ms", "ours ms", "ours / raw"), []
    with tempfile.TemporaryDirectory() as name, stores(Path(name)) as kinds:
        for kind, online in kinds.items():
            with contextlib.redirect_stdout(io.StringIO()):
                values = fill(Path(name), online)
                found = asyncio.run(measure(Path(name), online, values))
            ratio = statistics.median(
                a / b for a, b in zip(found["ours"], found["raw"], strict=True)
            )
            ours = f"{statistics.median(found['ours']):.2f}"
            table.add_row(kind, f"{statistics.median(found['raw']):.2f}", ours, f"{ratio:.2f}")
            summary.append(f"{kind} {ours} ms, {ratio:.2f} x the raw read")
    Console(file=sys.stdout).print(table)
    print(f"{STEPS} steps x {FEATURES} features x {ENTITIES} entities: " + "; ".join(summary))


if __name__ == "__main__":
    main()
