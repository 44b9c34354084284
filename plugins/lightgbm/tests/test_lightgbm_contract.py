"""LightGBM under the public contract suite, and what it refuses."""

from typing import Any, ClassVar, get_args

import numpy as np
import pytest
from framework_lightgbm import LightGBMOptions

from framework.errors import ConfigError, DataError
from framework.testing.contracts.model import ModelContract
from framework.testing.panels import make_panel, plain_arrays


class TestLightGBM(ModelContract):
    name = "lightgbm"
    options: ClassVar[dict[str, Any]] = {
        "n_estimators": 12,
        "num_leaves": 7,
        "early_stopping_rounds": 3,
        "subsample": 0.8,
        "n_jobs": 1,
    }

    def test_it_learns(self) -> None:
        """Beside the mean of the training targets, the boosters must explain most of what the
        weekly season does.
        """
        model, windows, schema = self.fitted()
        panel = make_panel()
        _, later = self.split(plain_arrays(panel, len(schema.targets)), schema)
        actual = later.gather().target
        assert actual is not None
        error = np.abs(model.predict(windows)[..., 1, 0] - actual[..., 1]).mean()
        assert error < 0.6 * np.abs(panel.past[:, 1].mean() - actual[..., 1]).mean()

    def test_a_device_that_this_build_cannot_train_on_is_refused_before_the_data(self) -> None:
        schema = self.schema(make_panel())
        with pytest.raises(
            ConfigError, match=r"model\.device_type=cuda: CUDA Tree Learner was not"
        ):
            self.make(device_type="cuda").check(schema, ("sales", "visits"))

    def test_labels_that_an_objective_cannot_take_are_refused(self) -> None:
        panel = make_panel()
        panel.past[:, 0] -= 1000
        schema = self.schema(panel)
        train, later = self.split(plain_arrays(panel, len(schema.targets)), schema)
        with pytest.raises(
            DataError,
            match=r"objective poisson needs labels of 0 or more, target 'sales' goes down to -",
        ):
            self.make(objective="poisson").fit(train, later, schema, 1)

    @pytest.mark.parametrize(
        "objective", get_args(LightGBMOptions.model_fields["objective"].annotation)
    )
    def test_each_declared_objective_is_one_of_the_library(self, objective: str) -> None:
        import lightgbm  # by this test: every process of the gate collects this file

        rows = lightgbm.Dataset(np.arange(80.0)[:, None], np.arange(1.0, 81.0))
        options = {"objective": objective, "verbose": -1, "num_threads": 1}
        assert lightgbm.train(options, rows, 1).params["objective"] == objective


class TestLightGBMWithoutRefit(ModelContract):
    name = "lightgbm"
    options: ClassVar[dict[str, Any]] = {
        "n_estimators": 12,
        "num_leaves": 7,
        "early_stopping_rounds": 3,
        "refit": False,
        "n_jobs": 1,
    }
