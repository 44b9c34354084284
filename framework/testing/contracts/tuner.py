"""Contract suite of tuners. Subclass it in a plugin's tests::

class TestMine(TunerContract):
    def make(self) -> Tuner:
        return MyTuner(MyOptions())

The tuner must not end hopeless trials early: the suite counts folds.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from framework.errors import DataError
from framework.interfaces.tuner import (
    DONE,
    FAILED,
    Budget,
    Dimension,
    Evaluation,
    Objective,
    Search,
    Trial,
    Tuner,
)
from framework.testing.contracts.component import only_options

#: A number of each kind, a choice, and a number that is searched for one of the choices alone.
SPACE = (
    Dimension("x", "uniform", -2.0, 2.0),
    Dimension("rate", "loguniform", 0.01, 1.0),
    Dimension("count", "int", 1, 9, step=2),
    Dimension("shape", "choice", choices=("bowl", "ridge")),
    Dimension("slope", "uniform", 0.0, 1.0, when={"shape": ("ridge",)}),
)


class _Bowl(Evaluation):
    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def fold(self, number: int) -> float:
        if self._values["x"] > self._values.get("refused above", 9.0):
            raise DataError("x is out of\nthe bowl")
        return float(self._values["x"] ** 2 + self._values.get("slope", 0.0) + number)


class Bowl(Objective):
    """Three folds, whose figure is known from the values.

    ``limit``: above this ``x`` a fold raises.
    """

    def __init__(self, limit: float = 9.0) -> None:
        self.limit = limit

    @property
    def folds(self) -> int:
        """Three."""
        return 3

    def evaluation(self, values: Mapping[str, Any]) -> Evaluation:
        """Begin to judge, as the contract says."""
        return _Bowl({**values, "refused above": self.limit})


def _inside(dimension: Dimension, value: Any) -> bool:
    if dimension.kind == "choice":
        return value in dimension.choices
    steps = dimension.kind != "int" or (value - dimension.low) % dimension.step == 0
    return bool(dimension.low <= value <= dimension.high and steps)


class TunerContract:
    """The promises of every tuner."""

    @abstractmethod
    def make(self) -> Tuner:
        """Make a tuner.

        Returns:
            The tuner, which ends no trial early.
        """

    def searched(
        self,
        directory: Path,
        trials: int,
        *,
        before: Sequence[Trial] = (),
        limit: float = 9.0,
    ) -> list[Trial]:
        """Search the suite's space until the budget is used up.

        Args:
            directory: An empty folder.
            trials: The budget.
            before: Trials of a search that goes on.
            limit: Above this ``x`` a trial fails.

        Returns:
            The trials as they were reported.
        """
        reported: list[Trial] = []
        search = Search(
            SPACE,
            Bowl(limit),
            Budget(trials, None, None),
            7,
            tuple(before),
            directory,
            reported.append,
            lambda line: None,
        )
        whole = self.make().search(search)
        assert whole, (
            f"search returns {whole!r} when its budget is used up; False says that a signal ended "
            "it, and the run would not name a best trial."
        )
        return reported

    def test_the_constructor_only_stores_the_options(self) -> None:
        only_options(self.make())

    @pytest.fixture(scope="class")
    @classmethod
    def trials(cls, tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
        """Search once for the checks that only look.

        Args:
            tmp_path_factory: Makes the search's folder.

        Returns:
            Eight trials.
        """
        return cls().searched(tmp_path_factory.mktemp("search"), 8)

    def test_every_trial_is_reported_once_with_the_figure_of_every_fold(
        self, trials: list[Trial]
    ) -> None:
        numbers = sorted(trial.number for trial in trials)
        assert len({*numbers}) == len(numbers) == 8, (
            f"a search with a budget of 8 trials reports the numbers {numbers}; each trial is "
            "reported once, under a number of its own."
        )
        for trial in trials:
            figure = trial.values["x"] ** 2 + trial.values.get("slope", 0.0)
            expected = [figure, figure + 1, figure + 2]
            assert trial.status == DONE, f"trial {trial.number} is {trial.status}: {trial.error}."
            assert trial.folds == pytest.approx(expected), (
                f"trial {trial.number} reports the folds {trial.folds}, not {expected}: the "
                "objective after each fold, in order, as Evaluation.fold gave it."
            )
            assert trial.value == trial.folds[-1], (
                f"trial {trial.number} reports the value {trial.value}; that of all folds is the "
                f"last one's, {trial.folds[-1]}."
            )

    def test_values_lie_in_the_space_and_conditions_hold(self, trials: list[Trial]) -> None:
        for trial in trials:
            dimensions = [d for d in SPACE if d.active(trial.values)]
            paths = {dimension.path for dimension in dimensions}
            assert set(trial.values) == paths, (
                f"trial {trial.number} has values of {sorted(trial.values)}, where the conditions "
                f"of the space leave {sorted(paths)}: Dimension.active says which."
            )
            for dimension in dimensions:
                value = trial.values[dimension.path]
                assert _inside(dimension, value), (
                    f"trial {trial.number} tries {dimension.path}={value!r}, which is not in "
                    f"{dimension}; low and high are inclusive, and an int goes by its step."
                )
        tried = {tuple(trial.values.items()) for trial in trials}
        assert len(tried) > 1, f"all {len(trials)} trials try the same values {trials[0].values}."

    def test_a_trial_that_fails_is_reported_and_the_search_goes_on(self, tmp_path: Path) -> None:
        trials = self.searched(tmp_path, 3, limit=-2.5)
        words = [trial.status for trial in trials]
        assert words == [FAILED] * 3, (
            f"three trials that raise DataError are reported as {words}, not as failed: one that "
            "fails is told and the next one is tried."
        )
        for trial in trials:
            assert trial.value is None, f"a trial that failed has the value {trial.value}."
            assert "x is out of the bowl" in str(trial.error), (
                f"a trial that failed says {trial.error!r} and not, in one line, what was raised: "
                "'x is out of the bowl'."
            )

    def test_trials_of_before_count_in_the_budget(self, tmp_path: Path) -> None:
        values = {"x": 1.0, "rate": 0.1, "count": 3, "shape": "bowl"}
        before = [Trial(n, values, DONE, (1.0, 2.0, 3.0), 3.0, 0.1) for n in range(3)]
        trials = self.searched(tmp_path, 5, before=before)
        numbers = [trial.number for trial in trials]
        assert len(numbers) == 2, (
            f"a search that goes on after 3 of 5 trials reports {len(numbers)} new ones, not 2; "
            "Search.before counts in the budget."
        )
        twice = {*numbers} & {0, 1, 2}
        assert not twice, f"a search that goes on uses the numbers {sorted(twice)} again."
