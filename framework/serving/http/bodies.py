"""The body of a request: how long it may be, and how slowly it may come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from framework.serving.http.refusal import Refusal
from framework.serving.options import ServingOptions

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
#: Bodies of the greatest length that may be kept at once while the rest of them is awaited.
_INCOMPLETE = 16


class Disconnected(Exception):  # noqa: N818  nobody is there to be told
    """The client left before its request was complete."""


class BodyReader:
    """Reads the bodies of one server, none of which can keep it from answering others.

    A body may take ``body_timeout`` seconds, and one more for each ``body_rate`` bytes that have
    come, within the ``deadline`` of its request.
    """

    def __init__(self, options: ServingOptions) -> None:
        self._longest, self._deadline = options.max_body_bytes, options.deadline
        self._seconds, self._rate = options.body_timeout, options.body_rate
        self._kept = 0  # bytes of bodies that are not complete

    async def __call__(
        self, headers: Mapping[bytes, bytes], receive: Receive, accepts: frozenset[bytes]
    ) -> bytes:
        """Read one body.

        Args:
            headers: Those of its request.
            receive: What ASGI gives.
            accepts: The content types that are read, in lower case.

        Returns:
            The body.

        Raises:
            Refusal: 415 when its declared type is none of ``accepts``, 413 when it is longer than
                ``max_body_bytes``, 408 when it comes too slowly, 503 when too many are awaited.
            Disconnected: The client has left.
        """
        content_type = headers.get(b"content-type", b"")
        length = headers.get(b"content-length")
        if length is not None and int(length) > self._longest:
            raise Refusal(
                413, f"{int(length)} bytes, at most {self._longest} in one request", "body"
            )
        if (
            content_type not in accepts
            and content_type.partition(b";")[0].strip().lower() not in accepts
        ):
            raise Refusal(415, "send JSON, with the header Content-Type: application/json")
        try:
            async with asyncio.timeout(self._allowed(0)) as limit:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                body: bytes = message.get("body", b"")
                if message.get("more_body"):
                    return await self._rest(body, receive, limit)
        except TimeoutError:
            if not limit.expired():
                raise
            raise Refusal(
                408,
                f"the body comes too slowly: it may take {self._allowed(0):g} s, and at "
                f"{self._rate} bytes a second longer",
                headers={"connection": "close"},
            ) from None
        if len(body) > self._longest:
            raise self._too_long()
        return body

    async def _rest(self, body: bytes, receive: Receive, limit: asyncio.Timeout) -> bytes:
        started, size, parts, more = asyncio.get_running_loop().time(), 0, [], True
        part = body
        try:
            while True:
                parts.append(part)
                size += len(part)
                self._kept += len(part)
                if size > self._longest:
                    raise self._too_long()
                if not more:
                    return b"".join(parts)
                if self._kept > _INCOMPLETE * self._longest:
                    raise Refusal(
                        503,
                        "too many long bodies are awaited already; try again",
                        retry_after=1,
                        headers={"connection": "close"},
                    )
                limit.reschedule(started + self._allowed(size))
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                part, more = message.get("body", b""), bool(message.get("more_body"))
        finally:
            self._kept -= size

    def _allowed(self, size: int) -> float:
        """Seconds in which so many bytes have to come."""
        seconds = self._seconds + size / self._rate
        return seconds if self._deadline is None else min(seconds, self._deadline)

    def _too_long(self) -> Refusal:
        return Refusal(413, f"more than {self._longest} bytes in one request", "body")
