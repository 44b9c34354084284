"""The figure of a trial: over the folds so far, their mean or the worst of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from framework.errors import ConfigError
from framework.tuning.objective import Goal


def part(mae: float, bias: float) -> Any:
    return SimpleNamespace(metrics=lambda: {"y": {"model": {"MAE": mae, "bias": bias}}})


PARTS = [part(1.0, -4.0), part(3.0, 1.0)]


@pytest.mark.parametrize(
    ("metric", "worst", "expected"),
    [("MAE", False, 2.0), ("MAE", True, 3.0), ("bias", False, 2.5), ("bias", True, 4.0)],
)
def test_the_objective_over_the_folds(metric: str, worst: bool, expected: float) -> None:
    assert Goal(metric, "y", worst).value(PARTS) == expected


def test_what_is_minimised_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"tune\.metric: 'MEA' is not known; Did you mean 'MAE'"):
        Goal.of("MEA", None, "mean", ["y"])
    with pytest.raises(ConfigError, match=r"tune\.target: 'z' is not known"):
        Goal.of("MAE", "z", "mean", ["y"])
    with pytest.raises(ConfigError, match=r"tune\.metric: WQL judges quantiles"):
        Goal.of("WQL", None, "mean", ["y"])
    with pytest.raises(ConfigError, match=r"tune\.target: MAE has the unit of its target"):
        Goal.of("MAE", "*", "mean", ["y", "z"])
    assert Goal.of("WQL", "*", "mean", ["y", "z"], (0.1, 0.9)).metric == "WQL"
    assert Goal.of("MAE", None, "worst", ["y"]) == Goal("MAE", "y", True)


def test_the_mean_over_targets() -> None:
    sides = {name: {"model": {"RMSSE": value}} for name, value in (("y", 1.0), ("z", 3.0))}
    parts: Any = [SimpleNamespace(metrics=lambda: sides)]
    assert Goal.of("RMSSE", "*", "mean", ["y", "z"]).value(parts) == 2.0
    assert Goal.of("RMSSE", "z", "mean", ["y", "z"]).value(parts) == 3.0
    assert np.isnan(Goal("WQL", "*", worst=False).value(parts))  # a model without quantiles
