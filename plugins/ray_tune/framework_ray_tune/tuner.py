"""``tuner=ray``: Ray Tune runs the trials; Optuna proposes them; the core keeps them."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from framework.errors import ConfigError, FrameworkError
from framework.interfaces.tuner import Search, Tuner
from framework.secrets import masked
from framework_ray_tune import RayTuneOptions
from framework_ray_tune.cluster import connected

if TYPE_CHECKING:
    from framework_ray_tune.driver import Driver

#: Imported while Ray starts, by its first workers and by the driver.
_TRIALS = ("framework_ray_tune.worker_imports",)
_DRIVER = ("framework_ray_tune.driver", "framework_ray.private_parts")


class RayTuner(Tuner):
    """The panel and the folds go into the object store once; each worker reads them once and takes
    trial after trial.
    """

    options: RayTuneOptions

    def search(self, search: Search) -> bool:
        options = self.options
        if (
            options.search == "grid"
            and search.budget.trials is None
            and search.budget.seconds is None
        ):
            search.say("tune: the whole grid")
        with connected(options, _TRIALS, _DRIVER) as is_own_cluster:
            from framework_ray_tune.driver import Driver

            driver = Driver(options, search)
            if driver.exhausted:
                return True
            with _stopped_by_sigterm():
                self._fit(driver, search, is_own_cluster)
            return driver.exhausted

    def _fit(self, driver: Driver, search: Search, is_own_cluster: bool) -> None:
        from framework_ray.private_parts import managed_actors
        from ray import tune
        from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

        from framework_ray_tune.cluster import ray
        from framework_ray_tune.driver import NoTensorBoard, Recorder, Stop
        from framework_ray_tune.trainable import FOLD, VALUE, FoldTrainable

        options = self.options
        available = ray.cluster_resources().get("CPU", 0.0)
        if options.cpus_per_trial > available:
            raise ConfigError(
                f"tuner.cpus_per_trial: {options.cpus_per_trial:g}, the cluster has "
                f"{available:g} CPUs."
            )
        scheduler: TrialScheduler = FIFOScheduler()
        if options.scheduler == "asha" and search.objective.folds > options.grace_folds:
            scheduler = ASHAScheduler(
                time_attr=FOLD,
                metric=VALUE,
                mode="min",
                max_t=search.objective.folds,
                grace_period=options.grace_folds,
                reduction_factor=options.reduction_factor,
            )
        trainable = tune.with_parameters(
            FoldTrainable,
            objective=search.objective,
            seconds=options.trial_seconds,
            cpus=options.cpus_per_trial,
        )
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"CPU": options.cpus_per_trial}),
            tune_config=tune.TuneConfig(
                search_alg=driver,
                scheduler=scheduler,
                num_samples=-1,  # the driver counts
                reuse_actors=True,
                max_concurrent_trials=options.concurrent
                or max(1, math.floor(available / options.cpus_per_trial)),
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(search.directory.resolve()),
                verbose=0,
                stop=Stop(driver),
                callbacks=[Recorder(driver), NoTensorBoard()],
                failure_config=tune.FailureConfig(max_failures=0),  # the driver begins it again
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            with managed_actors(driver.worker_lost, same_environment=is_own_cluster):
                tuner.fit()
        except tune.TuneError as error:
            raise FrameworkError(
                f"tune: Ray Tune ended: {masked(' '.join(str(error).split()))[-400:]}; "
                "resume=true goes on."
            ) from error


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the search as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
