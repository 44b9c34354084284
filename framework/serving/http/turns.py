"""Long requests one after the other, in the order in which they came."""

from __future__ import annotations

import asyncio
import heapq
import itertools

#: A body of so many bytes is work for longer than a turn of the event loop takes.
LONG = 16 * 1024


class Turns:
    """Lets one long request begin in each turn of the event loop, the one first that came first.

    Without it the loop works on all that are complete before it reads again, and a request whose
    body came in two reads waits for everybody twice: its p99 was twice its p50. A short request
    waits for one long one at most.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._next: asyncio.Handle | None = None

    def number(self) -> int:
        """Give a request its place, when its head has come."""
        return next(self._numbers)

    async def wait(self, number: int, size: int) -> None:
        """Wait until it is the turn of a request.

        Args:
            number: Its place.
            size: The bytes of its body, which is complete.
        """
        if size < LONG:
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        heapq.heappush(self._waiting, (number, turn))
        if self._next is None:
            self._next = loop.call_soon(self._begin)
        await turn

    def _begin(self) -> None:
        self._next = None
        while self._waiting:
            _, turn = heapq.heappop(self._waiting)
            if not turn.done():  # its client has gone, or its deadline has passed
                turn.set_result(None)
                break
        if self._waiting:
            self._next = asyncio.get_running_loop().call_soon(self._begin)
