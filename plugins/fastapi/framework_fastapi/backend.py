"""The shared application under uvicorn: takes the address first, announces when it answers, drains
when it is told to stop.
"""

from __future__ import annotations

import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from framework.data.vocabulary import CPU
from framework.errors import ConfigError, FrameworkError, one_line
from framework.interfaces.registry import PairVersion
from framework.models.gpus import check_visible
from framework.serving.app.app import create_app
from framework.serving.backend import ServingBackend
from framework.serving.deployment import Deployment
from framework.serving.http import logs
from framework.serving.http.access import Access, check_address
from framework.serving.http.address import bind
from framework.serving.service import Service
from framework_fastapi import FastapiOptions
from framework_fastapi.draining import DrainingServer
from framework_fastapi.settings import configure
from framework_fastapi.workers import run_workers


class FastapiBackend(ServingBackend):
    """One process or several workers; small requests on the event loop, large ones in threads."""

    options: FastapiOptions

    def serve(self, deployment: Deployment, announce: Callable[[str, PairVersion], None]) -> None:
        options = self.options
        logs.configure(options.log)
        check_address(options.host, Access(options.access), options.access)
        check_visible(options.device or CPU, "serving.device")
        if (options.ssl_certfile is None) != (options.ssl_keyfile is None):
            raise ConfigError("serving.ssl_certfile and serving.ssl_keyfile go together.")
        if options.ssl_certfile is not None:
            check_certificate(options.ssl_certfile, options.ssl_keyfile)
        if options.workers > 1 and options.reload.seconds is None:
            raise ConfigError(
                "serving.reload.seconds: null is for one process; with workers each has to "
                "look by itself."
            )
        if options.workers > 1:
            version = deployment.resolve(deployment.reference)
            modules = deployment.modules(version)  # what is refused has started no worker
            with bind(options.host, options.port) as listener:
                run_workers(
                    deployment,
                    options,
                    modules,
                    listener,
                    lambda: announce(_url(options, listener), version),
                )
            return
        service = Service(deployment, options)  # nothing listens before a pair may answer
        with bind(options.host, options.port) as listener:
            url = _url(options, listener)
            server = DrainingServer(
                configure(create_app(service), options),
                lambda: announce(url, service.arms.table.primary.version),
            )
            with _signals_end_quietly():
                server.run(sockets=[listener])
            if not server.started:
                raise FrameworkError(f"the server on {url} did not start; its log above says why.")


def check_certificate(certfile: str, keyfile: str | None) -> None:
    """Raise :class:`ConfigError` for files that are not there or no certificate with its key."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certfile, keyfile)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"serving.ssl_certfile, serving.ssl_keyfile: {certfile} and {keyfile} are no "
            f"certificate and its key in PEM: {one_line(error)}."
        ) from None


def _url(options: FastapiOptions, listener: socket.socket) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"{'https' if options.ssl_certfile else 'http'}://{host}:{listener.getsockname()[1]}"


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
