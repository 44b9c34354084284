"""Ray for the length of one piece of work: an existing cluster, or one that is started here and ends with it."""

from __future__ import annotations

import importlib
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from framework.errors import FrameworkError
from framework_ray_tune import RayOptions

#: Before Ray is imported: no telemetry; a worker stays in the folder it was started in, so that relative paths keep their meaning, and
#: has the priority of any other process (Ray's own is the lowest but four, at which a fit waits for all else on a busy machine).
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_worker_niceness": "0",
}
for _key, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_key, _value)

import ray  # noqa: E402  reads the environment


@contextmanager
def connected(options: RayOptions, modules: Sequence[str] = ()) -> Iterator[None]:
    """Ray is ready. ``modules`` are imported while it starts, here and, when it is started here, in its first worker processes.

    Inside a worker of Ray, or where this process is connected already, that cluster is used and left as it is.
    """
    if ray.is_initialized():
        yield
        return
    imports = threading.Thread(target=_import, args=(modules,), daemon=True)
    imports.start()
    try:
        _start(options, modules)
        imports.join()
        yield
    finally:
        ray.shutdown()


def _start(options: RayOptions, modules: Sequence[str]) -> None:
    try:
        if options.address is not None:
            ray.init(address=options.address, log_to_driver=False, logging_level=logging.ERROR)
            return
        ray.init(
            address="local",
            num_cpus=options.num_cpus,
            include_dashboard=options.dashboard,
            object_store_memory=options.object_store_memory,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray raises a plain one when its start takes too long
        where = options.address or "a cluster on this machine"
        raise FrameworkError(f"ray.address: {where} cannot be reached: {' '.join(str(error).split())[:300]}") from error
    warm = ray.remote(num_cpus=1)(_import)
    for _ in range(int(ray.cluster_resources().get("CPU", 1))):
        warm.remote(modules)


def _import(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
