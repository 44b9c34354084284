"""Deploys the services, announces when they answer, and takes them away when it is told to stop."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

from framework.components import Components
from framework.errors import ConfigError, FrameworkError
from framework.interfaces.serving import ServingBackend
from framework.interfaces.values import PairVersion
from framework.serving import logs
from framework.serving.access import Access, check_address
from framework.serving.deployment import Deployment
from framework_ray_serve import RayServeOptions
from framework_ray_serve.cluster import prepare, serving

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class RayServeBackend(ServingBackend):
    """Ray and Ray Serve are imported when their environment is set."""

    options: RayServeOptions

    def serve(self, deployment: Deployment, announce: Callable[[str, PairVersion], None]) -> Mapping[str, Any] | None:
        options = self.options
        logs.configure(options.log)
        prepare(options)
        if options.dry_run:
            return self._write(deployment)
        check_address(options.host, Access(options.access), options.access)
        out = sys.stdout
        with _until_told_to_stop() as told, redirect_stdout(sys.stderr), serving(options) as found:  # Ray writes warnings to stdout
            told.listen()  # Ray has handlers of its own
            version = deployment.load(deployment.resolve(deployment.reference)).version  # what is refused is refused here, in one line
            app = options.app or deployment.name
            if app in found.others:
                raise FrameworkError(f"an application '{app}' runs in this cluster already; set serving.app=NAME for another name.")
            with _deployed(deployment, options, app):
                with redirect_stdout(out):
                    announce(found.url + options.route_prefix.rstrip("/"), version)
                told.wait()
        return None

    def _write(self, deployment: Deployment) -> Mapping[str, Any]:
        from framework_ray_serve.manifests import write

        parts = deployment.parts
        if not isinstance(parts, Components):
            raise ConfigError("serving.dry_run needs a composed configuration.")
        return {name: str(path) for name, path in write(deployment, parts.config.text, self.options).items()}


@contextmanager
def _deployed(deployment: Deployment, options: RayServeOptions, app: str) -> Iterator[None]:
    """The application runs; it is drained at the end."""
    from ray import serve

    from framework_ray_serve.application import make

    quiet = {"log_level": "WARNING", "enable_access_log": False}  # the server has a log of its own
    try:
        serve.run(make(deployment, options), name=app, route_prefix=options.route_prefix, logging_config=quiet)
        yield
    except RuntimeError as error:
        raise FrameworkError(f"the application '{app}' did not start: {_cause(app) or error}") from error
    finally:
        serve.delete(app)


def _cause(app: str) -> str | None:
    """What the replicas that failed say, in one line."""
    from ray import serve

    status = serve.status().applications.get(app)
    for deployment in status.deployments.values() if status is not None else ():
        lines = [line.strip() for line in deployment.message.splitlines() if line.strip()]
        errors = [line for line in lines if line.partition(":")[0].endswith("Error")]
        if errors:
            return errors[-1][:500]
    return None


class _Stopped(BaseException):
    """Raised where the program is when it is told to stop."""


class _Told:
    """Listens for SIGTERM and Ctrl-C; the first of them is raised, those after it change nothing."""

    def listen(self) -> None:
        for number in _SIGNALS:
            signal.signal(number, self._stop)

    def wait(self) -> None:
        while True:
            signal.pause()

    def _stop(self, number: int, frame: Any) -> None:
        for which in _SIGNALS:
            signal.signal(which, signal.SIG_IGN)
        raise _Stopped


@contextmanager
def _until_told_to_stop() -> Iterator[_Told]:
    """A block that a signal ends; it cleans up undisturbed."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    told = _Told()
    told.listen()
    try:
        yield told
    except _Stopped:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
