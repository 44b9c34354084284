"""Darts' models under the public contract suite, on tiny networks; and what is Darts' alone."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from framework_darts.scaling import TargetScaler

from framework.errors import ConfigError
from framework.interfaces.model import FitSize
from framework.testing.contracts.model import ModelContract, take
from framework.testing.panels import make_panel, plain_arrays

QUICK: dict[str, Any] = {"input_chunk_length": 14, "n_epochs": 2, "batch_size": 64, "lr": 0.01}


class TestNLinear(ModelContract):
    name = "nlinear"
    options: ClassVar[dict[str, Any]] = {**QUICK, "n_epochs": 6}

    def test_it_learns_the_season(self) -> None:
        """Far better than the last value repeated, in natural units."""
        schema = self.schema(make_panel())
        train, later = self.split(plain_arrays(make_panel(), len(schema.targets)), schema)
        model = self.make(n_epochs=15, use_past_covariates=False, use_static_covariates=False)
        model.fit(train, later, schema, 1)
        windows = later.gather()
        assert windows.target is not None
        actual = windows.target[..., 1]
        error = np.abs(model.predict(windows)[..., 1, 0] - actual).mean()
        assert error < 0.4 * np.abs(windows.target_past[:, -1:, 1] - actual).mean()

    def test_the_memory_of_a_fit_is_its_weights_and_one_batch(self) -> None:
        size = FitSize(10_000, 0, 14, 5, 3, 2, 2, 2, 3)

        def bytes_of(**options: Any) -> int:
            needs: int | None = self.make(**options).memory(replace(size, **changed))
            assert needs is not None
            return needs

        changed: dict[str, Any] = {}
        one, two, four = (bytes_of(batch_size=count) for count in (100, 200, 400))
        assert four - two == 2 * (two - one) > 100 * 14 * 4  # at least the target of each step
        model, _, _ = self.fitted()
        weights = sum(p.numel() for p in model._network.module.parameters())
        assert one - (two - one) >= 5 * 4 * weights
        changed = {"windows": 20_000}
        assert one < bytes_of(batch_size=100) < 1.5 * one + 10_000 * 100
        changed = {"past": 60}
        assert bytes_of(batch_size=100) > one

    def test_mixed_precision_learns_nearly_the_same_and_the_pair_records_how(
        self, tmp_path: Path
    ) -> None:
        model, windows, schema = self.fitted()
        train, later = self.split(plain_arrays(make_panel(), 2), schema)
        mixed = self.make(precision="bf16-mixed", batch_size=None)
        mixed.fit(train, later, schema, 1)
        exact, near = model.predict(windows), mixed.predict(windows)
        assert not np.array_equal(exact, near)
        assert np.abs(exact - near).mean() < 0.1 * np.abs(exact).mean()
        mixed.save(tmp_path)
        again = type(mixed).load(tmp_path)
        assert (again.options.precision, again.options.batch_size) == ("bf16-mixed", 32)
        assert again.predict(windows).tobytes() == near.tobytes()

    def test_future_covariates_reach_the_forecast(self) -> None:
        model, windows, _ = self.fitted()
        moved = replace(windows, future=windows.future + 1)
        assert not np.allclose(model.predict(moved), model.predict(windows))
        without = self.make(use_future_covariates=False)
        train, later = self.split(plain_arrays(make_panel(), 2), self.schema(make_panel()))
        without.fit(train, later, self.schema(make_panel()), 1)
        assert np.array_equal(without.predict(moved), without.predict(windows))

    def test_the_best_epoch_is_kept(self) -> None:
        """With a learning rate that wrecks the weights, training stops early and is no worse than
        one epoch.
        """
        schema = self.schema(make_panel()).model_copy(update={"quantiles": ()})
        train, later = self.split(plain_arrays(make_panel(), 2), schema)
        errors = []
        for changed in ({"n_epochs": 1}, {"n_epochs": 12, "patience": 3}):
            model = self.make(lr=0.2, **changed)
            model.fit(train, later, schema, 1)
            batch = later.gather()
            assert batch.target is not None
            _, _, size = model._network.scaler.apply(batch.target_past)
            errors.append(
                float((((model.predict(batch)[..., 0] - batch.target) / size) ** 2).mean())
            )
        assert errors[1] <= errors[0] * (1 + 1e-6)

    def test_a_gpu_that_is_not_there_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import torch  # by this test: every process of the gate collects this file

        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(ConfigError, match=r"model\.accelerator: gpu is asked for"):
            self.make(accelerator="gpu").check(self.schema(make_panel()), ())

    def test_scale_and_level_do_not_matter(self) -> None:
        """Instance scaling: a window a thousand times larger gets a forecast a thousand times
        larger, when the features are the same.
        """
        model, windows, _ = self.fitted()
        large = replace(windows, target_past=windows.target_past * 1000 + 5e6)
        assert np.allclose(model.predict(large), model.predict(windows) * 1000 + 5e6, rtol=1e-6)

    def test_the_unit_of_a_feature_does_not_matter(self) -> None:
        """Features a thousand times larger, in training and after, give the same forecasts; left as
        they are they do not.
        """
        schema = self.schema(make_panel())
        arrays = plain_arrays(make_panel(), 2)
        larger = replace(
            arrays,
            past=arrays.past * 1000,
            future=arrays.future * 1000,
            static=arrays.static * 1000,
        )
        apart = {}
        for scaling in ("instance", "none"):
            found = []
            for given in (arrays, larger):
                train, later = self.split(given, schema)
                model = self.make(scaling=scaling)
                model.fit(train, later, schema, 1)
                found.append(model.predict(later.gather()))
            apart[scaling] = np.abs(found[0] / found[1] - 1).max()
        assert apart["instance"] < 1e-3 < apart["none"]

    def test_what_was_constant_keeps_its_unit(self) -> None:
        """The deviation of 1001 times 0.1 is not quite 0."""
        assert 0 < np.full(1001, 0.1).std() < 1e-15
        assert TargetScaler.fit(np.full((1001, 1), 0.1), "global", False).std == [1.0]


@pytest.mark.stress
class TestDLinear(ModelContract):
    name = "dlinear"
    options: ClassVar[dict[str, Any]] = {**QUICK, "kernel_size": 5, "scaling": "global"}


class TestTFT(ModelContract):
    name = "tft"
    options: ClassVar[dict[str, Any]] = {
        **QUICK,
        "input_chunk_length": 7,
        "n_epochs": 1,
        "hidden_size": 4,
        "num_attention_heads": 2,
        "hidden_continuous_size": 4,
    }

    def test_without_future_covariates_it_takes_a_relative_index(self) -> None:
        schema = self.schema(make_panel())
        train, later = self.split(plain_arrays(make_panel(), 2), schema)
        model = self.make(use_future_covariates=False)
        model.fit(train, later, schema, 1)
        assert np.isfinite(model.predict(take(later.gather(), slice(0, 3)))).all()


@pytest.mark.stress
class TestNBEATS(ModelContract):
    name = "nbeats"
    options: ClassVar[dict[str, Any]] = {
        **QUICK,
        "num_stacks": 2,
        "num_layers": 2,
        "layer_widths": 8,
    }

    def test_it_says_what_it_cannot_take(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            self.fitted()
        assert "NBEATS leaves out 2 future and 2 static features." in caplog.text


@pytest.mark.stress
class TestNHiTS(ModelContract):
    name = "nhits"
    options: ClassVar[dict[str, Any]] = {**QUICK, "layer_widths": 8}


@pytest.mark.stress
class TestTiDE(ModelContract):
    name = "tide"
    options: ClassVar[dict[str, Any]] = {
        **QUICK,
        "hidden_size": 8,
        "decoder_output_dim": 4,
        "temporal_decoder_hidden": 8,
    }


@pytest.mark.stress
class TestTSMixer(ModelContract):
    name = "tsmixer"
    options: ClassVar[dict[str, Any]] = {
        **QUICK,
        "hidden_size": 8,
        "ff_size": 8,
        "num_blocks": 1,
        "scaling": "none",
    }
    larger: ClassVar[float] = 1.0
