"""The routes of other people's clients: the Open Inference Protocol below ``/v2``, and MLflow's
scoring server's.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from framework.serving.http.asgi import (
    Answer,
    Answered,
    Call,
    ConcurrencyLimit,
    HotRoute,
    JsonRoute,
    Receive,
)
from framework.serving.http.refusal import Refusal
from framework.serving.protocols.dialect import Dialect, speak
from framework.serving.protocols.mlflow_scoring import Invocations
from framework.serving.protocols.open_inference import (
    InferenceProtocol,
    ProtocolRefusal,
    infer_path,
    metadata,
)
from framework.serving.service import Service

#: Of this distribution: what it is, not which MLflow it would be.
_DISTRIBUTION = "framework-core"


def foreign_routes(service: Service, limit: ConcurrencyLimit) -> dict[str, HotRoute]:
    """What forecasts, by path."""

    def route(dialect: Dialect) -> HotRoute:
        return JsonRoute(speak(dialect, service.answers), limit, service.options, dialect.accepts)

    name = service.deployment.name
    return {
        "/invocations": route(Invocations()),
        infer_path(name): _in_one_text(route(InferenceProtocol(name))),
    }


def _in_one_text(route: HotRoute) -> HotRoute:
    async def told(call: Call, receive: Receive, answered: Answered) -> Answer:
        try:
            return await route(call, receive, answered)
        except Refusal as refusal:
            raise ProtocolRefusal.of(refusal) from None

    return told


def add_foreign_routes(app: FastAPI, service: Service, not_ready: Callable[[], str | None]) -> None:
    """What says whether and what is served."""
    name, release = service.deployment.name, version(_DISTRIBUTION)

    async def live(_: Request) -> Response:
        return _json({"live": True})

    async def ready(_: Request) -> Response:
        reason = not_ready()
        return (
            _json({"ready": reason is None})
            if reason is None
            else _json({"ready": False, "error": f"not ready: {reason}"}, 503)
        )

    async def server(_: Request) -> Response:
        return _json(
            {"name": "framework", "version": release, "extensions": ["binary_tensor_data"]}
        )

    async def model(_: Request) -> Response:
        table = service.arms.table
        versions = sorted({arm.version.version for arm in table.arms.values()})
        return _json(metadata(name, table.primary.schema, versions))

    async def ping(_: Request) -> Response:
        return Response(b"\n", 200 if not_ready() is None else 503, media_type="application/json")

    async def release_of(_: Request) -> Response:
        return Response(release, media_type="text/plain")

    routes = {
        "/v2": server,
        "/v2/health/live": live,
        "/v2/health/ready": ready,
        f"/v2/models/{name}": model,
        f"/v2/models/{name}/ready": ready,
        "/ping": ping,
        "/version": release_of,
    }
    for path, endpoint in routes.items():
        app.router.routes.append(Route(path, endpoint, methods=["GET"]))


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
