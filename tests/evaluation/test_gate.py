"""The gate refuses a worse pair, whatever makes it worse, and only compares like with like."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from framework.config.sections import GateConfig
from framework.errors import ConfigError
from framework.evaluation.gate import check_candidate, common_windows

KEYS = ("shop",)


def table(
    error: float, *, origin: str = "2026-01-01", naive_error: float = 3.0, worse_shop: float = 0.0
) -> pd.DataFrame:
    """Two shops, four steps, actual 10..13; the model is off by ``error`` (shop b by ``worse_shop``
    more), the naive by ``naive_error``.
    """
    rows = []
    for shop, extra in (("a", 0.0), ("b", worse_shop)):
        for step in range(1, 5):
            actual = 9.0 + step
            rows.append(
                {
                    "shop": shop,
                    "origin": pd.Timestamp(origin, tz="UTC"),
                    "event_timestamp": pd.Timestamp(origin, tz="UTC") + pd.Timedelta(days=step),
                    "step": step,
                    "target": "y",
                    "actual": actual,
                    "baseline": actual + naive_error,
                    "scale": 2.0,
                    "mean": actual + error + extra,
                    "q0.5": actual + error + extra,
                }
            )
    return pd.DataFrame(rows)


def failed(
    config: GateConfig, candidate: pd.DataFrame, incumbent: pd.DataFrame | None
) -> list[str]:
    return [
        check.check
        for check in check_candidate(config, candidate, incumbent, KEYS)
        if not check.passed
    ]


@pytest.mark.parametrize("metric", ["MAE", "RMSE", "WAPE", "MASE", "bias"])
def test_a_better_candidate_passes_and_a_worse_one_does_not(metric: str) -> None:
    config = GateConfig(metric=metric)
    assert failed(config, table(1.0), table(2.0)) == []
    assert failed(config, table(2.0), table(1.0)) == [f"y: {metric} against the incumbent"]
    assert failed(config, table(-2.0), table(1.0)) == [f"y: {metric} against the incumbent"]


def test_the_margin_is_relative_and_its_edge_passes() -> None:
    config = GateConfig(metric="MAE", margin=0.1)
    assert failed(config, table(1.1), table(1.0)) == []
    assert failed(config, table(1.12), table(1.0)) == ["y: MAE against the incumbent"]


def test_worse_than_the_baseline_is_refused_without_an_incumbent() -> None:
    assert failed(GateConfig(), table(4.0), None) == ["y: MAE against the baseline"]
    assert failed(GateConfig(), table(2.0), None) == []


def test_unknown_figures_do_not_pass() -> None:
    empty = table(1.0).assign(actual=np.nan)
    assert failed(GateConfig(), empty, None) == ["y: MAE against the baseline"]


def test_without_common_windows_nothing_is_compared_and_nothing_passes() -> None:
    checks = check_candidate(GateConfig(), table(1.0), table(1.0, origin="2026-02-01"), KEYS)
    assert [c.passed for c in checks] == [True, False]
    assert "no known step of a series in common" in checks[1].detail


def test_only_rows_known_to_both_are_compared() -> None:
    candidate, incumbent = table(1.0), table(2.0)
    incumbent.loc[0, "mean"] = np.nan
    left, right = common_windows(candidate, incumbent.iloc[::-1], KEYS)
    assert len(left) == len(right) == 7
    assert (left[["shop", "step"]] == right[["shop", "step"]]).all(axis=None)


def test_one_series_made_much_worse_is_caught_by_its_guard_rail() -> None:
    candidate, incumbent = table(1.0, worse_shop=1.5), table(2.0)
    assert failed(GateConfig(), candidate, incumbent) == []
    checks = check_candidate(GateConfig(worst_series=1.2), candidate, incumbent, KEYS)
    assert [c.check for c in checks if not c.passed] == ["y: worst series"]
    assert checks[-1].detail.startswith("b:")
    assert checks[-1].value == pytest.approx(1.25)


def test_bias_and_calibration_have_limits_of_their_own() -> None:
    assert failed(GateConfig(bias=0.2), table(2.0), None) == []
    assert failed(GateConfig(bias=0.1), table(2.0), None) == ["y: bias relative to the mean actual"]
    assert failed(GateConfig(coverage=0.3), table(2.0), None) == ["y: calibration of q0.5"]


def test_an_unknown_metric_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"gate.metric: 'MAPE' is not one of MAE"):
        check_candidate(GateConfig(metric="MAPE"), table(1.0), None, KEYS)
