"""A server of one process: takes the address, announces when it answers, drains when it is told to
stop.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from framework.errors import FrameworkError
from framework.interfaces.registry import PairVersion
from framework.serving.app.app import create_app
from framework.serving.deployment import Deployment
from framework.serving.http.address import bind
from framework.serving.service import Service
from framework_fastapi import FastapiOptions
from framework_fastapi.draining import DrainingServer
from framework_fastapi.settings import configure


def run(
    deployment: Deployment,
    options: FastapiOptions,
    url_of: Callable[[int], str],
    announce: Callable[[str, PairVersion], None],
) -> None:
    """Serve until a signal.

    Args:
        deployment: What is served.
        options: Of the server.
        url_of: Gives the URL of a port.
        announce: Called once requests are answered, with the URL and the pair.

    Raises:
        FrameworkError: It does not start.
    """
    service = Service(deployment, options)  # nothing listens before a pair may answer
    with bind(options.host, options.port) as listener:
        url = url_of(listener.getsockname()[1])
        server = DrainingServer(
            configure(create_app(service), options),
            lambda: announce(url, service.arms.table.primary.version),
        )
        with _signals_end_quietly():
            server.run(sockets=[listener])
        if not server.started:
            raise FrameworkError(f"the server on {url} did not start; its log above says why.")


@contextmanager
def _signals_end_quietly() -> Iterator[None]:
    """uvicorn raises the signal that stopped it again once it has drained; a stop that was asked
    for is not a failure.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
