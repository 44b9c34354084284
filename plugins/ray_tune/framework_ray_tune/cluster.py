"""Ray for the length of one piece of work: an existing cluster, or one that is started here and
ends with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from framework_ray import ENVIRONMENT, set_unset
from framework_ray.imports import meanwhile

from framework_ray_tune import RayOptions

#: A worker stays in the folder it was started in, so that relative paths keep their meaning.
set_unset(
    {
        **ENVIRONMENT,
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "PL_DISABLE_FORK": "1",
    }
)

from framework_ray import local  # noqa: E402  imports Ray, which reads the environment
from framework_ray.local import ray  # noqa: E402


@contextmanager
def connected(
    options: RayOptions, modules: Sequence[str] = (), preloads: Sequence[str] = ()
) -> Iterator[bool]:
    """Get Ray ready; yield whether it was started here, so that its workers have the environment
    variables of this process.

    While it starts, this process imports ``preloads``; the first workers of a Ray that is started
    here import ``modules``. Inside a worker of Ray, or where this process is connected already,
    that cluster is used and left as it is.
    """
    if ray.is_initialized():
        yield False
        return
    try:
        with meanwhile(preloads):
            if options.address is None:
                local.start(
                    options.num_cpus,
                    options.dashboard,
                    options.object_store_memory,
                    modules,
                    is_open=options.ray_open,
                )
            else:
                local.join(options.address, is_open=options.ray_open)
        yield options.address is None
    finally:
        ray.shutdown()
