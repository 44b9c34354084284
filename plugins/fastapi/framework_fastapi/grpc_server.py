"""The Open Inference Protocol over gRPC, beside HTTP in the same process: a call is a request to
the HTTP application, so that keys, limits, arms, records and metrics are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import orjson
from google.protobuf.message import DecodeError

from framework.errors import FrameworkError
from framework.serving.http.asgi import App
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.arrivals import ARRIVAL
from framework.serving.protocols.infer_requests import ReadTensors
from framework_fastapi import FastapiOptions
from framework_fastapi.grpc_handlers import INFER, Handlers, Method, serialized
from framework_fastapi.grpc_messages import MESSAGES, MODEL_INFER_PARTS
from framework_fastapi.grpc_tensors import tensors_of
from framework_fastapi.grpc_translation import LENGTH, body_of, metadata_of, response_of

#: HTTP status -> code of gRPC; any other is INTERNAL.
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
#: Milliseconds after which a connection without calls is closed.
_IDLE = 300_000
_BINARY = b"application/octet-stream"

log = logging.getLogger(__name__)

Answer = tuple[int, dict[bytes, bytes], bytes]


class GrpcServer:
    """Answers calls by an application, on the loop that runs it.

    Args:
        app: The HTTP application.
        options: The server's; ``grpc.port`` is given.
        connections: How many there may be; a further one is refused.
    """

    def __init__(self, app: App, options: FastapiOptions, connections: int) -> None:
        self._app, self._options, self._connections = app, options, connections
        self._server: Any = None

    async def start(self) -> None:
        """Listen. Several workers share the port.

        Raises:
            FrameworkError: The address is taken.
        """
        options = self._options
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", int(options.workers > 1)),
                ("grpc.max_receive_message_length", options.max_body_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", options.max_in_flight),
                ("grpc.max_connection_idle_ms", _IDLE),
                ("grpc.max_allowed_incoming_connections", self._connections),
                ("grpc.server_handshake_timeout_ms", round(1000 * options.head_timeout)),
            ]
        )
        self._server.add_generic_rpc_handlers((Handlers(self._methods()),))
        host = f"[{options.host}]" if ":" in options.host else options.host
        address = f"{host}:{options.grpc.port}"
        try:
            if options.ssl_certfile is None or options.ssl_keyfile is None:
                self._server.add_insecure_port(address)
            else:
                pair = (
                    Path(options.ssl_keyfile).read_bytes(),
                    Path(options.ssl_certfile).read_bytes(),
                )
                self._server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        except RuntimeError as error:
            raise FrameworkError(
                f"cannot listen on {address} for gRPC; set serving.grpc.port to a free one."
            ) from error
        await self._server.start()
        log.info("gRPC on %s", address)

    async def stop(self, seconds: float) -> None:
        """Take no further calls; answer those that have come within so many seconds."""
        await self._server.stop(seconds)

    def _methods(self) -> dict[str, Method]:
        return {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            INFER: self._infer,
        }

    async def _live(self, _: Any, context: Any) -> Any:
        status, _, _ = await self._get("/v2/health/live", context)
        return MESSAGES["ServerLiveResponse"](live=status == 200)

    async def _ready(self, _: Any, context: Any) -> Any:
        status, _, _ = await self._get("/v2/health/ready", context)
        return MESSAGES["ServerReadyResponse"](ready=status == 200)

    async def _model_ready(self, request: Any, context: Any) -> Any:
        status, _, body = await self._get(f"/v2/models/{request.name}/ready", context)
        if status in (401, 403):
            await _abort(context, status, {}, _message(body))
        served = status == 200 and (
            not request.version or request.version in await self._versions(request.name, context)
        )
        return MESSAGES["ModelReadyResponse"](ready=served)

    async def _server_metadata(self, _: Any, context: Any) -> Any:
        status, headers, body = await self._get("/v2", context)
        if status != 200:
            await _abort(context, status, headers, _message(body))
        answer = orjson.loads(body)
        return MESSAGES["ServerMetadataResponse"](name=answer["name"], version=answer["version"])

    async def _model_metadata(self, request: Any, context: Any) -> Any:
        status, headers, body = await self._get(f"/v2/models/{request.name}", context)
        if status != 200:
            await _abort(context, status, headers, _message(body))
        answer = orjson.loads(body)
        await _check_version(context, request.version, answer["versions"])
        return metadata_of(answer)

    async def _infer(self, message: bytes, context: Any) -> Any:
        try:
            return await self._forecast(message, context)
        except DecodeError:
            await _abort(context, 422, {}, "the message is no ModelInferRequest")
            raise
        finally:
            arrival = ARRIVAL.get()
            if arrival is not None:
                arrival.here()

    async def _forecast(self, message: bytes, context: Any) -> Any:
        """Answer a call. Raises DecodeError for bytes that are no request."""
        parts = MODEL_INFER_PARTS.FromString(message)

        def encode() -> tuple[bytes, int]:
            return body_of(MESSAGES["ModelInferRequest"].FromString(message))

        headers = {**_metadata(context), b"content-type": _BINARY}
        body: bytes | ReadTensors | None = tensors_of(parts, len(message), encode)
        if body is None:
            try:
                body, length = encode()
            except Refusal as refusal:
                await _abort(context, refusal.status, {}, f"{refusal.path}: {refusal.message}")
                raise
            headers[LENGTH] = b"%d" % length
        headers[b"content-length"] = b"%d" % len(body)
        name, version = parts.model_name, parts.model_version
        if version:
            await _check_version(context, version, await self._versions(name, context))
        status, answered, answer = await self._ask(
            "POST", f"/v2/models/{name}/infer", headers, body
        )
        if status != 200:
            await _abort(context, status, answered, _message(answer))
        response: Any = answer
        if isinstance(body, bytes):
            response = response_of(answer, int(answered.get(LENGTH, len(answer))))
        if version:
            answered_by = MESSAGES["ModelInferResponse"].FromString(serialized(response))
            await _check_version(context, version, [answered_by.model_version])
        return response

    async def _versions(self, name: str, context: Any) -> list[str]:
        status, headers, body = await self._get(f"/v2/models/{name}", context)
        if status != 200:
            await _abort(context, status, headers, _message(body))
        versions: list[str] = orjson.loads(body)["versions"]
        return versions

    async def _get(self, path: str, context: Any) -> Answer:
        return await self._ask("GET", path, _metadata(context), b"")

    async def _ask(
        self, method: str, path: str, headers: dict[bytes, bytes], body: bytes | ReadTensors
    ) -> Answer:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "2",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": list(headers.items()),
            "client": None,
            "server": None,
        }
        # what reads the body of this path takes tensors as well, and asks for no more than len()
        messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": body, "more_body": False}
        ]
        status, answered, parts = 500, dict[bytes, bytes](), list[bytes]()

        async def receive() -> dict[str, Any]:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answered.update(message["headers"])
            else:
                parts.append(message.get("body", b""))

        await self._app(scope, receive, send)
        return status, answered, b"".join(parts)


def _metadata(context: Any) -> dict[bytes, bytes]:
    """The texts that came with a call, as headers."""
    return {
        key.encode(): value.encode()
        for key, value in context.invocation_metadata()
        if isinstance(value, str)
    }


def _message(body: bytes) -> str:
    answer = orjson.loads(body)["error"]
    return str(answer["message"] if isinstance(answer, Mapping) else answer)


async def _check_version(context: Any, version: str, served: list[str]) -> None:
    if version and version not in served:
        await context.abort(
            grpc.StatusCode.NOT_FOUND,
            f"version {version[:20]} is not served; {', '.join(served)} is",
        )


async def _abort(context: Any, status: int, headers: Mapping[bytes, bytes], message: str) -> None:
    """End a call as HTTP would end it."""
    trailing = [
        (name.decode(), headers[name].decode())
        for name in (b"retry-after", b"x-request-id")
        if name in headers
    ]
    code = _CODES.get(status, grpc.StatusCode.INTERNAL)
    await context.abort(code, message, tuple(trailing))
