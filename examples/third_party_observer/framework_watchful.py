"""Follows a server: writes one line for each arm and request, and shows the last mean of each
series at ``GET /last``.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from framework.interfaces.plugin import hookimpl
from framework.interfaces.serving_extension import Extension, HttpRoute, MetricRegistry

if TYPE_CHECKING:
    from framework.data.forecast import Forecast
    from framework.interfaces.observer import ServedArm, ServedDeployment, ServedRequest

_server: dict[str, Any] = {"lines": [], "last": {}}


async def show_last(_: Any) -> Any:
    from starlette.responses import JSONResponse

    return JSONResponse(_server["last"])


@hookimpl
def serving_extensions(metrics: MetricRegistry) -> list[Extension]:
    _server["requests"] = metrics.counter("watchful_requests", "Requests by arm", ["arm"])
    return [HttpRoute("/last", show_last, scope="metrics", summary="The last mean of each series")]


@hookimpl
def server_started(deployment: ServedDeployment) -> None:
    folder = deployment.state / "watchful"
    folder.mkdir(parents=True, exist_ok=True)
    _server["file"] = folder / f"{os.getpid()}.jsonl"


@hookimpl
def forecasts_served(arm: ServedArm, forecast: Forecast, request: ServedRequest) -> None:
    _server["requests"].labels(arm.name).inc()
    for entity, values in zip(forecast.entities.tolist(), forecast.values, strict=True):
        _server["last"]["/".join(entity)] = float(values[0, 0, 0])
    line = {"arm": arm.name, "version": arm.pair.version, "id": request.id}
    _server["lines"].append(json.dumps({**line, "status": forecast.status}) + "\n")


@hookimpl
def flush_due() -> None:
    lines, _server["lines"] = _server["lines"], []
    with _server["file"].open("a") as file:
        file.writelines(lines)


@hookimpl
def server_stopped() -> None:
    flush_due()
