"""Contract suite of models. Subclass it in a plugin's tests::

class TestMine(ModelContract):
    name = "mine"
    options = {"n_estimators": 10}
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.windows import PanelArrays, Windows, WindowSet
from framework.interfaces.model import Model
from framework.interfaces.plugin import Kind
from framework.testing.contracts.component import ComponentContract, assert_no_pickle, saved, sent
from framework.testing.contracts.findings import same_bits, same_files
from framework.testing.contracts.threads import THREADS, ask_in_threads
from framework.testing.panels import SEASON, make_panel, panel_schema, plain_arrays, windows_between


def take(windows: Windows, index: Any) -> Windows:
    """Select windows, without their targets.

    Args:
        windows: The windows.
        index: Which ones, in this order.

    Returns:
        The windows.
    """
    return Windows(
        windows.target_past[index],
        windows.past[index],
        windows.future[index],
        windows.static[index],
    )


#: The arrays of a window that a model is asked about.
INPUTS = ("target_past", "past", "future", "static")


class ModelContract(ComponentContract):
    """``stable_files``: equal fits are saved as equal bytes; False only where a library's format
    holds times or addresses.
    """

    kind: ClassVar[Kind] = "model"
    stable_files: ClassVar[bool] = True
    #: Of a model whose options leave the target's size to its learning: 1.
    larger: ClassVar[float] = 1e6
    seed: ClassVar[int] = 11
    #: Whether a forecast follows from the window's own values of the target alone, whatever other
    #: series there are.
    local: ClassVar[bool] = False
    _fit: ClassVar[tuple[Model, Windows, Schema]]

    def schema(self, panel: Panel) -> Schema:
        """Make the schema of a panel, with the model's context length.

        Args:
            panel: The panel.

        Returns:
            The schema, with quantiles where the model has some of its own.
        """
        model: Model = self.make()
        quantiles = (0.1, 0.5, 0.9) if model.supports_quantiles else ()
        return panel_schema(panel, context_length=model.context_length(SEASON), quantiles=quantiles)

    def split(self, arrays: PanelArrays, schema: Schema) -> tuple[WindowSet, WindowSet]:
        """Divide windows into those to learn from and those of the last 14 days, as a run does: the
        former know no target of these days.

        Args:
            arrays: A panel after preprocessing.
            schema: The schema.

        Returns:
            The windows for training and for validation.
        """
        boundary = arrays.times.max() - np.timedelta64(14, "D")
        last = arrays.times.max()
        return windows_between(arrays.until(boundary), schema, None, last), windows_between(
            arrays, schema, boundary, last
        )

    def fitted(
        self, panel: Panel | None = None, validation: bool = True
    ) -> tuple[Model, Windows, Schema]:
        """Fit a model.

        Args:
            panel: What it learns from; None: the suite's.
            validation: Hand it windows for early stopping.

        Returns:
            The model, the windows at the panel's end with their targets unknown, the schema.
        """
        panel = panel if panel is not None else make_panel()
        schema = self.schema(panel)
        arrays = plain_arrays(panel, len(schema.targets))
        train, later = self.split(arrays, schema)
        model: Model = self.make()
        model.fit(train, later if validation else None, schema, self.seed)
        return model, replace(later.gather(), target=None), schema

    def shared(self) -> tuple[Model, Windows, Schema]:
        """Give one fitted model to all checks of the suite that only ask it.

        Returns:
            The model, windows of the check's own, the schema.
        """
        suite = type(self)
        if "_fit" not in vars(suite):
            suite._fit = self.fitted()
        model, windows, schema = suite._fit
        copies = {name: np.copy(getattr(windows, name)) for name in INPUTS}
        return model, replace(windows, **copies), schema

    def expect_finite(self, answer: Any, doing: str) -> None:
        """Check that a forecast holds no NaN and no infinity.

        Args:
            answer: The forecast.
            doing: What was forecast, as the subject of a sentence.

        Raises:
            AssertionError: It holds some.
        """
        wrong = int((~np.isfinite(np.asarray(answer, dtype=np.float64))).sum())
        assert not wrong, (
            f"{doing} gives {wrong} values that are NaN or infinite, which a client would read as "
            "a forecast; answer with a level that fit has kept where a window has no value."
        )

    def test_shapes_and_finite_answers(self) -> None:
        model, windows, schema = self.shared()
        answer = np.asarray(model.predict(windows), dtype=np.float64)
        shape = (len(windows), schema.horizon, len(schema.targets), 1 + len(schema.quantiles))
        assert answer.shape == shape, (
            f"predict of {len(windows)} windows gives the shape {answer.shape}, not [windows, "
            f"horizon, targets, 1 + quantiles], here {shape}; the mean comes first on the last "
            "axis, which is there without quantiles, too."
        )
        self.expect_finite(answer, "predict of whole windows")
        assert (np.diff(answer[..., 1:], axis=-1) >= 0).all(), (
            "the quantiles of a forecast cross: a higher one is below a lower one, as happens "
            "where each is learned by itself; sort them."
        )

    def test_without_quantiles_or_validation(self) -> None:
        panel = make_panel()
        schema = self.schema(panel).model_copy(update={"quantiles": ()})
        train, later = self.split(plain_arrays(panel, len(schema.targets)), schema)
        model: Model = self.make()
        model.fit(train, None, schema, self.seed)
        shape = model.predict(take(later.gather(), slice(0, 2))).shape
        assert shape == (2, schema.horizon, len(schema.targets), 1), (
            f"fitted without quantiles and without validation windows, predict of 2 windows gives "
            f"the shape {shape}, not (2, {schema.horizon}, {len(schema.targets)}, 1)."
        )

    def test_a_window_has_the_same_bits_alone_and_among_others(self) -> None:
        model, windows, _ = self.shared()
        whole = model.predict(windows)
        cause = (
            "a matrix product of BLAS sums in another order for a batch of another size, and what "
            "is taken over a batch, such as its mean, makes windows depend on each other; compute "
            "each window by itself, or in batches of one size"
        )
        order = np.random.default_rng(0).permutation(len(windows))
        permuted = model.predict(take(windows, order))
        same_bits(permuted, whole[order], "predict of the windows in another order", cause)
        for i in range(0, len(windows), 5):
            single = model.predict(take(windows, slice(i, i + 1)))
            same_bits(single[0], whole[i], f"predict of window {i} alone", cause)
        many = np.arange(40 * len(windows)) % len(windows)
        repeated = model.predict(take(windows, many))
        same_bits(repeated, whole[many], "predict of the windows 40 times in one call", cause)

    def test_saved_and_loaded_gives_the_same_bits_without_pickle(self, tmp_path: Path) -> None:
        model, windows, _ = self.shared()
        before = model.predict(windows)
        files = saved(model, tmp_path / "state")
        assert_no_pickle(files)
        copy = type(model).load(tmp_path / "state")
        cause = (
            "something that predict uses is not saved, such as an option, or is saved with fewer "
            "digits"
        )
        same_bits(copy.predict(windows), before, "predict of the model that was loaded", cause)
        if self.stable_files:
            same_files(saved(copy, tmp_path / "again"), files, "a model that was saved and loaded")

    def test_a_worker_that_has_not_the_folder_gives_the_same_bits(self, tmp_path: Path) -> None:
        model, windows, _ = self.shared()
        windows = take(windows, slice(0, 3))
        before, copy = model.predict(windows), sent(model, tmp_path / "state")
        cause = "something that predict uses is lost on the way to another process"
        same_bits(copy.predict(windows), before, "predict in a worker", cause)

    def test_the_same_windows_and_seed_give_the_same_forecasts(self, tmp_path: Path) -> None:
        one, windows, _ = self.shared()
        two, _, _ = self.fitted()
        cause = (
            "something random does not come from the seed that fit is given, or threads add in "
            "the order in which they end"
        )
        first, second = one.predict(windows), two.predict(windows)
        same_bits(second, first, "a second fit with the same windows and seed", cause)
        if self.stable_files:
            files = saved(one, tmp_path / "one")
            same_files(saved(two, tmp_path / "two"), files, "a second fit with the same seed")

    def test_several_threads_get_each_their_own_answer(self) -> None:
        """A server predicts in several threads of one process."""
        model, windows, _ = self.shared()
        parts = [take(windows, slice(i, None, THREADS)) for i in range(THREADS)]
        expected = [model.predict(part) for part in parts]
        answers = ask_in_threads(lambda number: model.predict(parts[number]))
        cause = "predict keeps what it works on in the model, where the other threads change it"
        for values, replies in zip(expected, answers, strict=True):
            for reply in replies:
                doing = f"predict in {THREADS} threads at once"
                assert not isinstance(reply, Exception), f"{doing} raises {reply!r}; {cause}."
                same_bits(reply, values, doing, cause)

    def test_unknown_targets_are_left_out(self) -> None:
        panel = make_panel()
        generator = np.random.default_rng(5)
        panel.past[generator.random(len(panel)) < 0.2, 0] = np.nan
        panel.past[panel.offsets[1] : panel.offsets[2], 1] = np.nan
        model, windows, _ = self.fitted(panel)
        self.expect_finite(
            model.predict(windows), "a model that learned from a fifth of the targets missing"
        )

    def test_answers_are_in_each_targets_own_unit(self) -> None:
        """One target :attr:`larger` times as large as it was, beside features that a preprocessor
        has brought to size one.
        """
        panel = make_panel()
        panel.past[:, 0] *= self.larger
        level, spread = np.nanmean(panel.past[:, :2], axis=0), np.nanstd(panel.past[:, :2], axis=0)
        schema = self.schema(panel)
        arrays = plain_arrays(panel, 2)
        scaled_panel = replace(
            arrays,
            past=(arrays.past - np.nanmean(arrays.past, axis=0)) / np.nanstd(arrays.past, axis=0),
        )
        train, later = self.split(scaled_panel, schema)
        model: Model = self.make()
        model.fit(train, later, schema, self.seed)
        answer = model.predict(replace(later.gather(), target=None)).mean(axis=(0, 1))
        mean, quantiles = answer[:, 0], answer[:, 1:]
        near = level / 2 if self.larger != 1 else 5 * spread
        wrong = np.abs(mean - level) >= near
        wrong |= (np.abs(quantiles - level[:, None]) >= 5 * spread[:, None]).any(axis=1)
        assert not wrong.any(), (
            f"targets with the means {level} are forecast with the means {mean}: a "
            "forecast is in its target's own unit, so undo what scales a target (Windows.past is "
            "what the preprocessor made of the values, Windows.target_past are the values)."
        )

    def test_a_window_of_nulls_still_gets_finite_numbers(self) -> None:
        model, windows, _ = self.shared()
        one = take(windows, slice(0, 1))
        empty = Windows(
            np.full_like(one.target_past, np.nan),
            np.full_like(one.past, np.nan),
            np.full_like(one.future, np.nan),
            one.static,
        )
        self.expect_finite(model.predict(empty), "predict of a window that holds nulls alone")

    def test_a_model_that_needs_fewer_steps_reads_the_targets_alone(self) -> None:
        """A preprocessor may fill the other columns before the first row of a young series."""
        model, windows, _ = self.shared()
        least, length = model.least_context(SEASON), model.context_length(SEASON)
        assert 1 <= least <= length, (
            f"least_context is {least}; it lies between 1 and context_length, which is {length}."
        )
        for part in model.parts or (model,):
            steps, fewest = part.context_length(SEASON), part.least_context(SEASON)
            assert fewest == steps or not part.covariates, (
                f"least_context is {fewest} of {steps} steps and covariates are "
                f"{sorted(part.covariates)}: a model that learns from columns would take what the "
                "preprocessor fills in before the first row of a young series for its values."
            )
        young = replace(windows, target_past=windows.target_past.copy())
        young.target_past[:, : length - least] = np.nan
        answer = model.predict(young)
        self.expect_finite(answer, f"predict of windows with {least} of {length} steps")
        if least < length:
            past = young.past.copy()
            past[:, : length - least] = 0.0
            filled = model.predict(replace(young, past=past))
            assert np.array_equal(answer, filled), "forecasts follow what is in Windows.past."

    def test_a_window_with_few_values_is_forecast_from_its_own(self) -> None:
        """A small series that is mostly unknown beside large ones: never of their size where the
        model is :attr:`local`.
        """
        panel = make_panel()
        panel.past[:, :2] *= 1e3
        model, windows, _ = self.fitted(panel)
        one = take(windows, slice(0, 1))
        history = np.full_like(one.target_past, np.nan)
        history[:, -1] = 7.0
        if history.shape[1] > 3:
            history[:, -3] = 7.5
        answer = model.predict(replace(one, target_past=history))
        self.expect_finite(answer, "predict of a window with two values")
        if self.local:
            assert (np.abs(answer[..., 0] - 7.25) < 1).all(), (
                f"a window whose only values are 7 and 7.5 is forecast as {answer[..., 0].ravel()} "
                "by a model that says it is local; what is unknown was filled from other series."
            )

    def test_inputs_stay_as_they_were(self) -> None:
        model, windows, _ = self.shared()
        inputs: list[Any] = [getattr(windows, name) for name in INPUTS]
        before = [a.copy() for a in inputs]
        model.predict(windows)
        for name, was, now in zip(INPUTS, before, inputs, strict=True):
            same_bits(
                now,
                was,
                f"predict changes its input: Windows.{name}",
                "a server hands the same arrays to other models; work on a copy",
            )

    def test_values_after_the_cutoff_change_nothing(self, tmp_path: Path) -> None:
        """The windows end at the cutoff but the rows behind them go on: a model that looks past its
        windows is found out.
        """
        clean, absurd = make_panel(), make_panel()
        cutoff = clean.times.max() - np.timedelta64(20, "D")
        absurd.past[absurd.times > cutoff] = -1e9
        absurd.known[absurd.times > cutoff] = -1e9
        schema = self.schema(clean)
        boundary, last = (
            cutoff - np.timedelta64(14, "D"),
            cutoff - np.timedelta64(schema.horizon, "D"),
        )
        forecasts, states = [], []
        for number, panel in enumerate((clean, absurd)):
            arrays = plain_arrays(panel, len(schema.targets))
            model: Model = self.make()
            train = windows_between(arrays.until(boundary), schema, None, last)
            model.fit(train, windows_between(arrays, schema, boundary, last), schema, self.seed)
            windows = windows_between(arrays, schema, last, last).gather()
            forecasts.append(model.predict(replace(windows, target=None)))
            states.append(saved(model, tmp_path / str(number)))
        cause = (
            "fit reads rows of WindowSet.arrays that belong to no window; take what "
            "WindowSet.gather, batches or reached give"
        )
        same_bits(
            forecasts[1], forecasts[0], "a forecast where rows after the cutoff are absurd", cause
        )
        if self.stable_files:
            doing = "a fit where rows after the cutoff are absurd"
            same_files(states[1], states[0], doing, cause)
