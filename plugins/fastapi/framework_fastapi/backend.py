"""The shared application under uvicorn: in one process or in several."""

from __future__ import annotations

import resource
import ssl
from collections.abc import Callable
from importlib.util import find_spec

from framework.data.vocabulary import CPU
from framework.errors import ConfigError, FrameworkError, one_line
from framework.interfaces.registry import PairVersion
from framework.models.gpus import check_visible
from framework.serving.backend import ServingBackend
from framework.serving.deployment import Deployment
from framework.serving.http import logs
from framework.serving.http.access import Access, check_address
from framework.serving.http.address import bind
from framework_fastapi import FastapiOptions

#: Files that a server must be allowed to open: those of its own, and a few connections.
_LEAST = 64


class FastapiBackend(ServingBackend):
    """One process or several workers; small requests on the event loop, large ones in threads."""

    options: FastapiOptions

    def serve(self, deployment: Deployment, announce: Callable[[str, PairVersion], None]) -> None:
        options = self.options
        logs.configure(options.log)
        check_files()
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
        if options.grpc.port is not None:
            _check_grpc(options.host, options.grpc.port)
        # each way imports what it needs: a supervisor of workers does not wait for numpy
        if options.workers > 1:
            from framework_fastapi.workers import run_workers

            run_workers(
                deployment,
                options,
                lambda: bind(options.host, options.port),
                lambda listener, version: announce(
                    _url(options, listener.getsockname()[1]), version
                ),
            )
            return
        from framework_fastapi.single import run

        run(deployment, options, lambda port: _url(options, port), announce)


def check_files() -> None:
    """Raise :class:`FrameworkError` where this process may open too few files for a server. Its
    event loop would end it without a word.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _LEAST:
        raise FrameworkError(
            f"this process may open {soft} files, and a server needs {_LEAST} at least and one for "
            "each connection; raise the limit (ulimit -n)."
        )


def check_certificate(certfile: str, keyfile: str | None) -> None:
    """Raise :class:`ConfigError` for files that are not there or no certificate with its key."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certfile, keyfile)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"serving.ssl_certfile, serving.ssl_keyfile: {certfile} and {keyfile} are no "
            f"certificate and its key in PEM: {one_line(error)}."
        ) from None


def _check_grpc(host: str, port: int) -> None:
    """Raise :class:`ConfigError` without the packages, :class:`FrameworkError` for a port that is
    taken: workers would share it with whoever has it.
    """
    if find_spec("grpc") is None:
        raise ConfigError(
            "serving.grpc.port: grpcio is not installed; run: pip install framework-fastapi[grpc]"
        )
    bind(host, port, "serving.grpc.port").close()


def _url(options: FastapiOptions, port: int) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"{'https' if options.ssl_certfile else 'http'}://{host}:{port}"
