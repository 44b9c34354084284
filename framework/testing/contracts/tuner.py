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
        assert self.make().search(search), "a search whose budget is used up returns True"
        return reported

    def test_the_constructor_only_stores_the_options(self) -> None:
        assert set(vars(self.make())) == {"options"}

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
        assert len({trial.number for trial in trials}) == len(trials) == 8
        for trial in trials:
            figure = trial.values["x"] ** 2 + trial.values.get("slope", 0.0)
            assert trial.status == DONE
            assert trial.folds == pytest.approx([figure, figure + 1, figure + 2])
            assert trial.value == trial.folds[-1]

    def test_values_lie_in_the_space_and_conditions_hold(self, trials: list[Trial]) -> None:
        for trial in trials:
            searched = [d for d in SPACE if d.active(trial.values)]
            assert set(trial.values) == {dimension.path for dimension in searched}
            assert all(_inside(d, trial.values[d.path]) for d in searched), trial.values
        assert len({tuple(trial.values.items()) for trial in trials}) > 1

    def test_a_trial_that_fails_is_reported_and_the_search_goes_on(self, tmp_path: Path) -> None:
        trials = self.searched(tmp_path, 3, limit=-2.5)
        assert [trial.status for trial in trials] == [FAILED] * 3
        for trial in trials:
            assert trial.value is None
            assert trial.error is not None
            assert "x is out of the bowl" in trial.error
            assert "\n" not in trial.error

    def test_trials_of_before_count_in_the_budget(self, tmp_path: Path) -> None:
        values = {"x": 1.0, "rate": 0.1, "count": 3, "shape": "bowl"}
        before = [Trial(n, values, DONE, (1.0, 2.0, 3.0), 3.0, 0.1) for n in range(3)]
        trials = self.searched(tmp_path, 5, before=before)
        assert len(trials) == 2
        assert not {trial.number for trial in trials} & {0, 1, 2}
