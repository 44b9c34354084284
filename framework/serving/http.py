"""The HTTP application: the same routes, limits and errors for every backend.

The three routes that forecast are answered before FastAPI: its own dependency solving and models would take longer than the
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

from framework.interfaces.values import Context, Forecast
from framework.serving.arms import Arm, Arms
from framework.serving.asgi import Answer, App, Call, Door, Gate, JsonRoute, refused
from framework.serving.openapi import describe
from framework.serving.payload import Lookup
from framework.serving.pipeline import INLINE_WINDOWS
from framework.serving.refusal import Refusal
from framework.serving.service import Service


class Readiness:
    """Why the server is not ready, None when it is."""

    def __init__(self) -> None:
        self.reason: str | None = "starting"


def create_app(service: Service) -> App:
    """The ASGI application of a service: ready when its startup is complete, closed with its shutdown."""
    readiness, gate = Readiness(), Gate(service.options.max_in_flight, service.metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        readiness.reason = None
        yield
        readiness.reason = "stopping"
        await service.close()

    app = FastAPI(title=f"Forecasts of '{service.deployment.name}'", lifespan=lifespan)
    _add_status_routes(app, service, readiness)
    _add_errors(app)
    app.openapi = lambda: _document(service.arms.table.primary)  # type: ignore[method-assign]
    answers = _Answers(service.arms)
    handlers = {"/predict": answers.payload, "/predict/feast": answers.one, "/predict/feast/batch": answers.many}
    routes = {path: JsonRoute(handler, gate, service.options) for path, handler in handlers.items()}
    known = frozenset(route.path for route in app.router.routes if isinstance(route, Route))
    return Door(app, routes, known, service.metrics)


class _Answers:
    """The three routes that forecast, from body to body. A request takes its arm at the start and keeps it."""

    def __init__(self, arms: Arms) -> None:
        self._arms = arms

    async def payload(self, body: bytes, call: Call) -> Answer:
        arm = self._arms.table.primary
        return await self._answered(arm, await arm.pipeline.read_payload(body))

    async def one(self, body: bytes, call: Call) -> Answer:
        arm = self._arms.table.primary
        return await self._looked_up(arm, arm.entities.one(body))

    async def many(self, body: bytes, call: Call) -> Answer:
        arm = self._arms.table.primary
        return await self._looked_up(arm, arm.entities.many(body))

    async def _looked_up(self, arm: Arm, lookup: Lookup) -> Answer:
        return await self._answered(arm, await arm.pipeline.read_entities(lookup))

    async def _answered(self, arm: Arm, context: Context) -> Answer:
        forecast = await arm.pipeline.answer(context)
        return Answer(await rendered(arm, forecast), arm.name, arm.version.version)


async def rendered(arm: Arm, forecast: Forecast) -> bytes:
    """Large answers in a thread, so that the event loop stays free."""
    if len(forecast.status) > INLINE_WINDOWS:
        return await asyncio.to_thread(arm.render, forecast)
    return arm.render(forecast)


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


def _document(arm: Arm) -> dict[str, Any]:
    return describe(arm.schema, arm.version, arm.golden)


def _shown(arm: Arm) -> dict[str, Any]:
    version, schema = arm.version, arm.schema
    return {
        **arm.stamp,
        "run_id": version.run_id,
        "pair_id": version.pair_id,
        "created": version.created,
        "horizon": schema.horizon,
        "quantiles": schema.quantiles,
        "schema": schema.model_dump(mode="json"),
    }


def _add_status_routes(app: FastAPI, service: Service, readiness: Readiness) -> None:
    async def live(_: Request) -> Response:
        return _json({"status": "live"})

    async def ready(_: Request) -> Response:
        if readiness.reason is not None:
            return _json(Refusal(503, f"not ready: {readiness.reason}").body(), 503, {"retry-after": "1"})
        troubles = service.follower.troubles
        body: dict[str, Any] = {"status": "degraded" if troubles else "ready", "pair": service.arms.table.primary.stamp}
        return _json({**body, "reasons": troubles} if troubles else body)

    async def show_pair(_: Request) -> Response:
        return _json(_shown(service.arms.table.primary))

    async def metrics(_: Request) -> Response:
        return Response(service.metrics.render(), headers={"content-type": service.metrics.content_type})

    for path, endpoint in (("/health/live", live), ("/health/ready", ready), ("/pair", show_pair), ("/metrics", metrics)):
        app.router.routes.append(Route(path, endpoint, methods=["GET"]))


def _add_errors(app: FastAPI) -> None:
    """Every error in the one shape; what is a defect of ours says no more than that."""

    async def wrong(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        messages = {
            404: f"there is no {request.url.path}; GET /docs lists what there is",
            405: f"{request.method} is not allowed on {request.url.path}",
        }
        message = messages.get(error.status_code, str(error.detail))
        return _json(Refusal(error.status_code, message).body(), error.status_code, dict(error.headers or {}))

    async def failed(_: Request, __: Exception) -> Response:
        answer = refused(Refusal(500, "an error of the server's; its log has the cause"))
        return Response(answer.body, answer.status, media_type="application/json")

    app.add_exception_handler(HTTPException, wrong)
    app.add_exception_handler(Exception, failed)
