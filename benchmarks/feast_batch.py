"""``POST /predict/feast/batch`` of 100 entities x 50 numbers over HTTP, beside the raw read of the
store plus the call of the model; SQLite and a real Redis.

raw      what online_read.py reads: the values alone, in the order of the entities
model    the pair's own transform and forecast of the 100 windows, 50 rounds of XGBoost, one step
request  one client of the server: the read with its checks, the forecast, JSON, HTTP

    python benchmarks/feast_batch.py

The sides take turns in short rounds; medians.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import multiprocessing
import statistics
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bare import VERSION
from framework_feast.retrieval import FeastRetrieval
from online_read import ASKED, COLUMNS, SCHEMA, VIEWS, compare, fill, options, raw_redis, raw_sqlite
from online_read import stores as online_stores
from rich.console import Console
from rich.table import Table
from serving_pair import no_ledger

from framework.data.frequency import Frequency
from framework.data.panel_rows import panel_from_rows
from framework.data.vocabulary import TIME
from framework.interfaces.registry import PairVersion, ProvenPair
from framework.pairs.artifacts import Evidence, write_pair
from framework.pairs.fit import fit_pair
from framework.pairs.golden import Golden
from framework.pairs.pair import Pair
from framework.plugins.discovery import load_plugins
from framework.serving.deployment import Deployment


def train(directory: Path) -> Pair:
    """Fit and write a pair of the columns in the store."""
    plugins, days, series = load_plugins(), 60, 20
    rows = pd.DataFrame(
        np.random.default_rng(1).normal(size=(days * series, len(COLUMNS))), columns=list(COLUMNS)
    )
    times = pd.date_range("2023-11-03", periods=days, freq="D", tz="UTC")
    rows.insert(0, TIME, np.tile(times, series))
    rows.insert(0, "shop", np.repeat([f"shop-{i}" for i in range(series)], days))
    panel = panel_from_rows(
        rows,
        entity_keys=("shop",),
        past=COLUMNS,
        known=(),
        categories=(),
        frequency=Frequency.parse("D"),
        gaps="refuse",
    )

    def make(kind: Any, name: str, chosen: dict[str, Any]) -> Any:
        return plugins.load(kind, name)(plugins.find(kind, name).options.model_validate(chosen))

    booster = make("model", "xgboost", {"n_estimators": 50, "n_jobs": 1})
    pair = fit_pair(panel, SCHEMA, make("preprocessor", "native", {}), booster, 0, SCHEMA.horizon)
    context = panel.context(SCHEMA, panel.entities[:4], None)
    golden = Golden(context, pair.forecast(context).values, 1e-5)
    parts = {"preprocessor": "native", "model": "xgboost"}
    write_pair(directory, pair, parts, Evidence(golden, pd.DataFrame({"none": [0]}), {}))
    return pair


class StoreAndPair:
    """The parts of a deployment: the pair in a folder, the feature store."""

    max_context_length = 1

    def __init__(self, root: Path, pair: Path, online: dict[str, Any]) -> None:
        self._root, self._online, self.plugins = root, online, load_plugins()
        self._proven = ProvenPair(VERSION, pair / "preprocessor", pair / "model", "")

    def make(self, group: str) -> Any:
        if group == "retrieval":
            return FeastRetrieval(options(self._root, self._online))
        return no_ledger() if group == "ledger" else self

    def resolve(self, name: str, reference: str) -> PairVersion:
        return self._proven.version

    def fetch(self, version: PairVersion) -> ProvenPair:
        return self._proven


def serve(root: Path, pair: Path, online: dict[str, Any], ready: Connection) -> None:
    parts = StoreAndPair(root, pair, online)
    chosen = parts.plugins.find("serving", "fastapi").options.model_validate({"port": 0})
    deployment = Deployment(parts, "benchmark", "production", VIEWS, "feast", root / "state")
    backend = parts.plugins.load("serving", "fastapi")(chosen)
    backend.serve(deployment, lambda url, _: ready.send(url))


async def measure(
    root: Path, online: dict[str, Any], pair: Pair, url: str
) -> dict[str, list[float]]:
    strategy = FeastRetrieval(options(root, online))
    context = await strategy.context(VIEWS, SCHEMA, ASKED, None)
    client = None
    if online["type"] == "redis":
        raw, client = await raw_redis(online)
    else:
        raw = raw_sqlite(root)
    body = json.dumps({"entities": ASKED}).encode()
    headers = {"content-type": "application/json"}

    async def model() -> Any:
        return pair.predict(pair.windows(context))

    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)

    async def request() -> Any:
        connection.request("POST", "/predict/feast/batch", body, headers)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read()

    forecasts = json.loads(await request())["forecasts"]
    assert [one["status"] for one in forecasts] == ["ok"] * len(ASKED)
    figures = await compare({"raw": raw, "model": model, "request": request})
    connection.close()
    await strategy.close()
    if client is not None:
        await client.aclose()
    return figures


def main() -> None:
    table, summary = Table("store", "raw ms", "model ms", "request ms", "request / both"), []
    with tempfile.TemporaryDirectory() as name, online_stores(Path(name)) as kinds:
        root = Path(name)
        pair = train(root / "pair")
        for kind, online in kinds.items():
            with contextlib.redirect_stdout(io.StringIO()):
                fill(root, online)
            receiving, sending = multiprocessing.Pipe(duplex=False)
            server = multiprocessing.get_context("spawn").Process(
                target=serve, args=(root, root / "pair", online, sending)
            )
            server.start()
            try:
                if not receiving.poll(120):
                    sys.exit("the server did not start")
                figures = asyncio.run(measure(root, online, pair, receiving.recv()))
            finally:
                server.terminate()
                server.join()
            ratio = statistics.median(
                request / (raw + model)
                for raw, model, request in zip(*figures.values(), strict=True)
            )
            middle = [f"{statistics.median(values):.2f}" for values in figures.values()]
            table.add_row(kind, *middle, f"{ratio:.2f}")
            summary.append(f"{kind} {middle[-1]} ms, {ratio:.2f} x the raw read and the model")
    Console(file=sys.stdout).print(table)
    print("100 entities x 50 features, one request: " + "; ".join(summary))


if __name__ == "__main__":
    main()
