"""Requests and responses without a framework in between: what the hot routes are made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import orjson

from framework.serving.metrics import Metrics
from framework.serving.refusal import Refusal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Handler = Callable[[bytes], Awaitable[bytes]]

_JSON = (b"content-type", b"application/json")


class Disconnected(Exception):  # noqa: N818  nobody is there to be told
    """The client left before its request was complete."""


async def read_json(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The body. Raises :class:`Refusal` 415 when it is not declared as JSON, 413 when it is longer than ``limit``."""
    declared = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            declared = value
        elif name == b"content-length" and int(value) > limit:
            raise Refusal(413, f"{int(value)} bytes, at most {limit} in one request", "body")
    if declared != b"application/json" and declared.partition(b";")[0].strip().lower() != b"application/json":
        raise Refusal(415, "send JSON, with the header Content-Type: application/json")
    message = await receive()
    body: bytes = message.get("body", b"")
    size, parts = len(body), [body]
    while message["type"] == "http.request" and message.get("more_body") and size <= limit:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if message["type"] == "http.disconnect":
        raise Disconnected
    if size > limit:
        raise Refusal(413, f"more than {limit} bytes in one request", "body")
    return body if len(parts) == 1 else b"".join(parts)


async def send_json(send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]})
    await send({"type": "http.response.body", "body": body})


class JsonRoute:
    """An ASGI endpoint: body in, answer out, a :class:`Refusal` as its status; never more at once than the gate lets in."""

    def __init__(self, handler: Handler, gate: Gate, max_body_bytes: int) -> None:
        self._handler, self._gate, self._limit = handler, gate, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[tuple[bytes, bytes]] = []
        try:
            with self._gate:
                body = await self._handler(await read_json(scope, receive, self._limit))
            status = 200
        except Refusal as refusal:
            status, body = refusal.status, orjson.dumps(refusal.body())
            if refusal.retry_after is not None:
                headers.append((b"retry-after", str(refusal.retry_after).encode()))
        except Disconnected:
            return
        await send_json(send, status, body, headers)


class Gate:
    """How many requests are being answered. Entering raises a 503 when there are ``limit`` already."""

    def __init__(self, limit: int) -> None:
        self._limit, self.count = limit, 0

    def __enter__(self) -> None:
        if self.count >= self._limit:
            raise Refusal(503, f"{self._limit} requests are being answered already; try again", retry_after=1)
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1


class CountRequests:
    """Middleware: every response by route and status; a path that is no route counts as ``other``."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], metrics: Metrics, routes: frozenset[str]) -> None:
        self._app, self._metrics, self._routes = app, metrics, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = scope["path"] if scope["path"] in self._routes else "other"

        async def counted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count_request(route, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, counted)
        except Exception:
            self._metrics.count_request(route, 500)
            raise
