"""The answers of Ray Serve's proxy when it gets none from ForecastAPI.

Of itself it says 500 to a request whose replica died, and 503 without Retry-After while there is
none. The proxy imports :func:`middlewares` where ``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH``
names it: that is set for a Ray that is started here.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

#: Before the proxy's process is started.
VARIABLE, CALLBACK = (
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH",
    "framework_ray_serve.proxy:middlewares",
)

_RETRY = (b"retry-after", b"1")
_BODY = (
    b'{"error":{"path":null,"message":"the replica that had this request is gone; '
    b'another is started, try again"}}'
)
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", b"%d" % len(_BODY)),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    _RETRY,
]


class _Lost:
    """A request that the proxy gave up without a word is a 503; every 503 says when to try again.

    It is not sent again from here: what killed one replica would kill the next.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def passed(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = list(message.get("headers", []))
                if message["status"] == 503 and not any(
                    name.lower() == b"retry-after" for name, _ in headers
                ):
                    message = {**message, "headers": [*headers, _RETRY]}
            await send(message)

        await self._app(scope, receive, passed)
        if not started:
            await send({"type": "http.response.start", "status": 503, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": _BODY})


def middlewares() -> list[Middleware]:
    return [Middleware(_Lost)]
