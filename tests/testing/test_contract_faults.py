"""The contract suites of sources, tuners and computes let a right implementation pass and name what
is wrong with a faulty one.
"""

from __future__ import annotations

import ast
import random
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.features.views import View
from framework.interfaces.compute import Compute
from framework.interfaces.source import Batch, Source
from framework.interfaces.tuner import DONE, FAILED, Dimension, Search, Trial, Tuner
from framework.plugins.compute import LocalCompute
from framework.testing.contracts.compute import ComputeContract
from framework.testing.contracts.source import SourceContract
from framework.testing.contracts.tuner import TunerContract
from framework.testing.failing import failing_checks


def expect(failures: dict[str, str], checks: set[str]) -> None:
    assert set(failures) == checks, failures


class FrameSource(Source):
    """The table ``sales`` from memory."""

    def read(self, table: str) -> pd.DataFrame:
        if table != "sales":
            raise DataError(f"there is no table '{table}'.")
        return self.options.copy()

    def fingerprint(self) -> dict[str, str]:
        return {"sales": sha256(self.options.to_json().encode()).hexdigest()}


class SkipsOne(FrameSource):
    def batches(self, table: str, view: View, position: str | None) -> Iterator[Batch]:
        at = int(position or 0)
        yield Batch(self.options.iloc[at + (at > 0) :], position=str(len(self.options)))


class LocalTimes(FrameSource):
    def read(self, table: str) -> pd.DataFrame:
        rows = super().read(table)
        return rows.assign(**{TIME: rows[TIME].dt.tz_localize(None) + pd.Timedelta(hours=1)})


class NumbersKeys(FrameSource):
    def read(self, table: str) -> pd.DataFrame:
        rows = super().read(table)
        return rows.assign(shop=rows["shop"].str.lstrip("0"))


class OneFingerprint(FrameSource):
    def fingerprint(self) -> dict[str, str]:
        return {"sales": "the same"}


class OtherOrder(FrameSource):
    def read(self, table: str) -> pd.DataFrame:
        return super().read(table).iloc[::-1]


class ZeroForNull(FrameSource):
    def read(self, table: str) -> pd.DataFrame:
        return super().read(table).fillna({"y": 0.0})


class TimesAPrint(FrameSource):
    def fingerprint(self) -> dict[str, str]:
        return {**super().fingerprint(), "at": str(time.time_ns())}


class OpensWhenMade(FrameSource):
    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.connection = object()


class EmptyForAbsent(FrameSource):
    def read(self, table: str) -> pd.DataFrame:
        return self.options.iloc[: len(self.options) if table == "sales" else 0].copy()


EVERY_ROW = "test_every_row_is_read_in_order_each_time"
BATCHES = "test_batches_give_every_row_once"
LATER = "test_a_later_ingestion_misses_no_row"


@pytest.mark.parametrize(
    ("source", "checks"),
    [
        (FrameSource, set()),
        (SkipsOne, {LATER}),
        (LocalTimes, {EVERY_ROW, BATCHES, LATER}),
        (NumbersKeys, {EVERY_ROW, BATCHES, LATER}),
        (
            OneFingerprint,
            {"test_equal_data_has_an_equal_fingerprint_and_other_data_another"},
        ),
        (OtherOrder, {EVERY_ROW, BATCHES}),
        (ZeroForNull, {EVERY_ROW, BATCHES, LATER}),
        (TimesAPrint, {"test_equal_data_has_an_equal_fingerprint_and_other_data_another"}),
        (OpensWhenMade, {"test_the_constructor_only_stores_the_options"}),
        (EmptyForAbsent, {"test_a_table_that_is_not_there_is_named"}),
    ],
)
def test_sources(source: type[Source], checks: set[str], tmp_path: Path) -> None:
    class Suite(SourceContract):
        def make(self, tmp_path: Path, rows: pd.DataFrame) -> Source:
            return source(rows)

    expect(failing_checks(Suite(), tmp_path), checks)


class RandomTuner(Tuner):
    """Draws at random, in this process."""

    def search(self, search: Search) -> bool:
        generator = random.Random(search.seed)
        first = len(search.before)
        assert search.budget.trials is not None
        for number in range(first, search.budget.trials):
            self.report(search, self.trial(search, number, generator))
        return True

    def report(self, search: Search, trial: Trial) -> None:
        search.report(trial)

    def trial(self, search: Search, number: int, generator: random.Random) -> Trial:
        values: dict[str, Any] = {}
        for dimension in search.dimensions:
            if dimension.active(values):
                values[dimension.path] = self.draw(dimension, generator)
        evaluation, folds = search.objective.evaluation(values), []
        for fold in range(search.objective.folds):
            try:
                folds.append(evaluation.fold(fold))
            except DataError as error:
                text = " ".join(str(error).split())
                return Trial(number, values, FAILED, tuple(folds), None, 0.0, error=text)
        return Trial(number, values, DONE, tuple(folds), folds[-1], 0.0)

    def draw(self, dimension: Dimension, generator: random.Random) -> Any:
        if dimension.kind == "choice":
            return generator.choice(dimension.choices)
        if dimension.kind == "int":
            return generator.randrange(int(dimension.low), int(dimension.high) + 1, dimension.step)
        return generator.uniform(dimension.low, dimension.high)


class ForgetsTheStep(RandomTuner):
    def draw(self, dimension: Dimension, generator: random.Random) -> Any:
        return super().draw(replace(dimension, step=1), generator)


class IgnoresConditions(RandomTuner):
    def trial(self, search: Search, number: int, generator: random.Random) -> Trial:
        always = tuple(replace(dimension, when={}) for dimension in search.dimensions)
        return super().trial(replace(search, dimensions=always), number, generator)


class ReportsTwice(RandomTuner):
    def report(self, search: Search, trial: Trial) -> None:
        search.report(trial)
        search.report(trial)


class ForgetsBefore(RandomTuner):
    def search(self, search: Search) -> bool:
        return super().search(replace(search, before=()))


class SkipsTheLastFold(RandomTuner):
    def report(self, search: Search, trial: Trial) -> None:
        search.report(replace(trial, folds=trial.folds[:-1]))


class TriesOnePoint(RandomTuner):
    def trial(self, search: Search, number: int, generator: random.Random) -> Trial:
        return super().trial(search, number, random.Random(3))


class SaysThatItWasStopped(RandomTuner):
    def search(self, search: Search) -> bool:
        super().search(search)
        return False


class EndsWithAFailure(RandomTuner):
    def report(self, search: Search, trial: Trial) -> None:
        if trial.status == FAILED:
            raise DataError(str(trial.error))
        search.report(trial)


EVERY_TRIAL = "test_every_trial_is_reported_once_with_the_figure_of_every_fold"
SPACE = "test_values_lie_in_the_space_and_conditions_hold"
FAILS = "test_a_trial_that_fails_is_reported_and_the_search_goes_on"
BEFORE = "test_trials_of_before_count_in_the_budget"


@pytest.mark.parametrize(
    ("tuner", "checks"),
    [
        (RandomTuner, set()),
        (ForgetsTheStep, {SPACE}),
        (IgnoresConditions, {SPACE}),
        (ReportsTwice, {EVERY_TRIAL, FAILS, BEFORE}),
        (ForgetsBefore, {BEFORE}),
        (EndsWithAFailure, {FAILS}),
        (SkipsTheLastFold, {EVERY_TRIAL}),
        (TriesOnePoint, {SPACE}),
        (SaysThatItWasStopped, {EVERY_TRIAL, SPACE, FAILS, BEFORE}),
    ],
)
def test_tuners(tuner: type[Tuner], checks: set[str], tmp_path: Path) -> None:
    class Suite(TunerContract):
        def make(self) -> Tuner:
            return tuner(None)

    suite = Suite()
    fixtures = {"trials": lambda folder: suite.searched(folder, 8)}
    expect(failing_checks(suite, tmp_path, fixtures), checks)


ROOM = "test_items_are_taken_when_there_is_room"
SHARED = "test_the_shared_argument_stays_as_it_was"


class LosesTheOrder(LocalCompute):
    def map(self, function: Any, shared: Any, items: Iterable[Any]) -> Iterator[Any]:
        return iter([function(shared, item) for item in sorted(items)])


class WrapsErrors(LocalCompute):
    def map(self, function: Any, shared: Any, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            try:
                yield function(shared, item)
            except DataError as error:
                raise RuntimeError(str(error)) from error


class StreamsTwice(LocalCompute):
    def stream(self, function: Any, shared: Any, items: Iterable[Any]) -> Iterator[Any]:
        for number, result in enumerate(self.map(function, shared, items)):
            yield from [result] * (2 if number == 30 else 1)


class NeedsItems(LocalCompute):
    def map(self, function: Any, shared: Any, items: Iterable[Any]) -> Iterator[Any]:
        iterator = iter(items)
        first = [next(iterator)]
        return super().map(function, shared, chain(first, iterator))


class ChangesTheShared(LocalCompute):
    def map(self, function: Any, shared: Any, items: Iterable[Any]) -> Iterator[Any]:
        shared *= 2
        return super().map(function, shared, items)


class GoesOnAfterItWasLeft(LocalCompute):
    """Results that nobody fetched come first in the next call."""

    waiting: list[Any] = []  # noqa: RUF012  one for all instances

    def map(self, function: Any, shared: Any, items: Iterable[Any]) -> Iterator[Any]:
        self.waiting.extend(function(shared, item) for item in items)
        while self.waiting:
            yield self.waiting.pop(0)


class TakesAllItems(LocalCompute):
    def stream(self, function: Any, shared: Any, items: Iterable[Any]) -> Iterator[Any]:
        return self.map(function, shared, [*items])


class EndsWithTheItems(LocalCompute):
    """What their iterator raises is lost."""

    def map(self, function: Any, shared: Any, items: Iterable[Any]) -> Iterator[Any]:
        iterator = iter(items)
        while True:
            try:
                item = next(iterator)
            except (StopIteration, DataError):
                return
            yield function(shared, item)


class TellsOfItsPool(LocalCompute):
    def map(self, function: Any, shared: Any, items: Iterable[Any]) -> Iterator[Any]:
        with ProcessPoolExecutor(1, get_context("fork")) as pool:
            for item in items:
                yield pool.submit(function, shared, item).result()


class CountsItsCalls(LocalCompute):
    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.calls = 0


@pytest.mark.parametrize(
    ("compute", "checks"),
    [
        (LocalCompute, set()),
        (LosesTheOrder, {"test_results_come_in_the_order_of_the_items", ROOM}),
        (WrapsErrors, {"test_what_the_function_raises_is_raised_as_it_was"}),
        (StreamsTwice, {"test_a_stream_gives_every_result_once"}),
        (NeedsItems, {"test_no_items_give_no_results"}),
        (ChangesTheShared, {SHARED}),
        (
            GoesOnAfterItWasLeft,
            {"test_an_iterator_may_be_left_before_its_end", "test_no_items_give_no_results", ROOM},
        ),
        (CountsItsCalls, {"test_the_constructor_only_stores_the_options"}),
        (TakesAllItems, {ROOM}),
        (EndsWithTheItems, {"test_what_the_items_raise_is_raised_as_it_was"}),
        (TellsOfItsPool, {"test_a_worker_that_dies_is_replaced_or_told_in_one_line"}),
    ],
)
def test_computes(compute: type[Compute], checks: set[str], tmp_path: Path) -> None:
    class Suite(ComputeContract):
        def make(self) -> Compute:
            return compute(None)

    GoesOnAfterItWasLeft.waiting.clear()
    expect(failing_checks(Suite(), tmp_path), checks)


def test_no_check_of_a_suite_is_a_bare_assert() -> None:
    """Whoever reads a failure has not written the suite."""
    folder = Path(__file__).parents[2] / "framework" / "testing" / "contracts"
    bare = [
        f"{path.name}:{node.lineno}"
        for path in sorted(folder.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert) and node.msg is None
    ]
    assert bare == []
