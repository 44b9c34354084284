"""Several processes behind one socket. Each opens the pair and follows its aliases by itself; they
count together, and all do what an operator asks one of them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import parent_process
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import SIGNALS, Multiprocess

from framework.errors import FrameworkError
from framework.serving.app.app import create_app
from framework.serving.arms.follower import worst_outcome
from framework.serving.deployment import Deployment
from framework.serving.http import logs
from framework.serving.http.asgi import App
from framework.serving.http.metric_registry import FOLDER_VARIABLE
from framework.serving.http.refusal import Refusal
from framework.serving.service import Service
from framework_fastapi import FastapiOptions
from framework_fastapi.copies import prepare
from framework_fastapi.draining import take_no_more
from framework_fastapi.peers import Peers
from framework_fastapi.settings import configure

#: Seconds without a sign of life after which a worker is replaced.
_HANGS = 60


def run_workers(
    deployment: Deployment,
    options: FastapiOptions,
    modules: Sequence[str],
    listener: socket.socket,
    ready: Callable[[], None],
) -> None:
    """Until a signal: start them, start one that died again, drain all. ``modules``: what all of
    them import. Raises :class:`FrameworkError` when they do not start.
    """
    figures = Path(tempfile.mkdtemp(prefix="framework-metrics-"))
    before = {number: signal.getsignal(number) for number in SIGNALS}
    inherited = os.environ.get(FOLDER_VARIABLE)
    os.environ[FOLDER_VARIABLE] = str(figures)  # for the workers, which inherit it
    try:
        refusals = prepare(modules)
        config = configure(
            partial(make_app, deployment, options, figures, refusals),
            options,
            factory=True,
            workers=options.workers,
            timeout_worker_healthcheck=_HANGS,
        )
        workers = _Workers(config, [listener], ready, figures)
        workers.run()
    finally:
        del os.environ[FOLDER_VARIABLE]
        if inherited is not None:
            os.environ[FOLDER_VARIABLE] = inherited
        for number, handler in before.items():
            signal.signal(number, handler)
        shutil.rmtree(figures)
    if workers.failed:
        if not refusals.empty():
            raise refusals.get()
        raise FrameworkError("a worker did not start; its log above says why.")


def make_app(
    deployment: Deployment,
    options: FastapiOptions,
    folder: Path,
    refusals: SimpleQueue[FrameworkError],
) -> App:
    """The application of one worker, in its process. ``folder``: the workers'. A worker that may
    not start tells the supervisor by ``refusals``, and ends.
    """
    logs.configure(options.log)
    threading.Thread(target=_end_with_supervisor, name="supervisor", daemon=True).start()
    try:
        if os.environ.get(FOLDER_VARIABLE) != str(folder):
            raise FrameworkError(
                "serving.workers: this process has supervised workers before; start another one."
            )
        return create_app(WorkerService(deployment, options, folder))
    except FrameworkError as error:
        refusals.put(error)
        sys.exit(STARTUP_FAILURE)


def _end_with_supervisor() -> None:
    """A supervisor that was killed tells nobody; its workers would keep the port, and follow
    nothing that is done about the server.
    """
    supervisor = parent_process()
    if supervisor is not None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)


class WorkerService(Service):
    """One of several: a reload is everybody's."""

    def __init__(self, deployment: Deployment, options: FastapiOptions, folder: Path) -> None:
        super().__init__(deployment, options, figures=folder)
        self._peers = Peers(folder, self.follower.look_now)

    async def reload(self) -> dict[str, Any]:
        """The worst outcome for each alias, and the ``workers``' own. Raises
        :class:`Refusal` when one does not answer.
        """
        answers = await asyncio.to_thread(self._peers.ask, _HANGS)
        late = [pid for pid, answer in answers.items() if answer is None]
        if late:
            raise Refusal(
                503,
                f"{len(late)} of {len(answers)} workers have not looked within {_HANGS} s "
                f"(process {late[0]})",
                retry_after=1,
            )
        aliases = worst_outcome(list(answers.values()))
        return {
            "aliases": aliases,
            "workers": [{"pid": pid, "aliases": answer} for pid, answer in sorted(answers.items())],
        }

    def start(self) -> None:
        super().start()
        self._peers.start()

    async def close(self) -> None:
        self._peers.stop()
        await super().close()


class _Workers(Multiprocess):
    """Says when all are up; forgets the gauges of one that died."""

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        ready: Callable[[], None],
        figures: Path,
    ) -> None:
        super().__init__(config, sockets)
        self._ready, self._figures, self.failed = ready, str(figures), False

    def init_processes(self) -> None:
        super().init_processes()
        while not all(worker.is_ready(timeout=1) for worker in self.processes):
            self.handle_signals()
            if any(worker.exitcode is not None for worker in self.processes):
                self.failed = True
                self.should_exit.set()
            if self.should_exit.is_set():
                return
            time.sleep(0.05)
        self._ready()

    def terminate_all(self) -> None:
        """Let them answer what has arrived, and end."""
        for listener in self.sockets:
            take_no_more(listener)
        super().terminate_all()

    def keep_subprocess_alive(self) -> None:
        before = {worker.pid for worker in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {worker.pid for worker in self.processes}:
            mark_process_dead(pid, self._figures)  # type: ignore[no-untyped-call]
