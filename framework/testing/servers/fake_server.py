"""A server of fakes, in a process of its own or in this one: what the contracts of :mod:`.backend`
and :mod:`.live` ask.

``python -m framework.testing.servers.fake_server BACKEND OPTIONS FOLDER store|none`` is such a
process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import IO, Any

import httpx
import numpy as np

from framework.data.forecast import Forecast
from framework.data.vocabulary import TIME
from framework.features.views import FeatureSet, View
from framework.options import Options
from framework.pairs.golden import Golden
from framework.pairs.pair import Pair
from framework.plugins.discovery import load_plugins
from framework.serving.app.examples import example_payload
from framework.serving.deployment import Deployment
from framework.serving.http.metrics import Metrics
from framework.serving.options import BatchOptions
from framework.serving.pipeline.pipeline import Pipeline
from framework.serving.pipeline.validation import Lookup
from framework.testing import fakes
from framework.testing.folder_registry import FolderRegistry, make_version

#: What ``production`` means in :func:`make_deployment`.
VERSION = make_version(3)
ENTITY = {"airport": "JFK", "carrier": "DL"}


def make_features() -> FeatureSet:
    """One view that holds what :func:`framework.testing.fakes.make_schema` names."""
    columns = ("departures", "delay", "temp", "wind gust", "season")
    view = View(
        entity=("airport", "carrier"),
        columns=columns,
        categories=("season",),
        ttl=timedelta(days=3),
    )
    return FeatureSet(primary="daily", views={"daily": view})


class FakeParts:
    """The components of a deployment of fakes: pairs and aliases in a folder, the fake feature
    store or none. Can be pickled when its plugins can.

    Args:
        directory: where the pairs and the state are.
        store: whether there is a feature store.
        extra: plugins beside the installed ones and the fakes.
        ledger: the ledger's node; without a ``name`` it is ``files``; None for no ledger.
    """

    def __init__(
        self,
        directory: Path,
        *,
        store: bool = True,
        extra: Sequence[object] = (),
        ledger: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory, self.store, self.extra = directory, store, extra
        self.ledger: dict[str, Any] = {"share": 0} if ledger is None else dict(ledger)
        self.plugins = load_plugins(extra=[fakes, *extra])

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(
            FakeParts, self.directory, store=self.store, extra=self.extra, ledger=self.ledger
        ), ()

    def make(self, group: str) -> Any:
        if group == "registry":
            return FolderRegistry(self.directory)
        if group == "ledger":
            name = self.ledger.get("name", "files")
            values = {key: value for key, value in self.ledger.items() if key != "name"}
            options = self.plugins.find("ledger", name).options.model_validate(values)
            return self.plugins.load("ledger", name)(options)
        return (fakes.FakeRetrieval if self.store else _NoStore)(Options())


class _NoStore(fakes.FakeRetrieval):
    max_context_length = 0


def make_deployment(
    directory: Path,
    *,
    store: bool = True,
    extra: Sequence[object] = (),
    ledger: Mapping[str, Any] | None = None,
) -> Deployment:
    """Version 3 of the pair of fakes in a folder, under ``production``; a folder that has pairs
    already is taken as it is. ``extra``: plugins beside the installed ones and the fakes.
    ``ledger``: the ledger's node; without a ``name`` it is ``files``; None for no ledger.
    """
    registry = FolderRegistry(directory)
    if not registry.has("production"):
        registry.add(3)
        registry.point("production", 3)
    return Deployment(
        FakeParts(directory, store=store, extra=extra, ledger=ledger),
        "fake",
        "production",
        make_features(),
        "fake",
        directory / "state",
    )


def make_pipeline(
    pair: Pair, *, store: bool = True, max_rows: int = 2000, size: int | None = None
) -> Pipeline:
    """The pipeline of a pair in this process, with the fake feature store or none."""
    strategy = fakes.FakeRetrieval(Options()) if store else None
    metrics = Metrics().of_arm("production", VERSION)
    return Pipeline(
        pair,
        make_features(),
        strategy,
        metrics,
        max_rows,
        ThreadPoolExecutor(2),
        BatchOptions(size=size),
    )


async def answer_payload(pipeline: Pipeline, body: bytes) -> Forecast:
    """All stages for ``POST /predict``."""
    return await pipeline.answer(await pipeline.read_payload(body))


async def answer_entities(pipeline: Pipeline, lookup: Lookup) -> Forecast:
    """All stages for ``POST /predict/feast`` and its batch."""
    return await pipeline.answer(await pipeline.read_entities(lookup))


def serve_fakes(arguments: list[str]) -> None:
    """A server process: backend, its options as JSON, a directory, ``store`` or ``none``, the
    ledger's node as JSON (``null`` where it is left out). Prints its URL when it is ready.
    """
    backend, options, directory, store, ledger = [*arguments, "null"][:5]
    plugins = load_plugins(extra=[fakes])
    server = plugins.load("serving", backend)(
        plugins.find("serving", backend).options.model_validate_json(options)
    )
    server.serve(
        make_deployment(Path(directory), store=store == "store", ledger=json.loads(ledger)),
        lambda url, _: print(url, flush=True),
    )


@contextmanager
def server_process(
    backend: str,
    options: dict[str, Any],
    directory: Path,
    store: str = "store",
    stderr: IO[str] | None = None,
    ledger: Mapping[str, Any] | None = None,
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that serves, and its URL; killed at the end if it still runs."""
    command = [sys.executable, "-m", __name__, backend, json.dumps(options), str(directory), store]
    command.append(json.dumps(ledger))
    process = subprocess.Popen(  # noqa: S603
        command,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http"), (
            f"the server ended with {process.wait(10)} before it was ready"
        )
        yield process, url
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@dataclass(frozen=True)
class Client:
    """``values`` of an answer: ``[n, H, T, 1 + Q]`` float64 as they were sent."""

    http: httpx.Client
    golden: Golden

    @staticmethod
    def values(answer: httpx.Response) -> Any:
        assert answer.status_code == 200, answer.text
        forecasts = answer.json()["forecasts"]
        lines = [
            [[t["mean"], *t["quantiles"].values()] for t in f["targets"].values()]
            for f in forecasts
        ]
        return np.array(lines).transpose(0, 3, 1, 2)

    def golden_rows(self) -> list[dict[str, Any]]:
        schema = fakes.make_schema()
        return [
            example_payload(schema, self.golden, i)["rows"][0]
            for i in range(len(self.golden.context))
        ]

    def post_rows(self, rows: list[dict[str, Any]]) -> httpx.Response:
        return self.http.post("/predict", json={"rows": rows})


def make_row(**changed: Any) -> dict[str, Any]:
    row = {
        "airport": "JFK",
        "carrier": "DL",
        "season": "spring",
        TIME: "2024-03-01",
        "departures": 9,
        "delay": 3.5,
        "temp": 20,
        "wind gust": None,
    }
    return {k: v for k, v in {**row, **changed}.items() if v != "left out"}


@contextmanager
def slow_request(url: str) -> Iterator[list[httpx.Response]]:
    """A request of 300 rows that takes half a second and is being answered inside the block; its
    answer is there after it.
    """
    answers: list[httpx.Response] = []
    body = {"rows": [make_row(season=fakes.SLOW)] * 300}
    thread = threading.Thread(
        target=lambda: answers.append(httpx.post(f"{url}/predict", json=body, timeout=30))
    )
    thread.start()
    for _ in range(200):
        if "framework_requests_in_flight 1" in httpx.get(f"{url}/metrics", timeout=30).text:
            break
    yield answers
    thread.join()


if __name__ == "__main__":
    serve_fakes(sys.argv[1:])
