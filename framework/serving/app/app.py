"""The HTTP application: the same routes, limits and errors for every backend.

The three routes that forecast are answered before FastAPI: its own dependency solving and models
would take longer than the forecast. Their validation is compiled from the pair's schema, and so is
the OpenAPI document.
"""

from __future__ import annotations

import asyncio
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
from framework.interfaces.serving_extension import Extension, HttpRoute
from framework.monitoring.report import report_path
from framework.serving.app.admin import admin_routes
from framework.serving.app.docs_page import docs_route
from framework.serving.app.openapi import describe
from framework.serving.arms.arms import Arm
from framework.serving.console.routes import Console
from framework.serving.extensions import Extensions, add_extensions
from framework.serving.http.asgi import (
    App,
    Entry,
    HotRoute,
    JsonRoute,
    Limits,
    Rules,
    refused,
)
from framework.serving.http.logs import AccessLog
from framework.serving.http.monitor_metrics import monitor_text
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.store_watch import StoreWatch
from framework.serving.protocols.routes import forecast_routes, foreign_routes, protocols
from framework.serving.service import Service
from framework.serving.shadow import Shadows, shadows_of

#: Values of a category that GET /pair lists.
MOST_LISTED = 1000


class Readiness:
    """Why the server is not ready, None when it is."""

    def __init__(self) -> None:
        self.reason: str | None = "starting"


def create_app(service: Service, remote_shadows: Shadows | None = None) -> App:
    """The ASGI application of a service: ready when its startup is complete, closed with its
    shutdown.

    ``remote_shadows``: the shadows, where they are no processes of this one.
    """
    readiness, limits, shadows = (
        Readiness(),
        Limits(service.options, service.metrics),
        remote_shadows or shadows_of(service),
    )
    extensions = Extensions(service.access, console=service.options.console)
    routes: dict[str, HotRoute] = {
        path: JsonRoute(handler, limits) for path, handler in service.answers.handlers.items()
    }
    extensions.reserve(routes)

    watch = StoreWatch(service.store_trouble, service.metrics)

    def troubles() -> dict[str, str]:
        return {**service.follower.troubles, **shadows.troubles(), **watch.troubles()}

    own: list[Extension] = [
        *_status_routes(service, readiness, troubles),
        *admin_routes(service),
        docs_route(),
        *foreign_routes(service, lambda: readiness.reason),
        *protocols(service.deployment.name),
    ]
    for extension in own:
        extensions.add(extension)
    forecasting = {*routes, *(route.path for route in extensions.forecasts)}
    console = Console(service, troubles, forecasting) if service.options.console else None
    if console is not None:
        for console_route in console.routes(extensions.pages):
            extensions.add(console_route)
        hot = console.hot_routes(limits)
        extensions.reserve(hot)
        routes |= hot

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

    title = f"Forecasts of '{service.deployment.name}'"
    app = FastAPI(title=title, lifespan=lifespan, docs_url=None, redoc_url=None)
    extensions.reserve(route.path for route in app.router.routes if isinstance(route, Route))
    add_extensions(extensions, service.deployment, service.metrics)
    routes |= forecast_routes(extensions.forecasts, service, limits)
    app.router.routes.extend(extensions.routes())
    _add_errors(app)
    app.openapi = lambda: _document(service, extensions)  # type: ignore[method-assign]
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


def _document(service: Service, extensions: Extensions) -> dict[str, Any]:
    arm, looks_up = service.arms.table.primary, service.deployment.strategy is not None
    return describe(
        arm.schema,
        arm.version,
        arm.golden,
        looks_up=looks_up,
        console=service.options.console,
        more=[*extensions.http, *extensions.forecasts],
    )


def _shown(arm: Arm) -> dict[str, Any]:
    version, schema, calibration = arm.version, arm.schema, arm.pipeline.terms.calibration
    return {
        **arm.stamp,
        "run_id": version.run_id,
        "pair_id": version.pair_id,
        "created": version.created,
        "device": arm.device,
        "horizon": schema.horizon,
        "quantiles": schema.quantiles,
        "highest_level": None if calibration is None else calibration.highest_level(),
        "levels": 0 if calibration is None else calibration.version,
        "schema": schema.model_dump(mode="json", exclude={"categories"}),
        "categories": {
            name: _categories(schema, name) for name in schema.static[len(schema.entity_keys) :]
        },
    }


def _categories(schema: Schema, column: str) -> dict[str, Any]:
    """Describe the categories that training saw: how many values, the first of them, and whether
    null was one; nulls where the pair keeps no list.
    """
    values = schema.categories.get(column)
    return {
        "count": None if values is None else len(values),
        "values": None if values is None else values[:MOST_LISTED],
        "nullable": column in schema.nullable,
    }


def _status_routes(
    service: Service, readiness: Readiness, troubles: Callable[[], dict[str, str]]
) -> list[HttpRoute]:
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
        deployment = service.deployment
        report = report_path(deployment.state, deployment.name)
        text = await service.figures() + await asyncio.to_thread(monitor_text, report)
        return Response(text, headers={"content-type": service.metrics.content_type})

    return [
        HttpRoute("/health/live", live, scope=None),
        HttpRoute("/health/ready", ready, scope=None),
        HttpRoute("/pair", show_pair, scope="predict"),
        HttpRoute("/metrics", metrics, scope="metrics"),
    ]


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
