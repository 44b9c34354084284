"""``hydra/launcher=ray``: the jobs of a multirun as Ray tasks. Hydra imports this at every start,
so Ray is not imported here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class RayLauncher(Launcher):
    """``cpus_per_job``: cores of a job, and threads of its numeric libraries. The rest is as in
    :class:`framework_ray_tune.RayOptions`.

    A job works in the folder the sweep was started in: on a cluster of several machines that folder
    is a shared one.
    """

    def __init__(self, cpus_per_job: float, **options: Any) -> None:
        self._cpus, self._options = cpus_per_job, options

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self._context, self._task, self._config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from framework_ray_tune import RayOptions
        from framework_ray_tune.cluster import connected, ray

        setup_globals()
        configure_log(self._config.hydra.hydra_logging, self._config.hydra.verbose)
        Path(str(self._config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        with connected(RayOptions(**self._options)):
            remote = ray.remote(num_cpus=self._cpus, max_retries=0)(_job)
            shared = ray.put(
                (str(Path.cwd()), self._context, self._config, self._task, Singleton.get_state())
            )
            pending = [
                remote.remote(shared, initial_job_idx + i, list(overrides))
                for i, overrides in enumerate(job_overrides)
            ]
            returned: list[JobReturn] = []
            for job in pending:
                returned.append(ray.get(job))
                print(json.dumps(returned[-1].return_value, default=str), flush=True)
            return returned


def _job(shared: tuple[Any, ...], number: int, overrides: list[str]) -> JobReturn:
    directory, context, config, task_function, state = shared
    os.chdir(directory)
    setup_globals()
    Singleton.set_state(state)
    job = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(job):
        job.hydra.job.id = f"{job.hydra.job.name}_{number}"
        job.hydra.job.num = number
    HydraConfig.instance().set_config(job)
    return run_job(
        hydra_context=context,
        config=job,
        task_function=task_function,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


ConfigStore.instance().store(
    group="hydra/launcher",
    name="ray",
    node={
        "_target_": "hydra_plugins.framework_ray_launcher.RayLauncher",
        "cpus_per_job": 1,
        "address": "${ray.address}",
        "num_cpus": "${ray.num_cpus}",
        "dashboard": "${ray.dashboard}",
        "object_store_memory": None,
    },
    provider="framework-ray-tune",
)
