"""When a search is over, without a Ray: the driver is told of trials as Ray Tune's loop would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from framework_ray_tune import RayTuneOptions
from framework_ray_tune import driver as driving
from framework_ray_tune.driver import Driver
from framework_ray_tune.trainable import FOLD, NODE, VALUE
from ray.tune.search import Searcher

from framework.interfaces.tuner import Budget, Dimension, Objective, Search, Trial


class TwoFolds(Objective):
    @property
    def folds(self) -> int:
        return 2

    def evaluation(self, values: object) -> object:
        raise AssertionError("nothing is evaluated here")


def started(
    budget: Budget, before: Sequence[Trial] = (), **options: object
) -> tuple[Driver, list[Trial]]:
    ended: list[Trial] = []
    dimension = Dimension("x", "uniform", 0.0, 1.0)
    values = RayTuneOptions(address=None, num_cpus=2, dashboard=False, search="random", **options)
    return Driver(
        values,
        Search((dimension,), TwoFolds(), budget, 1, tuple(before), Path(), ended.append, print),
    ), ended


def play(driver: Driver, name: str, values: Sequence[float]) -> None:
    """One trial from its proposal to its end, one value a fold."""
    assert isinstance(driver.suggest(name), dict)
    driver.began(name)
    for fold, value in enumerate(values, 1):
        driver.result(name, {VALUE: value, FOLD: fold, NODE: "n"})
    driver.ended(name)


def test_patience_counts_trials_that_do_not_improve_the_best() -> None:
    driver, ended = started(Budget(None, None, 2))
    for i, value in enumerate([5.0, 4.0, 4.5, 3.0, 3.0]):
        play(driver, str(i), [value, value])
        assert not driver.over()
    play(driver, "last", [9.0, 9.0])  # 3.0 a second time was the first that did not improve
    assert driver.over()
    assert driver.exhausted
    assert driver.suggest("more") == Searcher.FINISHED
    assert [trial.value for trial in ended] == [5.0, 4.0, 4.5, 3.0, 3.0, 9.0]


def test_patience_goes_on_from_the_trials_of_before() -> None:
    before = [Trial(n, {"x": 0.1 * n}, "done", (v, v), v, 1.0) for n, v in enumerate([1.0, 2.0])]
    driver, _ = started(Budget(None, None, 2), before)
    assert not driver.exhausted
    play(driver, "a", [3.0, 3.0])
    assert driver.over()


def test_the_time_is_up_and_what_runs_is_as_if_it_never_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(driving.time, "monotonic", lambda: clock[0])
    driver, ended = started(Budget(None, 60.0, None))
    play(driver, "a", [1.0, 1.0])
    assert isinstance(driver.suggest("b"), dict)
    driver.result("b", {VALUE: 2.0, FOLD: 1, NODE: "n"})
    clock[0] = 160.0
    assert driver.over()
    driver.ended("b")
    assert [trial.number for trial in ended] == [0]


def test_no_more_trials_than_the_budget_are_begun() -> None:
    driver, _ = started(Budget(2, None, None))
    assert isinstance(driver.suggest("a"), dict)
    assert isinstance(driver.suggest("b"), dict)
    assert driver.suggest("c") is None


def test_a_worker_that_dies_costs_a_retry_with_the_same_values_then_the_trial() -> None:
    driver, ended = started(Budget(3, None, None), retries=1)
    first = driver.suggest("a")
    driver.ended("a", "worker lost: gone")
    assert ended == []
    assert driver.suggest("b") == first
    driver.ended("b", "worker lost: gone again")
    assert [(t.number, t.status, t.error) for t in ended] == [
        (0, "failed", "worker lost: gone again")
    ]
