"""Supervises several processes behind one socket, each a :mod:`framework_fastapi.worker`. The
supervisor answers no request and imports little.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.supervisors.multiprocess import SIGNALS, Multiprocess

from framework.errors import FrameworkError
from framework.interfaces.registry import PairVersion
from framework.plugins.components import Components
from framework.serving.deployment import Deployment
from framework.serving.http.asgi import App
from framework.serving.http.metric_registry import FOLDER_VARIABLE
from framework_fastapi import FastapiOptions
from framework_fastapi.copies import prepare
from framework_fastapi.draining import take_no_more
from framework_fastapi.served_pair import begin, tell
from framework_fastapi.settings import configure

#: Seconds without a sign of life after which a worker is replaced.
_HANGS = 60


def run_workers(
    deployment: Deployment,
    options: FastapiOptions,
    listen: Callable[[], socket.socket],
    ready: Callable[[socket.socket, PairVersion], None],
) -> None:
    """Start workers, start one that died again, drain all at a signal.

    Args:
        deployment: What they serve.
        options: Of the server.
        listen: Takes the address, once the pair is found.
        ready: Called with the bound socket and the pair when all answer.

    Raises:
        FrameworkError: They do not start. What is refused has started no worker.
    """
    figures = Path(tempfile.mkdtemp(prefix="framework-metrics-"))
    before = {number: signal.getsignal(number) for number in SIGNALS}
    inherited = os.environ.get(FOLDER_VARIABLE)
    os.environ[FOLDER_VARIABLE] = str(figures)  # for the workers, which inherit it
    try:
        begin(figures)
        refusals = prepare(deployment.modules())
        version = _found(deployment, figures)
        config = configure(
            partial(_make_app, deployment, options, figures, refusals),
            options,
            factory=True,
            workers=options.workers,
            timeout_worker_healthcheck=_HANGS,
        )
        with listen() as listener:
            workers = _Workers(config, [listener], lambda: ready(listener, version), figures)
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


def _found(deployment: Deployment, folder: Path) -> PairVersion:
    """Find the pair, and tell the process whose copies are the workers, which waits for it."""
    version = deployment.resolve(deployment.reference)
    parts = deployment.parts
    config = parts.config.text if isinstance(parts, Components) else ""
    tell(folder, deployment.modules(version), config)
    return version


def _make_app(
    deployment: Deployment,
    options: FastapiOptions,
    folder: Path,
    refusals: SimpleQueue[FrameworkError],
) -> App:
    """Make the application of one worker, in its process: that imports what it serves with."""
    from framework_fastapi.worker import make_app

    return make_app(deployment, options, folder, refusals)


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
