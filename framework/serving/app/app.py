"""The HTTP application: the same routes, limits and errors for every backend.

The three routes that forecast are answered before FastAPI: its own dependency solving and models
would take longer than the forecast. Their validation is compiled from the pair's schema, and so is
the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from framework.data.schema import Schema
from framework.serving.app.admin import add_admin_routes
from framework.serving.app.openapi import describe
from framework.serving.arms.arms import Arm
from framework.serving.console.routes import Console
from framework.serving.http.asgi import (
    App,
    ConcurrencyLimit,
    Entry,
    HotRoute,
    JsonRoute,
    Rules,
    refused,
)
from framework.serving.http.logs import AccessLog
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.store_watch import StoreWatch
from framework.serving.protocols.routes import add_foreign_routes, foreign_routes
from framework.serving.service import Service
from framework.serving.shadow import Shadows, shadows_of

#: Values of a category that GET /pair lists.
MOST_LISTED = 1000


class Readiness:
    """Why the server is not ready, None when it is."""

    def __init__(self) -> None:
        self.reason: str | None = "starting"


def create_app(service: Service, elsewhere: Shadows | None = None) -> App:
    """The ASGI application of a service: ready when its startup is complete, closed with its
    shutdown.

    ``elsewhere``: the shadows, where they are no processes of this one.
    """
    readiness, gate, shadows = (
        Readiness(),
        ConcurrencyLimit(service.options.max_in_flight, service.metrics),
        elsewhere or shadows_of(service),
    )
    routes: dict[str, HotRoute] = {
        path: JsonRoute(handler, gate, service.options)
        for path, handler in service.answers.handlers.items()
    }
    routes |= foreign_routes(service, gate)

    watch = StoreWatch(service.store_trouble, service.metrics)

    def troubles() -> dict[str, str]:
        return {**service.follower.troubles, **shadows.troubles(), **watch.troubles()}

    console = Console(service, troubles, routes) if service.options.console else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        shadows.start()
        await watch.start()
        if console is not None:
            console.start()
        readiness.reason = None
        yield
        readiness.reason = "stopping"
        watch.stop()
        if console is not None:
            console.stop()
        shadows.stop()
        await service.close()

    app = FastAPI(title=f"Forecasts of '{service.deployment.name}'", lifespan=lifespan)
    _add_status_routes(app, service, readiness, troubles)
    add_admin_routes(app, service)
    add_foreign_routes(app, service, lambda: readiness.reason)
    _add_errors(app)
    app.openapi = lambda: _document(service)  # type: ignore[method-assign]
    if console is not None:
        console.add_routes(app)
        routes |= console.hot_routes(gate)
    if service.tracing is not None:
        routes = {path: service.tracing.around(route) for path, route in routes.items()}
    known = frozenset(route.path for route in app.router.routes if isinstance(route, Route))
    door = Entry(
        app,
        routes,
        known,
        service.metrics,
        Rules(service.access, shadows.offer, AccessLog(service.options.log)),
    )
    origins = service.options.access.cors
    if not origins:
        return door
    return CORSMiddleware(
        door,
        origins,
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type", "x-request-id"],
    )


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


def _document(service: Service) -> dict[str, Any]:
    arm, looks_up = service.arms.table.primary, service.deployment.strategy is not None
    return describe(
        arm.schema, arm.version, arm.golden, looks_up=looks_up, console=service.options.console
    )


def _shown(arm: Arm) -> dict[str, Any]:
    version, schema, calibration = arm.version, arm.schema, arm.pipeline.terms.calibration
    return {
        **arm.stamp,
        "run_id": version.run_id,
        "pair_id": version.pair_id,
        "created": version.created,
        "horizon": schema.horizon,
        "quantiles": schema.quantiles,
        "highest_level": None if calibration is None else calibration.highest_level(),
        "schema": schema.model_dump(mode="json", exclude={"categories"}),
        "categories": {
            name: _categories(schema, name) for name in schema.static[len(schema.entity_keys) :]
        },
    }


def _categories(schema: Schema, column: str) -> dict[str, Any]:
    """What training saw: how many values, the first of them, and whether null was one; nulls where
    the pair keeps no list.
    """
    values = schema.categories.get(column)
    return {
        "count": None if values is None else len(values),
        "values": None if values is None else values[:MOST_LISTED],
        "nullable": column in schema.nullable,
    }


def _add_status_routes(
    app: FastAPI, service: Service, readiness: Readiness, troubles: Callable[[], dict[str, str]]
) -> None:
    async def live(_: Request) -> Response:
        return _json({"status": "live"})

    async def ready(_: Request) -> Response:
        if readiness.reason is not None:
            return _json(
                Refusal(503, f"not ready: {readiness.reason}").body(), 503, {"retry-after": "1"}
            )
        reasons = troubles()
        body: dict[str, Any] = {
            "status": "degraded" if reasons else "ready",
            "pair": service.arms.table.primary.stamp,
        }
        return _json({**body, "reasons": reasons} if reasons else body)

    async def show_pair(_: Request) -> Response:
        table = service.arms.table
        return _json({**_shown(table.primary), "arms": [arm.stamp for arm in table.arms.values()]})

    async def metrics(_: Request) -> Response:
        return Response(
            await service.figures(), headers={"content-type": service.metrics.content_type}
        )

    for path, endpoint in (
        ("/health/live", live),
        ("/health/ready", ready),
        ("/pair", show_pair),
        ("/metrics", metrics),
    ):
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
        return _json(
            Refusal(error.status_code, message).body(), error.status_code, dict(error.headers or {})
        )

    async def failed(_: Request, __: Exception) -> Response:
        answer = refused(Refusal(500, "an error of the server's; its log has the cause"))
        return Response(answer.body, answer.status, media_type="application/json")

    app.add_exception_handler(HTTPException, wrong)
    app.add_exception_handler(Exception, failed)
