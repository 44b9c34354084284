"""The choice of the next configuration: from Optuna, or from the points of a grid."""

from __future__ import annotations

import itertools
import json
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from framework.errors import ConfigError
from framework.interfaces.tuner import DONE, STOPPED, Dimension, Trial

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Sampler(ABC):
    """Gives values for the active dimensions, parents first."""

    @abstractmethod
    def ask(self, number: int) -> dict[str, Any] | None:
        """The values of a new trial, None when there are no more."""

    @abstractmethod
    def tell(self, trial: Trial) -> None:
        """Record how a trial of :meth:`ask` has ended."""


def make_sampler(
    search: str, dimensions: Sequence[Dimension], seed: int, startup: int, before: Sequence[Trial]
) -> Sampler:
    """``before``: ended trials to learn from and not to repeat."""
    if search == "grid":
        return GridPoints(dimensions, before)
    return OptunaSampler(search, dimensions, seed + len(before), startup, before)


class GridPoints(Sampler):
    """Every combination, in the order of the declaration; a conditional dimension only where it is
    active.
    """

    def __init__(self, dimensions: Sequence[Dimension], before: Sequence[Trial]) -> None:
        self._points = iter(list(_points(list(dimensions), {})))
        self._seen = {_text(trial.values) for trial in before}

    def ask(self, number: int) -> dict[str, Any] | None:
        return next((point for point in self._points if _text(point) not in self._seen), None)

    def tell(self, trial: Trial) -> None:
        """A grid learns nothing."""


def _text(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


def _points(dimensions: list[Dimension], values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not dimensions:
        yield values
        return
    first, rest = dimensions[0], dimensions[1:]
    if not first.active(values):
        yield from _points(rest, values)
        return
    for value in grid_values(first):
        yield from _points(rest, {**values, first.path: value})


def grid_values(dimension: Dimension) -> list[Any]:
    """The values a grid takes of one dimension. Raises :class:`ConfigError` for a continuous one
    that does not say how many.
    """
    if dimension.kind == "choice":
        return list(dimension.choices)
    low, high = dimension.low, dimension.high
    if dimension.kind in ("int", "logint") and dimension.points is None:
        return list(range(int(low), int(high) + 1, dimension.step))
    if dimension.points is None:
        raise ConfigError(
            f"space.{dimension.path}: a grid needs a choice, or points: such as "
            f"{{{dimension.kind}: [{low:g}, {high:g}], points: 5}}."
        )
    spaced = (
        np.geomspace(low, high, dimension.points)
        if dimension.kind.startswith("log")
        else np.linspace(low, high, dimension.points)
    )
    if dimension.kind in ("int", "logint"):
        return sorted({round(float(value)) for value in spaced})
    return [float(value) for value in spaced]


class OptunaSampler(Sampler):
    """A study in memory; what must survive is kept by the core, and comes back as ``before``."""

    def __init__(
        self,
        search: str,
        dimensions: Sequence[Dimension],
        seed: int,
        startup: int,
        before: Sequence[Trial],
    ) -> None:
        self._dimensions = tuple(dimensions)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler: optuna.samplers.BaseSampler = (
                optuna.samplers.RandomSampler(seed)
                if search == "random"
                else optuna.samplers.TPESampler(
                    seed=seed,
                    n_startup_trials=startup,
                    multivariate=True,
                    group=True,
                    constant_liar=True,
                )
            )
        self._study = optuna.create_study(sampler=sampler)
        for trial in before:
            self._study.add_trial(frozen(trial, self._dimensions))
        self._asked: dict[int, optuna.Trial] = {}

    def ask(self, number: int) -> dict[str, Any] | None:
        trial = self._asked[number] = self._study.ask()
        values: dict[str, Any] = {}
        for dimension in self._dimensions:
            if dimension.active(values):
                values[dimension.path] = _suggest(trial, dimension)
        return values

    def tell(self, trial: Trial) -> None:
        question = self._asked.pop(trial.number)
        for fold, value in enumerate(trial.folds):
            question.report(value, fold)
        state = _STATES.get(trial.status, TrialState.FAIL)
        self._study.tell(question, trial.value if state is TrialState.COMPLETE else None, state)


_STATES = {DONE: TrialState.COMPLETE, STOPPED: TrialState.PRUNED}


def frozen(trial: Trial, dimensions: Sequence[Dimension]) -> FrozenTrial:
    """An ended trial as Optuna keeps it."""
    state = _STATES.get(trial.status, TrialState.FAIL)
    searched = [d for d in dimensions if d.path in trial.values]
    params = {
        d.path: d.choices.index(trial.values[d.path])
        if d.kind == "choice"
        else trial.values[d.path]
        for d in searched
    }
    return optuna.trial.create_trial(
        state=state,
        value=trial.value if state is TrialState.COMPLETE else None,
        params=params,
        distributions={d.path: _distribution(d) for d in searched},
        intermediate_values={} if state is TrialState.FAIL else dict(enumerate(trial.folds)),
    )


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.kind == "choice":
        return CategoricalDistribution(tuple(range(len(dimension.choices))))
    if dimension.kind in ("int", "logint"):
        log = dimension.kind == "logint"
        return IntDistribution(
            int(dimension.low), int(dimension.high), log=log, step=1 if log else dimension.step
        )
    return FloatDistribution(dimension.low, dimension.high, log=dimension.kind == "loguniform")


def _suggest(trial: optuna.Trial, dimension: Dimension) -> Any:
    """Choices go by their place, so that a list or a null can be chosen."""
    distribution = _distribution(dimension)
    if isinstance(distribution, CategoricalDistribution):
        return dimension.choices[
            int(trial.suggest_categorical(dimension.path, distribution.choices))
        ]  # type: ignore[arg-type]
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            dimension.path,
            distribution.low,
            distribution.high,
            step=distribution.step,
            log=distribution.log,
        )
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(
        dimension.path, distribution.low, distribution.high, log=distribution.log
    )


def importance(trials: Sequence[Trial], dimensions: Sequence[Dimension]) -> dict[str, float]:
    """Compute how much of the objective each searched key explains (PED-ANOVA).

    The largest comes first; the result is empty with too few finished trials.
    """
    finished_trials = [
        t for t in trials if t.status == DONE and t.value is not None and math.isfinite(t.value)
    ]
    if len(finished_trials) < 4 or len({t.value for t in finished_trials}) < 2:
        return {}
    study = optuna.create_study()
    for trial in finished_trials:
        study.add_trial(frozen(trial, dimensions))
    common_paths = set.intersection(*(set(t.values) for t in finished_trials))
    paths = [p for p in common_paths if len({_text({p: t.values[p]}) for t in finished_trials}) > 1]
    if not paths:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator, params=paths)
    return dict(itertools.islice(shares.items(), 20))
