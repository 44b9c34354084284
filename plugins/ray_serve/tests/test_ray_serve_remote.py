"""The pipeline over services, with the services in this process: large requests in pieces, and what
overlaps.
"""

from __future__ import annotations

import asyncio
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import pytest
from framework_ray_serve.proxy import middlewares
from framework_ray_serve.stages.large_requests import StartedContext
from framework_ray_serve.stages.messages import Facts, Predicted
from framework_ray_serve.stages.remote import RemotePipeline, Stages
from framework_ray_serve.stages.services import contiguous

from framework.data.context import Context
from framework.interfaces.registry import PairVersion
from framework.serving.http.metrics import Metrics
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.parts import attempt
from framework.serving.pipeline.pipeline import look_up
from framework.serving.pipeline.validation import Lookup
from framework.testing import fakes
from framework.testing.servers.fake_server import VERSION, make_features, make_pipeline

PAIR, GOLDEN = fakes.make_pair()
NAMES = ["JFK", "nowhere", "old", "EWR", "holed", "LGA", "young", "BOS"]


class LocalStages:
    """Stages that work in this process. ``gate``: reading the last piece waits for the first
    piece's forecast.
    """

    def __init__(self, chunk: int, *, gated: bool = False, down: str = "") -> None:
        self.chunk, self._down = chunk, down
        self.gate, self.cancelled = asyncio.Event(), 0
        if not gated:
            self.gate.set()
        self._store = fakes.FakeRetrieval(fakes.Options())

    async def retrieve(self, version: PairVersion, lookup: Lookup) -> tuple[Context, float]:
        if lookup.entities[0]["airport"] == self._down:
            raise Refusal(503, "FeastService is not available", retry_after=5)
        if lookup.entities[-1]["airport"] == NAMES[-1]:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return await look_up(self._store, make_features(), PAIR.schema, lookup), 0.0

    async def forecast(self, model: str, version: PairVersion, context: Context) -> Predicted:
        values, failed = attempt(
            context, PAIR.schema, lambda part: PAIR.predict(PAIR.windows(part))
        )
        self.gate.set()
        return Predicted(values, {"predict": 0.5}, failed)


def make_remote(stages: LocalStages) -> RemotePipeline:
    metrics = Metrics().of_arm("production", VERSION)
    facts = Facts(PAIR.schema, None, None, GOLDEN, "cpu")
    return RemotePipeline(
        "model", VERSION, facts, cast(Stages, stages), metrics, 2000, ThreadPoolExecutor(1)
    )


def make_lookup(**more: Any) -> Lookup:
    return Lookup([{"airport": name, "carrier": "DL"} for name in NAMES], None, **more)


@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_a_look_up_in_pieces_is_the_same_as_in_one(chunk: int) -> None:
    async def run() -> None:
        remote, local = make_remote(LocalStages(chunk)), make_pipeline(PAIR)
        lookup = make_lookup(horizon=2)
        context = await remote.read_entities(lookup)
        assert isinstance(context, StartedContext)
        found, expected = (
            await remote.answer(context),
            await local.answer(await local.read_entities(lookup)),
        )
        assert np.array_equal(found.values, expected.values, equal_nan=True)
        assert (found.status, found.detail) == (expected.status, expected.detail)
        assert found.entities.tolist() == expected.entities.tolist()
        part = context.take(np.array([5, 0]))
        assert not isinstance(part, StartedContext)
        assert np.array_equal((await remote.answer(part)).values, expected.values[[5, 0]])

    asyncio.run(run())


def test_a_piece_is_forecast_while_the_next_is_being_read() -> None:
    async def run() -> None:
        remote = make_remote(LocalStages(4, gated=True))
        async with asyncio.timeout(30):  # one after the other would wait for ever
            await remote.answer(await remote.read_entities(make_lookup()))

    asyncio.run(run())


def test_a_piece_that_cannot_be_read_ends_the_others() -> None:
    async def run() -> None:
        stages = LocalStages(1, gated=True, down="nowhere")
        with pytest.raises(Refusal, match="not available"):
            await make_remote(stages).read_entities(
                Lookup([{"airport": n, "carrier": "DL"} for n in (NAMES[-1], "nowhere")], None)
            )
        await asyncio.sleep(0)
        assert stages.cancelled == 1

    asyncio.run(run())


def test_arrays_travel_as_raw_buffers() -> None:
    context = fakes.make_context(
        PAIR.schema,
        np.array([["JFK", "DL", "x"]] * 2000, dtype=object),
        np.datetime64("2024-03-01", "us"),
        1,
    )
    windows = contiguous(PAIR.windows(context))
    arrays = [[context.past], [windows.target_past, windows.past, windows.future, windows.static]]
    for sent, numbers in zip((context, windows), arrays, strict=True):
        buffers: list[pickle.PickleBuffer] = []
        pickle.dumps(sent, protocol=5, buffer_callback=buffers.append)
        assert sum(buffer.raw().nbytes for buffer in buffers) >= sum(
            array.nbytes for array in numbers
        )


@pytest.mark.parametrize(
    ("given", "expected"), [(None, (503, b"1")), (503, (503, b"1")), (200, (200, None))]
)
def test_the_proxy_says_503_with_retry_after_where_a_replica_is_gone(
    given: int | None, expected: tuple[int, bytes | None]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if given is not None:
            await send({"type": "http.response.start", "status": given, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    (middleware,) = middlewares()
    asyncio.run(middleware.cls(app)({"type": "http"}, None, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert (sent[0]["status"], dict(sent[0]["headers"]).get(b"retry-after")) == expected
