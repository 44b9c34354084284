"""``tuner=ray`` and ``compute=ray``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from framework_ray.options import RAY, shared
from pydantic import Field, PositiveFloat, PositiveInt

from framework.interfaces.plugin import Component, Section, hookimpl
from framework.options import Options

if TYPE_CHECKING:
    from framework.interfaces.tuner import Dimension, Trial
    from framework.plugins.run import Run


class RayOptions(Options):
    """The options of Ray for a search; its address is in the section ``ray``.

    ``object_store_memory``: bytes of a Ray that is started here, null for Ray's own choice.
    """

    address: str | None = shared("address")
    num_cpus: PositiveInt | None = shared("num_cpus")
    dashboard: bool = shared("dashboard")
    ray_open: bool = shared("open")
    object_store_memory: PositiveInt | None = None


class RayTuneOptions(RayOptions):
    """``search``: Optuna's ``tpe`` (random for the first ``startup_trials``), ``random``, or every
    point of a ``grid``.

    ``scheduler: asha`` stops a trial after a fold (``grace_folds`` at the earliest) unless it is
    among the best ``1 / reduction_factor`` of those that came as far. A trial has
    ``cpus_per_trial`` cores and, in its numeric libraries, as many threads; ``concurrent`` of them
    at a time (null: what the CPUs allow). ``trial_seconds``: a trial that takes longer has failed.
    ``retries``: how often a trial is begun again whose worker process died.
    """

    search: Literal["tpe", "random", "grid"] = "tpe"
    startup_trials: PositiveInt = 10
    scheduler: Literal["asha", "none"] = "asha"
    grace_folds: PositiveInt = 1
    reduction_factor: int = Field(default=3, ge=2)
    cpus_per_trial: PositiveFloat = 1
    concurrent: PositiveInt | None = None
    trial_seconds: PositiveFloat | None = None
    retries: int = Field(default=1, ge=0)


class RayComputeOptions(RayOptions):
    """``cpus_per_task``: cores, and threads of the numeric libraries, of one fold or piece."""

    cpus_per_task: PositiveFloat = 1


@hookimpl
def sections() -> list[Section]:
    return [RAY]


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "tuner",
            "ray",
            "framework_ray_tune.tuner:RayTuner",
            RayTuneOptions,
            "Ray Tune with Optuna",
        ),
        Component(
            "compute",
            "ray",
            "framework_ray_tune.compute:RayCompute",
            RayComputeOptions,
            "folds and pieces as tasks of a Ray cluster",
        ),
    ]


@hookimpl
def search_finished(run: Run, trials: list[Trial], dimensions: tuple[Dimension, ...]) -> list[Path]:
    if run.config.component("tuner").name != "ray":
        return []
    from framework_ray_tune.plots import write_plots

    return write_plots(run, trials, dimensions)
