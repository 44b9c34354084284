"""Tuner: searches a space of options for the lowest objective, fold by fold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

DONE, STOPPED, FAILED = "done", "stopped", "failed"


@dataclass(frozen=True, slots=True)
class Dimension:
    """One searched key of the composed config. ``low`` and ``high`` are inclusive; ``step`` belongs
    to ``int``.

    ``points``: how many values a grid takes of a continuous one. ``when``: ``{path of another
    dimension: values}``, all of which must hold for this one to be searched; otherwise the config
    keeps its own value.
    """

    path: str
    kind: Literal["uniform", "loguniform", "int", "logint", "choice"]
    low: float = 0.0
    high: float = 0.0
    step: int = 1
    choices: tuple[Any, ...] = ()
    points: int | None = None
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def active(self, values: Mapping[str, Any]) -> bool:
        """Say whether this key is searched in a trial.

        Args:
            values: The values of the dimensions before it, by path.

        Returns:
            True when every condition of ``when`` holds.
        """
        return all(
            path in values and values[path] in values_of_parent
            for path, values_of_parent in self.when.items()
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """A search ends at the first limit it meets; null is no limit. ``patience``: trials in a row
    that do not improve the best.
    """

    trials: int | None
    seconds: float | None
    patience: int | None


@dataclass(frozen=True, slots=True)
class Trial:
    """An ended trial. ``folds``: the objective after each fold, over the folds so far; ``value``:
    over all, None unless ``done``.

    ``done``: every fold was judged. ``stopped``: hopeless, ended early. ``failed``: ``error`` says
    why in one line.
    """

    number: int
    values: dict[str, Any]
    status: str
    folds: tuple[float, ...]
    value: float | None
    seconds: float
    node: str = ""
    error: str | None = None


class Evaluation(ABC):
    """One configuration under judgement."""

    @abstractmethod
    def fold(self, number: int) -> float:
        """Fit and judge one fold.

        Args:
            number: The fold, from 0; folds come in order.

        Returns:
            The objective over the folds so far; lower is better.

        Raises:
            DataError: The figure is not finite. What the fit raises is raised as it is.
        """


class Objective(ABC):
    """The function that is minimised. Holds the panel; can be pickled, so that it is sent to a
    worker process once.
    """

    @property
    @abstractmethod
    def folds(self) -> int:
        """The number of folds that judge a configuration."""

    @abstractmethod
    def evaluation(self, values: Mapping[str, Any]) -> Evaluation:
        """Begin to judge a configuration.

        Args:
            values: The values of the searched keys, by path.

        Returns:
            The judgement, no fold of which has been fitted.

        Raises:
            ConfigError: The configuration does not validate.
        """


@dataclass(frozen=True, slots=True)
class Search:
    """The request to a tuner. ``dimensions``: parents before what depends on them. ``before``:
    trials of a search that goes on.

    ``report`` takes each trial as it ends, once, in the process that called the tuner.
    ``directory`` exists and is the tuner's.
    """

    dimensions: tuple[Dimension, ...]
    objective: Objective
    budget: Budget
    seed: int
    before: tuple[Trial, ...]
    directory: Path
    report: Callable[[Trial], None]
    say: Callable[[str], None]


class Tuner(ABC):
    """Searches a space. The constructor stores its options and does nothing else."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def search(self, search: Search) -> bool:
        """Try configurations until the budget or the space is used up.

        A trial that fails is reported and does not end the search.

        Args:
            search: What is searched. Its ``before`` counts in the budget.

        Returns:
            True when budget or space was used up; False after SIGINT or SIGTERM: what had ended was
            reported, nothing runs any more.

        Raises:
            FrameworkError: The search itself cannot go on.
        """
