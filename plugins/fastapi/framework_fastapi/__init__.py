"""``serving=fastapi``: one process, uvicorn."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from framework.hookspecs import Component, hookimpl
from framework.serving.options import ServingOptions


class FastapiOptions(ServingOptions):
    """``port``: 0 for any that is free. ``graceful_timeout``: seconds that requests in flight have to finish after SIGTERM."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    log_level: Literal["critical", "error", "warning", "info", "debug"] = "warning"
    graceful_timeout: PositiveFloat = 30.0


@hookimpl
def components() -> list[Component]:
    return [Component("serving", "fastapi", "framework_fastapi.backend:FastapiBackend", FastapiOptions, "one process, uvicorn")]
