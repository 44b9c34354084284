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
from framework.testing.contracts.component import ComponentContract, assert_no_pickle, saved
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

    def test_shapes_and_finite_answers(self) -> None:
        model, windows, schema = self.fitted()
        answer = np.asarray(model.predict(windows), dtype=np.float64)
        assert answer.shape == (
            len(windows),
            schema.horizon,
            len(schema.targets),
            1 + len(schema.quantiles),
        )
        assert np.isfinite(answer).all()
        assert (np.diff(answer[..., 1:], axis=-1) >= 0).all(), "quantiles cross"

    def test_without_quantiles_or_validation(self) -> None:
        panel = make_panel()
        schema = self.schema(panel).model_copy(update={"quantiles": ()})
        train, later = self.split(plain_arrays(panel, len(schema.targets)), schema)
        model: Model = self.make()
        model.fit(train, None, schema, self.seed)
        assert model.predict(take(later.gather(), slice(0, 2))).shape == (
            2,
            schema.horizon,
            len(schema.targets),
            1,
        )

    def test_a_window_has_the_same_bits_alone_and_among_others(self) -> None:
        model, windows, _ = self.fitted()
        whole = model.predict(windows)
        order = np.random.default_rng(0).permutation(len(windows))
        assert model.predict(take(windows, order)).tobytes() == whole[order].tobytes()
        for i in range(0, len(windows), 5):
            assert (
                model.predict(take(windows, slice(i, i + 1)))[0].tobytes() == whole[i].tobytes()
            ), i
        many = np.arange(40 * len(windows)) % len(windows)
        assert model.predict(take(windows, many)).tobytes() == whole[many].tobytes()

    def test_saved_and_loaded_gives_the_same_bits_without_pickle(self, tmp_path: Path) -> None:
        model, windows, _ = self.fitted()
        before = model.predict(windows).tobytes()
        files = saved(model, tmp_path / "state")
        assert_no_pickle(files)
        copy = type(model).load(tmp_path / "state")
        assert copy.predict(windows).tobytes() == before
        if self.stable_files:
            assert saved(copy, tmp_path / "again") == files

    def test_the_same_windows_and_seed_give_the_same_forecasts(self, tmp_path: Path) -> None:
        one, windows, _ = self.fitted()
        two, _, _ = self.fitted()
        assert one.predict(windows).tobytes() == two.predict(windows).tobytes()
        if self.stable_files:
            assert saved(one, tmp_path / "one") == saved(two, tmp_path / "two")

    def test_unknown_targets_are_left_out(self) -> None:
        panel = make_panel()
        generator = np.random.default_rng(5)
        panel.past[generator.random(len(panel)) < 0.2, 0] = np.nan
        panel.past[panel.offsets[1] : panel.offsets[2], 1] = np.nan
        model, windows, _ = self.fitted(panel)
        assert np.isfinite(model.predict(windows)).all()

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
        assert (np.abs(answer - level[:, None]) < 5 * spread[:, None]).all(), answer

    def test_a_window_of_nulls_still_gets_finite_numbers(self) -> None:
        model, windows, _ = self.fitted()
        one = take(windows, slice(0, 1))
        empty = Windows(
            np.full_like(one.target_past, np.nan),
            np.full_like(one.past, np.nan),
            np.full_like(one.future, np.nan),
            one.static,
        )
        assert np.isfinite(model.predict(empty)).all()

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
        assert np.isfinite(answer).all()
        if self.local:
            assert (np.abs(answer[..., 0] - 7.25) < 1).all(), answer

    def test_inputs_stay_as_they_were(self) -> None:
        model, windows, _ = self.fitted()
        inputs: list[Any] = [windows.target_past, windows.past, windows.future, windows.static]
        before = [a.copy() for a in inputs]
        model.predict(windows)
        for was, now in zip(before, inputs, strict=True):
            assert was.tobytes() == now.tobytes()

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
            forecasts.append(model.predict(replace(windows, target=None)).tobytes())
            states.append(saved(model, tmp_path / str(number)))
        assert forecasts[0] == forecasts[1]
        if self.stable_files:
            assert states[0] == states[1]
