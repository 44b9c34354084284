"""Requests that come at the same time, worked on in one call: what a call costs whatever its size
is paid once.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from framework.serving.pipeline.arrivals import ARRIVAL, Gathering

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class _Waiting(Generic[T, R]):
    item: T
    size: int
    answer: asyncio.Future[R]


class Batches(Generic[T, R]):
    """``work`` gives one result for each of its items, in order. When it raises, every item is
    worked on by itself, and what that raises is raised to who asked for that item, and to nobody
    else.

    Items of ``size`` in all make a call; the first of them has waited ``wait_s`` at most. 0: until
    the event loop has seen to what is there already; on a loop that computes, that is what came
    meanwhile. Where a transport hands requests over one by one, that is until no further one is on
    its way (:class:`~framework.serving.pipeline.arrivals.Arrivals`). ``at_once``: calls at the same
    time, None for any number; what comes while there are so many makes the next one. An item whose
    asker has gone is left out.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        size: int,
        wait_s: float = 0.0,
        at_once: int | None = None,
    ) -> None:
        self._work, self._size, self._wait, self._at_once = work, size, wait_s, at_once
        self._waiting: list[_Waiting[T, R]] = []
        self._together = 0
        self._timer: asyncio.Handle | Gathering | None = None
        self._calls: set[asyncio.Task[None] | None] = set()  # the loop itself keeps no task alive

    async def ask(self, item: T, size: int = 1) -> R:
        """The result of an item. Raises what ``work`` raises for it."""
        loop, arrival = asyncio.get_running_loop(), ARRIVAL.get()
        if arrival is not None:
            arrival.here()
        if self._waiting and self._together + size > self._size:
            self._start()
        waiting = _Waiting[T, R](item, size, loop.create_future())
        self._waiting.append(waiting)
        self._together += size
        if self._together >= self._size:
            self._start()
        elif self._timer is None:
            if self._wait:
                self._timer = loop.call_later(self._wait, self._start)
            elif arrival is not None:
                self._timer = arrival.gather(self._start)
            else:
                self._timer = loop.call_soon(self._start)
        return await waiting.answer

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if not self._waiting or (self._at_once is not None and len(self._calls) >= self._at_once):
            return
        count, rows = 0, 0
        for one in self._waiting:
            if count and rows + one.size > self._size:
                break
            count, rows = count + 1, rows + one.size
        waiting, self._waiting = self._waiting[:count], self._waiting[count:]
        self._together -= rows
        # in no request's context: a line of the log is about none of them
        call = asyncio.get_running_loop().create_task(
            self._call(waiting), context=contextvars.Context()
        )
        self._calls.add(call)
        call.add_done_callback(self._ended)

    def _ended(self, call: asyncio.Task[None] | None) -> None:
        if call not in self._calls:
            return
        self._calls.remove(call)
        if self._waiting and self._timer is None:
            self._start()

    async def _call(self, waiting: list[_Waiting[T, R]], *, last: bool = True) -> None:
        waiting = [one for one in waiting if not one.answer.done()]
        if not waiting:
            return
        try:
            results = await self._work([one.item for one in waiting])
        except Exception as error:  # noqa: BLE001  raised again to those it belongs to
            await self._apart(waiting, error)
            return
        if last:  # the next call works in its thread while these are written
            self._ended(asyncio.current_task())
        for one, result in zip(waiting, results, strict=True):
            if not one.answer.done():
                one.answer.set_result(result)

    async def _apart(self, waiting: list[_Waiting[T, R]], error: Exception) -> None:
        if len(waiting) > 1:
            for one in waiting:
                await self._call([one], last=False)
        elif not waiting[0].answer.done():
            waiting[0].answer.set_exception(error)
