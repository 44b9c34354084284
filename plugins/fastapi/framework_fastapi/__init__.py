"""``serving=fastapi``: uvicorn, one process or several."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options
from framework.serving.options import ServingOptions


class GrpcOptions(Options):
    """``port``: where the Open Inference Protocol is answered over gRPC, beside HTTP on the same
    host; null for nowhere. It needs ``framework-fastapi[grpc]``.
    """

    port: int | None = Field(default=None, ge=1, le=65535)


class FastapiOptions(ServingOptions):
    """``host``: the address that is listened at. ``port``: 0 for any that is free. ``workers``:
    processes behind one address. ``grpc``: what is answered over gRPC beside HTTP.
    ``ssl_certfile``, ``ssl_keyfile``: PEM files, for HTTPS.

    ``head_timeout``: seconds until the request line and the headers are complete; then the
    connection is closed. ``max_connections`` of a process: a new one takes the place of the one
    that has been idle longest, over gRPC it is refused; null: what its limit of open files
    allows.
    ``graceful_timeout``: seconds that requests in flight have to finish after SIGTERM.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: PositiveInt = 1
    head_timeout: PositiveFloat = 10.0
    max_connections: PositiveInt | None = None
    graceful_timeout: PositiveFloat = 30.0
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    grpc: GrpcOptions = GrpcOptions()


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "serving",
            "fastapi",
            "framework_fastapi.backend:FastapiBackend",
            FastapiOptions,
            "uvicorn, one process or several",
        )
    ]
