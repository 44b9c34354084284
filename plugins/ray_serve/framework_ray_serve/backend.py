"""Deploys the services, announces when they answer, and takes them away when it is told to stop."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from time import monotonic
from typing import TYPE_CHECKING, Any

from framework.errors import ConfigError, FrameworkError
from framework.interfaces.registry import PairVersion
from framework.plugins.components import Components
from framework.serving.backend import ServingBackend
from framework.serving.deployment import Deployment
from framework.serving.http import logs
from framework.serving.http.access import Access, check_address
from framework_ray_serve import RayServeOptions
from framework_ray_serve.cluster.cluster import LostControlError, prepare, serving
from framework_ray_serve.scaling.presets import check_device, check_reserved, idle_gpus

if TYPE_CHECKING:
    from ray.serve.schema import ApplicationStatusOverview

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: Seconds between two looks whether Ray's control service is there.
_CHECK = 1.0
#: Seconds between two looks whether the services run: each takes some milliseconds of Ray's
#: controller, which starts them.
_LOOK = 0.25


class RayServeBackend(ServingBackend):
    """Ray and Ray Serve are imported when their environment is set."""

    options: RayServeOptions

    def serve(
        self, deployment: Deployment, announce: Callable[[str, PairVersion], None]
    ) -> Mapping[str, Any] | None:
        options = self.options
        logs.configure(options.log)
        prepare(options)
        check_address(options.host, Access(options.access), options.access)
        check_device(options)
        idle = idle_gpus(options)
        if idle is not None:
            print(f"serve: {idle}", file=sys.stderr)
        if options.dry_run:
            return self._write(deployment)
        check_reserved(options)
        out = sys.stdout
        with (
            _until_stopped() as stop_signal,
            _being_proven(deployment) as proven_version,
            redirect_stdout(sys.stderr),
            serving(options) as cluster,
        ):  # Ray writes warnings to stdout
            stop_signal.listen()  # Ray has handlers of its own
            version = proven_version()  # a byte that differs has started no service
            app = options.app or deployment.name
            if app in cluster.others:
                raise FrameworkError(
                    f"an application '{app}' runs in this cluster already; set "
                    "serving.app=NAME for another name."
                )
            with _deployed(deployment, version, options, app):
                with redirect_stdout(out):
                    announce(cluster.url + options.route_prefix.rstrip("/"), version)
                stop_signal.wait(cluster.check)
        return None

    def _write(self, deployment: Deployment) -> Mapping[str, Any]:
        from framework_ray_serve.cluster.manifests import write

        parts = deployment.parts
        if not isinstance(parts, Components):
            raise ConfigError("serving.dry_run needs a composed configuration.")
        return {
            name: str(path)
            for name, path in write(deployment, parts.config.text, self.options).items()
        }


@contextmanager
def _being_proven(deployment: Deployment) -> Iterator[Callable[[], PairVersion]]:
    """Find the pair and prove its bytes in a thread, while Ray starts.

    Yields:
        Waits for the pair. Raises what :meth:`Deployment.resolve` and :meth:`Deployment.fetch` do.
    """

    def proven() -> PairVersion:
        version = deployment.resolve(deployment.reference)
        deployment.fetch(version)
        return version

    with ThreadPoolExecutor(1, thread_name_prefix="proof") as threads:
        yield threads.submit(proven).result


@contextmanager
def _deployed(
    deployment: Deployment, version: PairVersion, options: RayServeOptions, app: str
) -> Iterator[None]:
    """The application runs; it is drained at the end, where there is still somebody to ask."""
    from ray import serve

    from framework_ray_serve.application import make

    quiet = {"log_level": "WARNING", "enable_access_log": False}  # the server has a log of its own
    try:
        target = serve.RunTarget(
            make(deployment, options), app, options.route_prefix, logging_config=quiet
        )
        serve.run_many([target], wait_for_applications_running=False)
        _wait(app, options.start_timeout_s, lambda: deployment.load(version))
        yield
    except LostControlError:
        raise
    except RuntimeError as error:
        serve.delete(app)
        raise FrameworkError(f"the application '{app}' did not start: {error}") from error
    except BaseException:
        serve.delete(app)
        raise
    serve.delete(app)


def _wait(app: str, seconds: float, open_pair: Callable[[], object]) -> None:
    """Wait until all services run. Raises :class:`FrameworkError` when one cannot, or there is no
    room for it in the cluster.

    ``open_pair`` raises what a replica has raised where that refuses the pair. Replicas open the
    pair in any case; this process, which answers nobody, opens it for the cause alone.
    """
    from ray import serve

    deadline = monotonic() + seconds
    while True:
        status = serve.status().applications[app]
        if status.status == "RUNNING":
            return
        if status.status == "DEPLOY_FAILED":
            open_pair()
            raise FrameworkError(f"the application '{app}' did not start: {_cause(status)}")
        if monotonic() > deadline:
            waiting = [
                name
                for name, deployment in status.deployments.items()
                if deployment.status != "HEALTHY"
            ]
            raise FrameworkError(
                f"the application '{app}' did not start within {seconds:g} s "
                f"(serving.start_timeout_s): {', '.join(waiting)} waits for a "
                "place in the cluster, or for its pair; free CPUs there, or ask for fewer "
                "(num_cpus of the service)."
            )
        time.sleep(_LOOK)


def _cause(status: ApplicationStatusOverview) -> str:
    """Return the messages of the replicas that failed, in one line."""
    messages = [deployment.message for deployment in status.deployments.values()]
    errors = [
        line.strip()
        for message in messages
        for line in message.splitlines()
        if line.partition(":")[0].strip().endswith("Error")
    ]
    return errors[-1][:500] if errors else " ".join(status.message.split())[:500]


class _Stopped(BaseException):
    """Raised where the program is when it is told to stop."""


class _StopSignal:
    """Listens for SIGTERM and Ctrl-C; the first of them is raised, those after it change
    nothing.
    """

    def listen(self) -> None:
        for number in _SIGNALS:
            signal.signal(number, self._stop)

    def wait(self, check: Callable[[], None]) -> None:
        """Wait for a signal, or for an error of ``check``, which is called again and again."""
        while True:
            time.sleep(_CHECK)
            check()

    def _stop(self, number: int, frame: Any) -> None:
        for which in _SIGNALS:
            signal.signal(which, signal.SIG_IGN)
        raise _Stopped


@contextmanager
def _until_stopped() -> Iterator[_StopSignal]:
    """A block that a signal ends; it cleans up undisturbed."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    stop_signal = _StopSignal()
    stop_signal.listen()
    try:
        yield stop_signal
    except _Stopped:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
