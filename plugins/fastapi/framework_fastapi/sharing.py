"""An address that several workers share: whoever has fewer connections takes the next one sooner.

A worker that takes all that wait when it wakes has most of them for as long as they last, and the
others idle beside it. So a worker with connections waits a moment before it takes another one. It
needs to know nothing of the others: one that hangs or has died keeps nobody from taking.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sized

log = logging.getLogger(__name__)

#: Seconds that a worker waits which has many connections. The loop's clock counts in milliseconds.
_PATIENCE = 0.002
#: With so many connections it waits half of that, and takes two at once; with more, more.
_SOME = 4
#: Seconds without a try after the system had no files or memory left.
_PAUSE = 1.0


class SharedListener:
    """Takes connections from a socket that other processes take them from, too. To uvicorn it is
    one of its servers.

    Args:
        listener: The socket, which listens.
        connections: Those that this worker has.
        protocol: Makes what speaks on a new one.
        context: TLS; None for none.
    """

    def __init__(
        self,
        listener: socket.socket,
        connections: Sized,
        protocol: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext | None,
    ) -> None:
        self._listener, self._connections = listener, connections
        self._protocol, self._context = protocol, context
        self._loop = asyncio.get_running_loop()
        self._closed, self._short, self._opening = False, False, set[asyncio.Task[object]]()
        listener.setblocking(False)
        self._watch()

    def close(self) -> None:
        """Take what waits, and then no more."""
        self._loop.remove_reader(self._listener)
        while self._take():
            pass
        self._closed = True

    async def wait_closed(self) -> None:
        """Wait for those whose TLS is not settled yet."""
        if self._opening:
            await asyncio.wait(self._opening)

    def _watch(self) -> None:
        if self._closed:
            return
        if self._short:
            self._short = False
            self._loop.call_later(_PAUSE, self._watch)
        else:
            self._loop.add_reader(self._listener, self._wait)

    def _wait(self) -> None:
        """Somebody wants to connect: leave it to those with fewer connections for a moment."""
        self._loop.remove_reader(self._listener)
        count = len(self._connections)
        if count:
            wait, most = _PATIENCE * count / (count + _SOME), 1 + count // _SOME
            self._loop.call_later(wait, self._take_some, most)
        else:
            self._take_some(1)

    def _take_some(self, most: int) -> None:
        while most and not self._closed and self._take():
            most -= 1
        self._watch()

    def _take(self) -> bool:
        """Take one connection; False when there is none."""
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:  # no files or no memory left
            log.error("no connection can be taken: %s; next try in %g s", error, _PAUSE)
            self._short = True
            return False
        opening = self._loop.create_task(self._open(connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        return True

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._context)
        except OSError as error:  # the client has gone, or speaks no TLS
            log.info("a connection did not open: %s", error)
            connection.close()
