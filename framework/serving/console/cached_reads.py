"""Reads that take longer than a request may hold up others: in threads of their own, kept for some
seconds, asked once at a time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, TypeVar

from framework.errors import FrameworkError
from framework.serving.http.refusal import Refusal

T = TypeVar("T")

#: Reads that wait or run at most; what comes then is told to try again.
_WAITING = 32
#: Results that are kept at most.
_KEPT = 64


class Reader:
    """Called on one event loop. Whoever asks for what is being read already waits for the same
    answer.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="console")
        self._running: dict[Hashable, asyncio.Future[Any]] = {}
        self._kept: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()

    async def __call__(self, key: Hashable, seconds: float, work: Callable[[], T]) -> T:
        """Return the result of ``work``, at most ``seconds`` old.

        Raises :class:`Refusal` 503 where ``work`` raises a FrameworkError.
        """
        entry = self._kept.get(key)
        if entry is not None and monotonic() - entry[0] < seconds:
            value: T = entry[1]
            return value
        running = self._running.get(key)
        if running is None:
            if len(self._running) >= _WAITING:
                raise Refusal(
                    503, f"{_WAITING} reads of the console wait already; try again", retry_after=1
                )
            running = asyncio.get_running_loop().run_in_executor(self._threads, work)
            self._running[key] = running
            running.add_done_callback(lambda task: self._ended(key, task))
        try:
            answer: T = await asyncio.shield(running)  # others may wait for it, too
        except FrameworkError as error:
            raise Refusal(503, str(error), retry_after=5) from error
        return answer

    def _ended(self, key: Hashable, task: asyncio.Future[Any]) -> None:
        del self._running[key]
        if not task.cancelled() and task.exception() is None:
            self._kept[key] = (monotonic(), task.result())
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)

    def close(self) -> None:
        """A read that has begun is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
