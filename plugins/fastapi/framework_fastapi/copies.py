"""Processes that are copies of one that has imported everything: what takes seconds is done once
for all workers, and its memory is theirs together. That process opens no pair: numeric libraries
start threads when they compute, and a copy has none of them. (OpenBLAS starts one when numpy is
imported, and starts it again in a copy.)
"""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Callable, Sequence
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import Any

import uvicorn
from uvicorn.supervisors import multiprocess

from framework.errors import FrameworkError
from framework_fastapi.draining import DrainingServer
from framework_fastapi.settings import Config

_copies = multiprocessing.get_context("forkserver")


def prepare(modules: Sequence[str]) -> SimpleQueue[FrameworkError]:
    """Let uvicorn's supervisor start :class:`Worker` (it has no other way to be told), as copies of
    a process that has imported the modules. That process begins now; it is ready once
    :func:`framework_fastapi.served_pair.tell` has told it the pair.

    Args:
        modules: Their names. One that cannot be imported is left to the workers, which say so.

    Returns:
        Why a worker refused to start.
    """
    multiprocess.Process = Worker  # type: ignore[misc]
    _copies.set_forkserver_preload(
        ["framework_fastapi.uncollected", *modules, "framework_fastapi.original"]
    )
    forkserver.ensure_running()
    return _copies.SimpleQueue()


class Worker(multiprocess.Process):
    """One of several processes; its server drains, too."""

    process: BaseProcess

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.process = _copies.Process(target=_begin, args=(config, self.target, sockets))

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            assert isinstance(self.config, Config)
            self._server = DrainingServer(self.config)
        return self._server


def _begin(config: uvicorn.Config, serve: Callable[..., Any], sockets: list[socket.socket]) -> None:
    """Run one worker, in its process."""
    config.configure_logging()
    serve(sockets=sockets)
