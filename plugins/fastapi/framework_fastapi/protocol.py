"""uvicorn's HTTP, with an end to everything that a client may leave open: a head that is not
complete, a connection on which nothing is asked, too many of both.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from framework.serving.http.asgi import SECURITY, refused
from framework.serving.http.refusal import Refusal

#: Bytes of request line and headers; what is longer is 400.
LONGEST_HEAD = 64 * 1024


class BoundedConnection(HttpToolsProtocol):
    """Counts what has come of a head that is not complete, and closes a connection whose head does
    not become complete in time.

    Where there are more connections than the configuration allows, a new one takes the place of
    the one on which nothing was asked for the longest time.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._limits = self.config.limits  # type: ignore[attr-defined]
        self._begun, self._fresh, self._gone, self._refusal = False, False, False, ""
        self._read = self._size = 0  # bytes: of the last read, of the head that has begun
        self._since = self.loop.time()
        self._late = self.loop.call_later(self._limits.head_timeout, self._give_up)
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._late.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._read, self._fresh = len(data), True
        self._size += self._read
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._begun and self._size > LONGEST_HEAD:
            self.send_400_response(_too_long())
        elif self._late.cancelled() and (self._begun or self.cycle.response_complete):
            self._late = self.loop.call_later(self._limits.head_timeout, self._give_up)

    def on_message_begin(self) -> None:
        self._size = self._read if self._fresh else 0  # a later one begins within this read
        self._begun, self._fresh = True, False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if max(self._size, self._read) > LONGEST_HEAD:  # a part of it may be a body
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > LONGEST_HEAD:
                self._refusal = _too_long()
                raise ValueError(self._refusal)
        self._begun = False
        self._late.cancel()
        super().on_headers_complete()
        if self._limits.stopping:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser does not take, in the form that every error has."""
        self._refuse(400, self._refusal or msg)

    def _refuse(self, status: int, message: str) -> None:
        body = refused(Refusal(status, message)).body
        head: list[tuple[bytes, bytes]] = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", os.urandom(8).hex().encode()),
            *SECURITY,
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%s: %s\r\n" % header for header in head)
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)
        self.transport.close()

    def _give_up(self) -> None:
        if self.transport.is_closing():
            return
        if self._begun:
            seconds = self._limits.head_timeout
            self._refuse(408, f"the request line and headers did not come within {seconds:g} s")
        else:
            self.transport.close()

    def _make_room(self) -> None:
        """Close the connection that is missed least: one on which nothing is asked, else one whose
        request is not complete, else this one.
        """
        others: list[Any] = [
            other for other in self.connections if other is not self and not other._gone
        ]
        idle = [other for other in others if other.cycle is None or other.cycle.response_complete]
        incomplete = [
            other
            for other in others
            if other.cycle is not None
            and other.cycle.more_body
            and not other.cycle.response_started
        ]
        least = min(idle or incomplete or [self], key=lambda other: other._since)
        least._gone = True
        least.transport.abort()  # also one that is closed already, but whose client does not read


def _too_long() -> str:
    return f"the request line and headers are longer than {LONGEST_HEAD} bytes"
