"""Shadows: pairs that are asked what the clients ask, in processes of their own, and whose answers
nobody gets.

A process, because the interpreter's lock is one: a shadow in a thread would take its time from the
answers, and one whose library crashes would take the server with it.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import queue
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from time import perf_counter
from typing import Any, SupportsBytes

from framework.errors import FrameworkError
from framework.serving.deployment import Deployment
from framework.serving.http.asgi import Call
from framework.serving.http.metrics import Metrics
from framework.serving.http.refusal import Refusal
from framework.serving.options import ServingOptions, ShadowOptions
from framework.serving.service import Service

log = logging.getLogger(__name__)
_SPAWN = multiprocessing.get_context("spawn")
#: Seconds for a shadow to open its pair, and between two starts of one that ends by itself.
_START, _PAUSE = 120.0, 5.0


class Shadowing(ABC):
    """The server's end of a shadow. ``trouble``: why it does not answer, None when it does."""

    def __init__(self, alias: str, metrics: Metrics) -> None:
        self.alias, self.metrics = alias, metrics
        self.trouble: str | None = None

    @abstractmethod
    def start(self) -> None:
        """Called on the server's event loop."""

    @abstractmethod
    def offer(self, path: str, body: bytes) -> None:
        """Let it answer what was answered. Never waits, never raises."""

    @abstractmethod
    def stop(self) -> None:
        """Waits for nothing."""

    def say(self, trouble: str | None) -> None:
        """Set :attr:`trouble` and log it once."""
        if trouble != self.trouble:
            self.metrics.show_degraded(self.alias, trouble is not None)
            if trouble is not None:
                log.warning("shadow '%s': %s", self.alias, trouble)
        self.trouble = trouble

    def count(self, outcome: str, seconds: float) -> None:
        """A request, and how long it took."""
        self.metrics.count_shadow(self.alias, outcome)
        self.metrics.observe_shadow(self.alias, seconds)


class Shadow(Shadowing):
    """A bounded queue, and a thread that hands its requests to the process one by one."""

    def __init__(
        self, alias: str, deployment: Deployment, options: ServingOptions, metrics: Metrics
    ) -> None:
        super().__init__(alias, metrics)
        self._arguments = (
            deployment,
            alias,
            options.model_copy(update={"split": None, "shadow": ShadowOptions()}),
        )
        self._options = options.shadow
        self._queue: queue.Queue[tuple[str, bytes] | None] = queue.Queue(options.shadow.queue)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"shadow {alias}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def offer(self, path: str, body: bytes) -> None:
        try:
            self._queue.put_nowait((path, body))
        except queue.Full:
            self.metrics.count_shadow(self.alias, "dropped")

    def stop(self) -> None:
        """The process ends with its connection."""
        self._stopping.set()
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            log.debug("shadow '%s' stops with its next request", self.alias)

    def _run(self) -> None:
        while not self._stopping.is_set():
            own_end, child_end = _SPAWN.Pipe()
            process = _SPAWN.Process(
                target=answer_shadowed, args=(child_end, *self._arguments), daemon=True
            )
            process.start()
            child_end.close()
            try:
                self._feed(own_end)
            except (EOFError, OSError, TimeoutError) as error:
                self._ended(process, error)
            finally:
                own_end.close()
                process.kill()
                process.join()

    def _feed(self, connection: Connection) -> None:
        """Until the process or the server ends. Raises what says that the process did."""
        self.say(_receive(connection, _START))
        while not self._stopping.is_set():
            request = self._queue.get()
            if request is None:
                return
            started = perf_counter()
            connection.send(request)
            outcome, trouble = _receive(connection, self._options.seconds)
            self.count(outcome, perf_counter() - started)
            self.say(trouble)

    def _ended(self, process: BaseProcess, error: Exception) -> None:
        if self._stopping.is_set():
            return
        process.join(1)
        how = (
            str(error)
            if isinstance(error, TimeoutError)
            else f"its process ended with {process.exitcode}"
        )
        self.metrics.count_shadow(self.alias, "crashed")
        self.say(self.trouble or f"{how}; it is started again")
        self._stopping.wait(_PAUSE)


class Shadows:
    """All of a server's."""

    def __init__(self, shadows: Sequence[Shadowing]) -> None:
        self._shadows = shadows

    def start(self) -> None:
        for shadow in self._shadows:
            shadow.start()

    def stop(self) -> None:
        for shadow in self._shadows:
            shadow.stop()

    def offer(self, path: str, body: SupportsBytes) -> None:
        for shadow in self._shadows:
            shadow.offer(path, bytes(body))

    def troubles(self) -> dict[str, str]:
        """By alias, why it does not answer."""
        return {
            shadow.alias: shadow.trouble for shadow in self._shadows if shadow.trouble is not None
        }


def shadows_of(service: Service) -> Shadows:
    """Each in a process of its own."""
    return Shadows(
        [
            Shadow(alias, service.deployment, service.options, service.metrics)
            for alias in service.options.shadow.aliases
        ]
    )


def _receive(connection: Connection, seconds: float) -> Any:
    if not connection.poll(seconds):
        raise TimeoutError(f"no answer within {seconds:g} s")
    return connection.recv()


def answer_shadowed(
    connection: Connection, deployment: Deployment, alias: str, options: ServingOptions
) -> None:
    """The shadow's process: opens the pair of its alias, follows it, answers until the connection
    ends.
    """
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is meant for the server, which still drains
    os.nice(10)
    try:
        service = Service(replace(deployment, reference=alias), options, shadow=True)
    except FrameworkError as error:
        connection.send(str(error))
        return
    connection.send(None)
    service.start()

    async def answer(path: str, body: bytes) -> str:
        try:
            await service.answers.handlers[path](body, Call("POST", path, b"", {}, b""))
        except Refusal:
            return "refused"
        except Exception:
            log.exception("shadow '%s' failed", alias)
            return "failed"
        return "answered"

    async def run() -> None:
        try:
            while True:
                path, body = await asyncio.to_thread(connection.recv)
                outcome = await answer(path, body)
                connection.send((outcome, service.follower.troubles.get(alias)))
        except (EOFError, OSError):
            await service.close()

    asyncio.run(run())
