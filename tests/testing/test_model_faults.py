"""The contract suite of models lets a right model pass, and names what is wrong with each of
sixteen faulty ones.
"""

from __future__ import annotations

import json
import pickle
import threading
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.data.windows import Windows, WindowSet
from framework.interfaces.model import Model
from framework.interfaces.plugin import Component
from framework.options import Options, validate
from framework.testing.contracts.model import ModelContract
from framework.testing.failing import failing_checks


class LevelOptions(Options):
    """``share``: how much the newest value counts; the mean of all that was learned from counts
    the rest.
    """

    share: float = 0.5


class Level(Model):
    """Between the newest value of a window and the mean of what was learned from."""

    options: LevelOptions

    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        self.horizon, self.quantiles = schema.horizon, list(schema.quantiles)
        target = train.gather().target
        assert target is not None
        self.mean = np.nanmean(target, axis=(0, 1)).tolist()
        self.spread = np.nanstd(target, axis=(0, 1)).tolist()

    @property
    def supports_quantiles(self) -> bool:
        return True

    def predict(self, windows: Windows) -> Float64:
        share, mean, last = self.options.share, np.array(self.mean), windows.target_past[:, -1]
        level = share * np.where(np.isnan(last), mean, last) + (1 - share) * mean
        offsets = np.array([0.0, *(q - 0.5 for q in self.quantiles)])
        steps = np.repeat(level[:, None], self.horizon, axis=1)
        answer: Float64 = steps[..., None] + offsets * np.array(self.spread)[:, None]
        return answer

    def state(self) -> dict[str, Any]:
        names = ("horizon", "quantiles", "mean", "spread")
        return {"share": self.options.share, **{name: getattr(self, name) for name in names}}

    def save(self, directory: Path) -> None:
        (directory / "level.json").write_text(json.dumps(self.state()))

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Self:
        model = cls(LevelOptions(share=state.pop("share")))
        vars(model).update(state)
        return model

    @classmethod
    def load(cls, directory: Path) -> Self:
        return cls.of_state(json.loads((directory / "level.json").read_text()))


class WrongShape(Level):
    def predict(self, windows: Windows) -> Float64:
        return super().predict(windows)[..., 0]


class CrossedQuantiles(Level):
    def predict(self, windows: Windows) -> Float64:
        answer = super().predict(windows)
        return np.concatenate([answer[..., :1], answer[..., :0:-1]], axis=-1)


class NanForNull(Level):
    def predict(self, windows: Windows) -> Float64:
        unknown = np.isnan(windows.target_past[:, -1])[:, None, :, None]
        return np.where(unknown, np.nan, super().predict(windows))


class LearnsNan(Level):
    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        super().fit(train, validation, schema, seed)
        rows = train.arrays.target[np.flatnonzero(train.reached(1, self.horizon))]
        self.mean = rows.mean(axis=0).tolist()


class ChangesItsInput(Level):
    def predict(self, windows: Windows) -> Float64:
        windows.past[:] *= 2
        return super().predict(windows)


class ReadsBehindTheWindows(Level):
    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        super().fit(train, validation, schema, seed)
        if validation is not None:
            self.mean = np.nanmean(validation.arrays.target, axis=0).tolist()


class ForgetsTheSeed(Level):
    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        super().fit(train, validation, schema, seed)
        self.mean = [value + np.random.default_rng().normal() for value in self.mean]


class Pickles(Level):
    def save(self, directory: Path) -> None:
        (directory / "level.bin").write_bytes(pickle.dumps(self.state()))

    @classmethod
    def load(cls, directory: Path) -> Self:
        return cls.of_state(pickle.loads((directory / "level.bin").read_bytes()))


class ForgetsAnOption(Level):
    @classmethod
    def load(cls, directory: Path) -> Self:
        model = super().load(directory)
        model.options = LevelOptions(share=0.9)
        return model


class OneBufferForAllThreads(Level):
    def predict(self, windows: Windows) -> Float64:
        self.windows = windows
        time.sleep(1e-4)  # as a library does that lets other threads run
        return super().predict(self.windows)


class LosesUnits(Level):
    def predict(self, windows: Windows) -> Float64:
        return super().predict(windows) / np.array(self.spread)[:, None]


class CentresTheBatch(Level):
    def predict(self, windows: Windows) -> Float64:
        answer = super().predict(windows)
        return answer + 1e-9 * answer.mean(axis=0)


class WritesAnAddress(Level):
    def save(self, directory: Path) -> None:
        super().save(directory)
        (directory / "note.txt").write_text(f"{object()} at {time.time_ns()}")


class WritesNothing(Level):
    def save(self, directory: Path) -> None:
        """Leave the state in memory."""


class LocksWhenMade(Level):
    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.lock = threading.Lock()


class LocksWhenLoaded(Level):
    @classmethod
    def load(cls, directory: Path) -> Self:
        model = super().load(directory)
        model.lock = threading.Lock()
        return model


class ReadsItsFolderLate(Level):
    """The folder is that of the machine that opened the pair."""

    @classmethod
    def load(cls, directory: Path) -> Self:
        model = super().load(directory)
        model.folder = directory
        return model

    def predict(self, windows: Windows) -> Float64:
        if hasattr(self, "folder"):
            self.mean = super().load(self.folder).mean
        return super().predict(windows)


class TakesAnyOption(Level):
    """Its options are those of :class:`AnyOptions`."""


class AnyOptions(LevelOptions, extra="allow"):
    """Whatever a user writes."""


def suite_of(kind: type[Level]) -> ModelContract:
    class Suite(ModelContract):
        name = "level"

        def make(self, **changed: Any) -> Any:
            options = AnyOptions if kind is TakesAnyOption else LevelOptions
            return kind(validate(options, changed, "model"))

        def component(self) -> Component:
            return Component("model", "level", f"{__name__}:Level", LevelOptions)

        def test_the_plugin_module_is_light(self) -> None:
            """It is this file."""

    return Suite()


SHAPES = "test_shapes_and_finite_answers"
SAVED = "test_saved_and_loaded_gives_the_same_bits_without_pickle"
SENT = "test_a_worker_that_has_not_the_folder_gives_the_same_bits"
ALONE = "test_a_window_has_the_same_bits_alone_and_among_others"
SAME = "test_the_same_windows_and_seed_give_the_same_forecasts"
UNITS = "test_answers_are_in_each_targets_own_unit"
NULLS = "test_a_window_of_nulls_still_gets_finite_numbers"
FEW = "test_a_window_with_few_values_is_forecast_from_its_own"
LEFT_OUT = "test_unknown_targets_are_left_out"
CUTOFF = "test_values_after_the_cutoff_change_nothing"
THREADS = "test_several_threads_get_each_their_own_answer"


@pytest.mark.parametrize(
    ("kind", "checks", "words"),
    [
        (Level, set(), ""),
        (WrongShape, {SHAPES, UNITS, "test_without_quantiles_or_validation"}, "[windows, horizon"),
        (CrossedQuantiles, {SHAPES}, "sort them"),
        (NanForNull, {NULLS, LEFT_OUT}, "holds nulls alone gives"),
        (LearnsNan, {LEFT_OUT}, "a fifth of the targets missing"),
        (ChangesItsInput, {"test_inputs_stay_as_they_were"}, "Windows.past"),
        (ReadsBehindTheWindows, {CUTOFF}, "rows of WindowSet.arrays that belong to no window"),
        (ForgetsTheSeed, {SAME, CUTOFF}, "does not come from the seed"),
        (Pickles, {SAVED}, "level.bin as a pickle"),
        (ForgetsAnOption, {SAVED, SENT}, "is not saved, such as an option"),
        (OneBufferForAllThreads, {THREADS}, "in 4 threads at once"),
        (LosesUnits, {UNITS}, "in its target's own unit"),
        (CentresTheBatch, {ALONE}, "a matrix product of BLAS sums in another order"),
        (WritesAnAddress, {SAVED, SAME, CUTOFF}, "note.txt"),
        (WritesNothing, {SAVED, SENT}, "writes no file"),
        (LocksWhenMade, {"test_the_constructor_only_stores_the_options", SENT}, "sets lock"),
        (LocksWhenLoaded, {SENT}, "cannot be sent to a worker"),
        (ReadsItsFolderLate, {SENT}, "No such file"),
        (TakesAnyOption, {"test_an_unknown_option_is_refused_by_its_name"}, "is not refused"),
    ],
)
def test_a_fault_is_named_by_the_check_that_fails(
    kind: type[Level], checks: set[str], words: str, tmp_path: Path
) -> None:
    failures = failing_checks(suite_of(kind), tmp_path)
    assert set(failures) == checks, failures
    assert any(words in message for message in failures.values()) or not words, failures


def test_a_module_that_is_slow_or_heavy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = "from time import process_time as now\nend = now() + 0.4\nwhile now() < end: pass\n"
    (tmp_path / "slow_offer.py").write_text(slow)
    heavy = "import sys\nsys.modules['pandas'] = sys  # as an import of it would\n"
    (tmp_path / "heavy_offer.py").write_text(heavy)
    (tmp_path / "broken_offer.py").write_text("import a_library_gone\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("framework.testing.contracts.component.SLOW", 0.2)
    for module, words in (
        ("slow_offer", "s of every start"),
        ("heavy_offer", "imports pandas at every start"),
        ("broken_offer", "No module named 'a_library_gone'"),
    ):

        class Suite(ModelContract):
            name = "x"

            def component(self, module: str = module) -> Component:
                return Component("model", "x", f"{module}.model:X")

        with pytest.raises(AssertionError, match=f"^{module}.*{words}"):
            Suite().test_the_plugin_module_is_light()


def test_a_module_of_imports_that_starts_a_thread_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = "threading.Thread(target=time.sleep, args=(9,), name='eager', daemon=True).start()"
    (tmp_path / "threaded.py").write_text(f"import threading, time\n{thread}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    class Suite(ModelContract):
        name = "x"

        def component(self) -> Component:
            return Component("model", "x", "x.model:X", imports=("threaded",))

    with pytest.raises(AssertionError, match=r"starts threads \(eager\)"):
        Suite().test_what_it_names_in_imports_starts_no_thread()
