"""uvicorn's HTTP, with an end to what a request may begin with: its parser keeps a head until it is
complete, however long it is.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Bytes of request line and headers; what is longer is 400.
LONGEST_HEAD = 64 * 1024


class BoundedHead(HttpToolsProtocol):
    """Counts what has come of a head that is not complete."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._begun, self._size = False, 0
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._begun:
            return
        self._size += len(data)
        if self._size > LONGEST_HEAD and not self.transport.is_closing():
            self.send_400_response(
                f"The request line and headers are longer than {LONGEST_HEAD} bytes."
            )

    def on_message_begin(self) -> None:
        self._begun, self._size = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._begun = False
        super().on_headers_complete()
