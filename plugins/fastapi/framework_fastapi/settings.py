"""The options as uvicorn has them."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import uvicorn

from framework.serving.http.address import BACKLOG
from framework_fastapi import FastapiOptions
from framework_fastapi.protocol import BoundedConnection

#: Connections of a process whose system allows any number of files.
_MOST = 10_000


@dataclass
class ConnectionLimits:
    """The bounds of the connections of one process. ``protocols``: how many are spoken, each with
    as many connections. ``stopping``: each answer closes its own.
    """

    head_timeout: float
    most: int | None
    protocols: int = 1
    stopping: bool = False

    @cached_property
    def connections(self) -> int:
        """The largest number of connections of a protocol: by default they share three quarters of
        the files that the process may still open.
        """
        if self.most is not None:
            return self.most
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            return _MOST
        files = (soft - len(os.listdir("/dev/fd"))) * 3 // 4
        return max(8, min(files // self.protocols, _MOST))


class Config(uvicorn.Config):
    """uvicorn's configuration, and what a server needs beside it: the limits of connections, all
    options.
    """

    limits: ConnectionLimits
    options: FastapiOptions

    def load(self) -> None:
        """Load the application, in the process that serves it."""
        super().load()
        _ = self.limits.connections  # counted before the first connection is there


def configure(app: Any, options: FastapiOptions, **more: Any) -> Config:
    """uvicorn's configuration for an application, or for a factory of one."""
    config = Config(
        app,
        http=BoundedConnection,
        loop="uvloop",
        ws="none",
        log_config=None,
        log_level=options.log.level,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=max(1, round(options.graceful_timeout)),
        ssl_certfile=options.ssl_certfile,
        ssl_keyfile=options.ssl_keyfile,
        **more,
    )
    protocols = 1 if options.grpc.port is None else 2
    config.limits = ConnectionLimits(options.head_timeout, options.max_connections, protocols)
    config.options = options
    return config
