"""The contract suite of preprocessors lets a right one pass, and names what is wrong with each of
a dozen faulty ones.
"""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from framework.config.catalog import Plugins
from framework.data.arrays import Float32, Float64, Objects, Times
from framework.data.schema import Schema
from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options, validate
from framework.plugins.discovery import load_plugins
from framework.testing.contracts.preprocessor import PreprocessorContract
from framework.testing.failing import failing_checks
from framework.testing.fakes import FakePreprocessor


class Centred(FakePreprocessor):
    """Takes the mean from each column; a text is a number made of its bytes, null is -1."""

    def static(self, values: Objects) -> Float32:
        codes = super().static(values)
        codes[np.equal(values, None).astype(bool)] = -1  # type: ignore[call-overload]
        return codes


class Doubles(Centred):
    def past(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        answer: Any = values - self.past_mean
        return answer  # type: ignore[no-any-return]


class NamesTooMany(Centred):
    def centre(self, past: Float64, known: Float64, schema: Schema) -> None:
        super().centre(past, known, schema)
        self.past_names = (*self.past_names, "another")


class CentresTheCall(Centred):
    def past(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        return (values - np.nanmean(values, axis=0)).astype(np.float32)


class WritesIntoItsInput(Centred):
    def past(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        values -= self.past_mean
        return values.astype(np.float32)


class Pickles(Centred):
    def save(self, directory: Path) -> None:
        (directory / "state.bin").write_bytes(pickle.dumps(vars(self)))

    @classmethod
    def load(cls, directory: Path) -> Self:
        preprocessor = cls(Options())
        vars(preprocessor).update(pickle.loads((directory / "state.bin").read_bytes()))
        return preprocessor


class SavesFewDigits(Centred):
    def save(self, directory: Path) -> None:
        self.past_mean, mean = self.past_mean.astype(np.float16), self.past_mean
        super().save(directory)
        self.past_mean = mean


class OneBufferForAllThreads(Centred):
    def past(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        self.values = values
        time.sleep(1e-4)  # as a library does that lets other threads run
        return super().past(self.values, times)


class DrawsAtRandom(Centred):
    def centre(self, past: Float64, known: Float64, schema: Schema) -> None:
        super().centre(past + np.random.default_rng().normal(size=past.shape), known, schema)


class TakesUnseenForKnown(Centred):
    def static(self, values: Objects) -> Float32:
        seen = {str(text) for text in values.ravel()} & {"shop-0", "small"}
        return np.where(np.isin(values.astype(str), list(seen)), 0, 1).astype(np.float32)


class NullIsAText(Centred):
    def static(self, values: Objects) -> Float32:
        return FakePreprocessor.static(self, values.astype(str).astype(object))


class RemembersEarlierFits(Centred):
    """The class keeps what every fit of this process has seen."""

    rows: list[Float64] = []  # noqa: RUF012  this is the fault

    def fit(
        self, past: Float64, known: Float64, static: Objects, times: Times, schema: Schema
    ) -> None:
        super().fit(past, known, static, times, schema)
        self.rows.append(past + len(self.rows))
        self.past_mean = np.nanmean(np.concatenate(self.rows), axis=0)


class WritesATime(Centred):
    def save(self, directory: Path) -> None:
        super().save(directory)
        (directory / "note.json").write_text(str(time.time_ns()))


class LoadsAnything(Centred):
    """Reads what is not there as a mean of 0."""

    @classmethod
    def load(cls, directory: Path) -> Self:
        try:
            return super().load(directory)
        except Exception:  # noqa: BLE001  this is the fault
            preprocessor = cls(Options())
            preprocessor.past_mean, preprocessor.known_mean = np.zeros(3), np.zeros(2)
            preprocessor.past_names = ("sales", "visits", "temperature")
            preprocessor.future_names = ("promotion", "price", "hour")
            preprocessor.static_names = ("shop", "format")
            return preprocessor


class Offer:
    """A plugin that offers the classes of this file."""

    @hookimpl
    def components(self) -> list[Component]:
        kinds = [k for k in globals().values() if isinstance(k, type) and issubclass(k, Centred)]
        return [Component("preprocessor", k.__name__, f"{__name__}:{k.__name__}") for k in kinds]


def suite_of(kind: type[Centred]) -> PreprocessorContract:
    class Suite(PreprocessorContract):
        name = kind.__name__

        def plugins(self, *extra: object) -> Plugins:
            return load_plugins(extra=[Offer(), *extra])

        def make(self, **changed: Any) -> Any:
            return kind(validate(Options, changed, "preprocessor"))

        def test_the_plugin_module_is_light(self) -> None:
            """It is this file."""

    return Suite()


SHAPES = "test_shapes_names_and_dtypes"
SAVED = "test_saved_and_loaded_gives_the_same_bits_without_pickle"
SENT = "test_a_worker_that_has_not_the_folder_gives_the_same_bits"
ALONE = "test_a_row_has_the_same_bits_alone_and_among_others"
SAME = "test_the_same_rows_give_the_same_state"
PLANTED = "test_a_planted_file_is_refused_at_load_and_at_registration"
CUTOFF = "test_values_after_the_cutoff_change_nothing"
INPUTS = "test_inputs_stay_as_they_were"
THREADS = "test_several_threads_get_each_their_own_rows"
UNSEEN = "test_an_unseen_text_is_not_taken_for_a_known_one"
NULL = "test_a_null_category_is_a_value_of_its_own"


@pytest.mark.parametrize(
    ("kind", "checks", "words"),
    [
        (Centred, set(), ""),
        (Doubles, {SHAPES}, "float64, not float32"),
        (NamesTooMany, {SHAPES}, "past_names has 4 names"),
        (CentresTheCall, {ALONE, PLANTED}, "past of row 0 alone"),
        (
            WritesIntoItsInput,
            {INPUTS, ALONE, PLANTED, SAVED, SENT, SAME, THREADS},
            "the rows of 'past' that were transformed are changed",
        ),
        (Pickles, {SAVED, PLANTED}, "state.bin as a pickle"),
        (SavesFewDigits, {SAVED, SENT, PLANTED}, "is saved with fewer digits"),
        (OneBufferForAllThreads, {THREADS}, "past in 4 threads at once"),
        (DrawsAtRandom, {SAME, CUTOFF}, "something random in fit"),
        (TakesUnseenForKnown, {UNSEEN, NULL}, "is encoded as ["),
        (NullIsAText, {NULL}, "a null category has the code of ['None']"),
        (RemembersEarlierFits, {SAME, CUTOFF}, "the preprocessor keeps rows from elsewhere"),
        (WritesATime, {SAME, CUTOFF, PLANTED}, "note.json"),
        (LoadsAnything, {PLANTED}, "is a planted pickle is not refused"),
    ],
)
def test_a_fault_is_named_by_the_check_that_fails(
    kind: type[Centred], checks: set[str], words: str, tmp_path: Path
) -> None:
    failures = failing_checks(suite_of(kind), tmp_path)
    assert set(failures) == checks, failures
    assert any(words in message for message in failures.values()) or not words, failures
