"""Between Ray Tune's loop and the search: proposes configurations, collects what came of them, says
when it is over.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from ray import tune
from ray.tune.logger import TBXLoggerCallback
from ray.tune.search import Searcher

from framework.interfaces.tuner import DONE, FAILED, STOPPED, Search, Trial
from framework_ray_tune import RayTuneOptions
from framework_ray_tune.sampling import make_sampler
from framework_ray_tune.trainable import ERROR, FOLD, NODE, VALUE


@dataclass(slots=True)
class _Running:
    number: int
    values: dict[str, Any]
    started: float = field(default_factory=time.monotonic)
    folds: list[float] = field(default_factory=list)
    node: str = ""
    error: str | None = None
    deaths: int = 0


class Driver(Searcher):
    """Ray Tune's searcher. ``exhausted``: the budget or the space is used up, so that an end
    without it was an interruption.
    """

    def __init__(self, options: RayTuneOptions, search: Search) -> None:
        super().__init__(metric=VALUE, mode="min")
        self._search = search
        self._sampler = make_sampler(
            options.search, search.dimensions, search.seed, options.startup_trials, search.before
        )
        self._started = time.monotonic()
        self._next = max((trial.number for trial in search.before), default=-1) + 1
        self._running: dict[str, _Running] = {}
        self._ended = 0
        self._best = float("inf")
        self._stale = 0
        self._no_more = False
        self._again: list[_Running] = []
        self._retries = options.retries
        for trial in search.before:
            self._count(trial)
        self.exhausted = self._used_up()
        self.stopping = False
        self.cause: str | None = None

    def worker_lost(self, cause: str | None) -> None:
        """Why the worker is gone whose trial ends next."""
        self.cause = cause

    def suggest(self, trial_id: str) -> Any:
        if self.stopping:
            return Searcher.FINISHED
        if self._again:
            running = self._again.pop(0)
        elif self._enough():
            return None
        else:
            values = None if self._no_more else self._sampler.ask(self._next)
            if values is None:
                self._no_more = True
                return None if self._running else Searcher.FINISHED
            running = _Running(self._next, values)
            self._next += 1
        self._running[trial_id] = running
        return {"number": running.number, "values": running.values}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the recorder tells, with the errors' causes (see ``ended``)."""

    def began(self, trial_id: str) -> None:
        """A worker has taken the trial."""
        running = self._running.get(trial_id)
        if running is not None:
            running.started, running.folds = time.monotonic(), []

    def result(self, trial_id: str, result: dict[str, Any]) -> None:
        """One fold, or an error in it."""
        running = self._running.get(trial_id)
        if running is None:
            return
        running.node = str(result.get(NODE, ""))
        if ERROR in result:
            running.error = str(result[ERROR])
        else:
            running.folds = [*running.folds[: int(result[FOLD]) - 1], float(result[VALUE])]

    def ended(self, trial_id: str, died: str | None = None) -> None:
        """Keep the trial, or begin it again when its worker ``died``.

        One that was ended because the search is over had no chance: it is as if it had never begun.
        """
        running = self._running.get(trial_id)
        if running is None:
            return
        complete = len(running.folds) == self._search.objective.folds
        error = died or running.error
        if self.stopping and not complete and error is None:
            return
        del self._running[trial_id]
        if died and running.deaths < self._retries:
            running.deaths += 1
            self._again.append(running)
            return
        status = FAILED if error else DONE if complete else STOPPED
        value = running.folds[-1] if status == DONE else None
        seconds = round(time.monotonic() - running.started, 3)
        trial = Trial(
            running.number,
            running.values,
            status,
            tuple(running.folds),
            value,
            seconds,
            running.node,
            error,
        )
        self._sampler.tell(trial)
        self._count(trial)
        self._search.report(trial)
        self.over()

    def over(self) -> bool:
        """Tell whether the budget of the search ends it now."""
        if not self.stopping and (self._used_up() or self._done_with_the_space()):
            self.stopping = True
        self.exhausted = self.exhausted or self.stopping
        return self.stopping

    def _count(self, trial: Trial) -> None:
        self._ended += 1
        if trial.value is not None and trial.value < self._best:
            self._best, self._stale = trial.value, 0
        else:
            self._stale += 1

    def _used_up(self) -> bool:
        budget = self._search.budget
        return (
            (budget.trials is not None and self._ended >= budget.trials)
            or (budget.patience is not None and self._stale >= budget.patience)
            or (budget.seconds is not None and time.monotonic() - self._started >= budget.seconds)
        )

    def _enough(self) -> bool:
        """Tell whether the running trials make up the budget."""
        trials = self._search.budget.trials
        return trials is not None and self._ended + len(self._running) >= trials

    def _done_with_the_space(self) -> bool:
        return self._no_more and not self._running and not self._again

    def __reduce__(self) -> tuple[Any, ...]:
        """Ray Tune pickles what it is given, to go on by itself after a crash; here the core does
        that, and nothing of it is read back.
        """
        return object, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Driver:
        return self

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the core keeps the trials, and hands them back."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see ``save``."""


class Recorder(tune.Callback):
    """Tells the driver what happens to each trial."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._driver.began(trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._driver.result(trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._driver.ended(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._driver.ended(
            trial.trial_id, f"worker lost: {self._driver.cause or 'its process ended'}"[:500]
        )


class NoTensorBoard(TBXLoggerCallback):
    """Takes the place of the logger that Ray Tune adds: its library imports torch and boto3, for
    seconds, and nobody reads it.
    """

    def __init__(self) -> None:
        """Without what the logger makes there."""

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is opened."""

    def log_trial_start(self, trial: Any) -> None:
        """Nothing is written."""

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        """Nothing is written."""

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        """Nothing was opened."""


class Stop(tune.Stopper):
    """Ends the search when its budget is used up; trials end by themselves."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._driver.over()
