"""Ray for the length of one piece of work: an existing cluster, or one that is started here and ends with it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from framework.errors import FrameworkError
from framework_ray_tune import RayOptions
from framework_ray_tune.imports import import_all, uncollected

#: Before Ray is imported: no telemetry; a worker stays in the folder it was started in, so that relative paths keep their meaning, and
#: has the priority of any other process (Ray's own is the lowest but four, at which a fit waits for all else on a busy machine).
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_worker_niceness": "0",
    "PL_DISABLE_FORK": "1",
}
for _key, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_key, _value)

with uncollected():
    import ray  # reads the environment

    from framework_ray_tune.processes import few_processes


@contextmanager
def connected(options: RayOptions, modules: Sequence[str] = (), here: Sequence[str] = ()) -> Iterator[bool]:
    """Ray is ready; yields whether it was started here, so that its workers have the environment variables of this process.

    While it starts, this process imports ``here``; the first workers of a Ray that is started here import ``modules``.
    Inside a worker of Ray, or where this process is connected already, that cluster is used and left as it is.
    """
    if ray.is_initialized():
        yield False
        return
    imports = threading.Thread(target=import_all, args=(here,), daemon=True)
    imports.start()
    try:
        if options.address is None:
            _start(options, modules)
        else:
            _join(options.address)
        imports.join()
        yield options.address is None
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    with _reaching(address):
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)


def _start(options: RayOptions, modules: Sequence[str]) -> None:
    with _reaching("a cluster on this machine"), nullcontext() if options.dashboard else few_processes():
        try:
            _init(options, modules)
        except Exception as error:  # Ray raises a plain one
            if "timed out during startup" not in str(error):
                raise
            # Where several start on a busy machine: a raylet (2.60) ends itself when its agents are not up after 15 s, and has no setting
            # for it. A second start is quicker, and what is left of the first ends with this process.
            _init(options, modules)


def _init(options: RayOptions, modules: Sequence[str]) -> None:
    ray.init(
        address="local",
        num_cpus=options.num_cpus,
        include_dashboard=options.dashboard,
        object_store_memory=options.object_store_memory,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _system_config={
            "preload_python_modules": list(modules),
            # By its own default Ray ends an idle worker when a trial has reserved its CPU, a moment before the trial asks for a worker.
            "idle_worker_killing_time_threshold_ms": 60_000,
            # The raylet knocks at its own object store before that listens, and by its own default waits a second to knock again.
            "raylet_client_connect_timeout_milliseconds": 50,
            "raylet_client_num_connect_attempts": 200,
        },
    )


@contextmanager
def _reaching(where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Ray raises a plain one when its start takes too long
        raise FrameworkError(f"ray.address: {where} cannot be reached: {' '.join(str(error).split())[:300]}") from error
