"""The HTTP application: the same routes, limits and errors for every backend.

The three routes that forecast are plain ASGI endpoints: FastAPI's own dependency solving and models would take longer than the
forecast. Their validation is compiled from the pair's schema, and so is the OpenAPI document.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from framework.golden import Golden
from framework.interfaces.values import Forecast, PairVersion
from framework.serving.asgi import CountRequests, Gate, JsonRoute
from framework.serving.limits import Limits
from framework.serving.openapi import describe
from framework.serving.payload import Entities
from framework.serving.pipeline import INLINE_WINDOWS, Pipeline
from framework.serving.refusal import Refusal
from framework.serving.render import Renderer


class Readiness:
    """Why the server is not ready, None when it is. A backend that loads later sets it."""

    def __init__(self) -> None:
        self.reason: str | None = "starting"


def create_app(pipeline: Pipeline, version: PairVersion, alias: str | None, golden: Golden, limits: Limits) -> FastAPI:
    """The application. ``app.state.readiness`` becomes ready with the lifespan's startup."""
    schema = pipeline.pair.schema
    readiness, gate = Readiness(), Gate(limits.max_in_flight)
    pipeline.metrics.watch_in_flight(lambda: gate.count)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        readiness.reason = None
        yield
        readiness.reason = "stopping"
        await pipeline.close()

    app = FastAPI(title=f"Forecasts of '{version.name}'", version=str(version.version), lifespan=lifespan)
    app.state.readiness = readiness
    answers = _Answers(pipeline, Renderer(version, alias, schema.entity_keys), Entities(schema, limits.max_rows))
    for path, handler in (
        ("/predict", answers.payload),
        ("/predict/feast", answers.one),
        ("/predict/feast/batch", answers.many),
    ):
        app.router.routes.append(Route(path, JsonRoute(handler, gate, limits.max_body_bytes), methods=["POST"]))
    _add_status_routes(app, pipeline, version, alias, readiness)
    _add_errors(app)
    document = describe(schema, version, golden)
    app.openapi = lambda: document  # type: ignore[method-assign]
    paths = {route.path for route in app.router.routes if isinstance(route, Route)}
    app.add_middleware(CountRequests, metrics=pipeline.metrics, routes=frozenset(paths))
    return app


class _Answers:
    """The three routes that forecast, from body to body."""

    def __init__(self, pipeline: Pipeline, render: Renderer, entities: Entities) -> None:
        self._pipeline, self._render, self._entities = pipeline, render, entities

    async def payload(self, body: bytes) -> bytes:
        return await self._rendered(await self._pipeline.from_payload(body))

    async def one(self, body: bytes) -> bytes:
        return await self._rendered(await self._pipeline.from_entities(self._entities.one(body)))

    async def many(self, body: bytes) -> bytes:
        return await self._rendered(await self._pipeline.from_entities(self._entities.many(body)))

    async def _rendered(self, forecast: Forecast) -> bytes:
        if len(forecast.status) > INLINE_WINDOWS:
            return await asyncio.to_thread(self._render, forecast)
        return self._render(forecast)


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


def _add_status_routes(app: FastAPI, pipeline: Pipeline, version: PairVersion, alias: str | None, readiness: Readiness) -> None:
    schema = pipeline.pair.schema
    pair = {
        **version.stamp(alias),
        "run_id": version.run_id,
        "pair_id": version.pair_id,
        "created": version.created,
        "horizon": schema.horizon,
        "quantiles": schema.quantiles,
        "schema": schema.model_dump(mode="json"),
    }

    async def live(_: Request) -> Response:
        return _json({"status": "live"})

    async def ready(_: Request) -> Response:
        if readiness.reason is not None:
            return _json(Refusal(503, f"not ready: {readiness.reason}").body(), 503, {"retry-after": "1"})
        return _json({"status": "ready", "pair": version.stamp(alias)})

    async def show_pair(_: Request) -> Response:
        return _json(pair)

    async def metrics(_: Request) -> Response:
        return Response(pipeline.metrics.render(), headers={"content-type": pipeline.metrics.content_type})

    for path, endpoint in (("/health/live", live), ("/health/ready", ready), ("/pair", show_pair), ("/metrics", metrics)):
        app.router.routes.append(Route(path, endpoint, methods=["GET"]))


def _add_errors(app: FastAPI) -> None:
    """Every error in the one shape; what is a defect of ours says no more than that."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        messages = {
            404: f"there is no {request.url.path}; GET /docs lists what there is",
            405: f"{request.method} is not allowed on {request.url.path}",
        }
        message = messages.get(error.status_code, str(error.detail))
        return _json(Refusal(error.status_code, message).body(), error.status_code, dict(error.headers or {}))

    async def failed(_: Request, __: Exception) -> Response:
        return _json(Refusal(500, "an error of the server's; its log has the cause").body(), 500)

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, failed)
