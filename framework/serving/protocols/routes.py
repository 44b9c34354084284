"""The routes of other people's clients: the Open Inference Protocol below ``/v2``, and MLflow's
scoring server's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from framework.interfaces.serving_extension import ForecastRoute, HttpRoute
from framework.serving.http.asgi import (
    Answer,
    Answered,
    Call,
    HotRoute,
    JsonRoute,
    Limits,
)
from framework.serving.http.bodies import Receive
from framework.serving.http.refusal import Refusal
from framework.serving.protocols.dialect import Dialect, speak
from framework.serving.protocols.infer_metadata import metadata
from framework.serving.protocols.mlflow_scoring import Invocations
from framework.serving.protocols.open_inference import InferenceProtocol, infer_path
from framework.serving.service import Service

#: Of this distribution: what it is, not which MLflow it would be.
_DISTRIBUTION = "framework-core"


def protocols(name: str) -> list[ForecastRoute]:
    """The protocols that every server of the pair ``name`` speaks."""
    return [
        ForecastRoute("/invocations", Invocations()),
        ForecastRoute(infer_path(name), InferenceProtocol(name)),
    ]


def forecast_routes(
    routes: Sequence[ForecastRoute], service: Service, limits: Limits
) -> dict[str, HotRoute]:
    """Map the paths of other protocols to the routes that answer their requests."""

    def answering(dialect: Dialect) -> HotRoute:
        handler = speak(dialect, service.answers)
        return _refusing(dialect, JsonRoute(handler, limits, dialect.accepts))

    return {route.path: answering(route.dialect) for route in routes}


def _refusing(dialect: Dialect, route: HotRoute) -> HotRoute:
    async def answer(call: Call, receive: Receive, answered: Answered) -> Answer:
        try:
            return await route(call, receive, answered)
        except Refusal as refusal:
            raise dialect.refusal(refusal) from None

    return answer


def foreign_routes(service: Service, not_ready: Callable[[], str | None]) -> list[HttpRoute]:
    """Make the routes that tell clients of other protocols whether a pair is served, and which."""
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
    open_to_all = ("/ping", "/v2/health/live", "/v2/health/ready")
    return [
        HttpRoute(path, endpoint, scope=None if path in open_to_all else "predict")
        for path, endpoint in routes.items()
    ]


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
