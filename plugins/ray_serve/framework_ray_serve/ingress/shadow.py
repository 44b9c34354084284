"""A shadow whose pair is in a ModelService of its own: what that takes, and when it dies, costs the
answers nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import perf_counter

from framework.errors import FrameworkError, one_line
from framework.serving.http.asgi import Call
from framework.serving.http.metrics import Metrics
from framework.serving.http.refusal import Refusal
from framework.serving.options import ShadowOptions
from framework.serving.service import Service
from framework.serving.shadow import Shadowing
from framework_ray_serve.stages.remote import Lost

log = logging.getLogger(__name__)
#: Seconds between two attempts to open its pair.
_PAUSE = 5.0


class RemoteShadow(Shadowing):
    """A bounded queue, and a task that asks one request after the other. ``make`` opens the alias'
    pair; it is called in a thread.
    """

    def __init__(
        self, alias: str, options: ShadowOptions, metrics: Metrics, make: Callable[[str], Service]
    ) -> None:
        super().__init__(alias, metrics)
        self._options, self._make = options, make
        self._queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(options.queue)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    def offer(self, path: str, body: bytes) -> None:
        try:
            self._queue.put_nowait((path, body))
        except asyncio.QueueFull:
            self.metrics.count_shadow(self.alias, "dropped")

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        service = await self._opened()
        service.start()
        try:
            while True:
                path, body = await self._queue.get()
                started = perf_counter()
                outcome, trouble = await self._ask(service, path, body)
                self.count(outcome, perf_counter() - started)
                self.say(trouble or service.follower.troubles.get(self.alias))
        finally:
            service.follower.stop()

    async def _opened(self) -> Service:
        while True:
            try:
                return await asyncio.to_thread(self._make, self.alias)
            except Exception as error:
                if not isinstance(error, FrameworkError):
                    log.exception("shadow '%s' could not be opened", self.alias)
                self.say(one_line(error))
                await asyncio.sleep(_PAUSE)

    async def _ask(self, service: Service, path: str, body: bytes) -> tuple[str, str | None]:
        """The outcome, and what is the matter with the process."""
        try:
            async with asyncio.timeout(self._options.seconds):
                await service.answers.handlers[path](body, Call("POST", path, b"", {}, b""))
        except Refusal:
            return "refused", None
        except (Lost, TimeoutError):
            return "crashed", "what was asked of it did not come back; its process is started again"
        except Exception:
            log.exception("shadow '%s' failed", self.alias)
            return "failed", None
        return "answered", None
