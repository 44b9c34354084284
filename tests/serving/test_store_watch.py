"""The readiness of a server whose feature store has no entities, at the start and later."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from framework.errors import DataError
from framework.features.views import FeatureSet
from framework.options import Options
from framework.serving.app.app import create_app
from framework.serving.options import ServingOptions
from framework.serving.pipeline import store_watch
from framework.serving.pipeline.store_watch import STORE, store_trouble
from framework.serving.service import Service
from framework.testing import fakes
from framework.testing.servers.fake_server import make_deployment, make_features


class Store(fakes.FakeRetrieval):
    """``filled``: whether it has entities, or what it raises."""

    filled: bool | Exception = True

    async def has_entities(self, features: FeatureSet) -> bool:
        if isinstance(self.filled, Exception):
            raise self.filled
        return self.filled


@pytest.mark.parametrize(
    ("filled", "trouble"),
    [
        (True, None),
        (False, "the feature store has no entity of view 'daily'; run=materialize."),
        (DataError("redis does not answer"), "redis does not answer"),
        (
            ValueError("a defect"),
            "the feature store could not be asked whether it has entities: a defect",
        ),
    ],
)
def test_what_is_said_of_a_store(filled: bool | Exception, trouble: str | None) -> None:
    store = Store(Options())
    store.filled = filled
    assert asyncio.run(store_trouble(store, make_features())) == trouble
    assert asyncio.run(store_trouble(None, make_features())) is None


def test_a_strategy_that_says_nothing_has_entities_when_it_has_rows() -> None:
    assert asyncio.run(fakes.FakeRetrieval(Options()).has_entities(make_features()))


def test_a_server_says_so_from_its_start_until_the_store_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_watch, "PERIOD", 0.01)
    deployment, store = make_deployment(tmp_path), Store(Options())
    deployment.__dict__["strategy"] = store
    store.filled = False

    async def readiness(client: httpx.AsyncClient, status: str) -> dict[str, Any]:
        for _ in range(500):
            answer = await client.get("/health/ready")
            assert answer.status_code == 200
            if answer.json()["status"] == status:
                break
            await asyncio.sleep(0.01)
        body: dict[str, Any] = answer.json()
        assert body["status"] == status
        return body

    async def ask() -> None:
        app: Any = create_app(Service(deployment, ServingOptions()))
        received, sent = asyncio.Queue[dict[str, str]](), asyncio.Queue[dict[str, str]]()
        await received.put({"type": "lifespan.startup"})
        running = asyncio.create_task(app({"type": "lifespan"}, received.get, sent.put))
        assert (await sent.get())["type"] == "lifespan.startup.complete"
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost"
        ) as client:
            first = (await client.get("/health/ready")).json()
            assert (first["status"], list(first["reasons"])) == ("degraded", [STORE])
            assert (
                'framework_degraded{arm="feature_store"} 1.0' in (await client.get("/metrics")).text
            )
            assert (await client.get("/console/traffic")).json()["degraded"] == first["reasons"]
            store.filled = True
            assert "reasons" not in await readiness(client, "ready")
            store.filled = False
            assert "run=materialize" in (await readiness(client, "degraded"))["reasons"][STORE]
        await received.put({"type": "lifespan.shutdown"})
        await running

    asyncio.run(ask())
