"""The routes by which an operator asks a running server."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from framework.interfaces.serving_extension import HttpRoute
from framework.serving.http.asgi import refused
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.decoding import Decoder
from framework.serving.service import Service

#: Bytes of an operator's request.
_LONGEST = 10_000


class _Share(Struct, forbid_unknown_fields=True):
    """``share``: per cent; null for the schedule's."""

    share: float | None


def admin_routes(service: Service) -> list[HttpRoute]:
    """``POST /admin/reload``, ``GET`` and ``POST /admin/canary``."""
    decode = Decoder(_Share)

    async def reload(_: Request) -> Response:
        """Look at the registry now, and try what was refused again."""
        try:
            return _json(await service.reload())
        except Refusal as refusal:
            return _refused(refusal)

    async def canary(request: Request) -> Response:
        if service.options.canary.alias is None:
            return _refused(
                Refusal(409, "this server has no canary; serving.canary.alias=NAME gives it one")
            )
        if request.method == "GET":
            return _json(service.canary.shown())
        try:
            share = decode(await _body(request)).share
            if share is not None and not 0 <= share <= 100:
                raise Refusal(422, "a share lies between 0 and 100 per cent", "share")
        except Refusal as refusal:
            return _refused(refusal)
        return _json(await asyncio.to_thread(service.canary.set, share))

    return [
        HttpRoute("/admin/reload", reload, ("POST",)),
        HttpRoute("/admin/canary", canary, ("GET", "POST")),
    ]


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST:
            raise Refusal(413, f"more than {_LONGEST} bytes in one request", "body")
    return body


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def _refused(refusal: Refusal) -> Response:
    answer = refused(refusal)
    return Response(answer.body, answer.status, media_type="application/json")
