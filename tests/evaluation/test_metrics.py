"""Metrics by hand and against formulas written another way."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from framework.data.frequency import Frequency
from framework.data.panel import Panel, panel_from_rows
from framework.evaluation.metrics import naive_scale, point_metrics, quantile_metrics, rmsse


def test_by_hand() -> None:
    actual, forecast = (
        np.array([10.0, 20.0, 0.0, 30.0]),
        np.array([12.0, 19.0, 1.0, 26.0]),
    )  # errors +2 -1 +1 -4
    found = point_metrics(actual, forecast, np.array([2.0, 2.0, 4.0, 4.0]))
    assert found == {
        "MAE": 2.0,
        "RMSE": pytest.approx(math.sqrt(22 / 4)),
        "WAPE": pytest.approx(8 / 60),
        "MASE": pytest.approx((1 + 0.5 + 0.25 + 1) / 4),
        "sMAPE": pytest.approx((4 / 22 + 2 / 39 + 2 + 8 / 56) / 4),
        "bias": -0.5,
    }


def test_unknown_elements_are_left_out_and_nothing_is_nan() -> None:
    actual, forecast = (
        np.array([[1.0, np.nan], [np.nan, 4.0]]),
        np.array([[2.0, 9.0], [1.0, np.nan]]),
    )
    assert point_metrics(actual, forecast, np.array([[1.0], [1.0]]))["MAE"] == 1.0
    nothing = point_metrics(np.full(3, np.nan), np.zeros(3), np.ones(3))
    assert all(math.isnan(value) for value in nothing.values())
    assert set(nothing) == {"MAE", "RMSE", "WAPE", "MASE", "sMAPE", "bias"}


def test_a_series_without_a_scale_does_not_count_for_mase() -> None:
    actual, forecast = np.zeros((3, 2)), np.array([[1.0, 3.0], [50.0, 50.0], [70.0, 70.0]])
    found = point_metrics(actual, forecast, np.array([[2.0], [0.0], [np.nan]]))
    assert found["MASE"] == 1.0
    assert math.isnan(found["WAPE"])  # the actuals sum to zero


finite = st.floats(-1e6, 1e6)


@given(
    values=arrays(np.float64, (3, 7), elements=st.one_of(finite, st.just(math.nan))),
    forecast=arrays(np.float64, (3, 7), elements=finite),
)
def test_against_pandas(values: np.ndarray, forecast: np.ndarray) -> None:
    frame = pd.DataFrame(
        {"a": values.ravel(), "f": forecast.ravel(), "s": np.repeat([1.0, 2.0, 4.0], 7)}
    ).dropna()
    error = frame["f"] - frame["a"]
    found = point_metrics(values, forecast, np.array([[1.0], [2.0], [4.0]]))
    close = {"rel": 1e-9, "abs": 1e-9, "nan_ok": True}
    assert found["MAE"] == pytest.approx(error.abs().mean(), **close)
    assert found["RMSE"] == pytest.approx((error**2).mean() ** 0.5, **close)
    assert found["MASE"] == pytest.approx((error.abs() / frame["s"]).mean(), **close)
    assert found["bias"] == pytest.approx(error.mean(), **close)


def _panel(series: list[list[float]]) -> Panel:
    frames = [
        pd.DataFrame(
            {
                "shop": f"s{i:02}",
                "event_timestamp": pd.date_range("2024-01-01", periods=len(y), tz="UTC"),
                "y": y,
                "z": np.array(y) * -2,
            }
        )
        for i, y in enumerate(series)
    ]
    return panel_from_rows(
        pd.concat(frames, ignore_index=True),
        entity_keys=("shop",),
        past=("y", "z"),
        known=(),
        categories=(),
        frequency=Frequency.parse("D"),
    )


def test_scale_by_hand() -> None:
    panel = _panel([[1, 2, 4, 8, 16], [5, 5], [7, 7, 7, 7], [1, math.nan, 4, 5, 9]])
    found = naive_scale(panel, 1, 2)[:, 0]
    assert found[0] == pytest.approx((3 + 6 + 12) / 3)
    assert math.isnan(found[1])  # shorter than a season
    assert found[2] == 0.0
    assert found[3] == pytest.approx((3 + 5) / 2)  # the step whose partner is unknown is left out


@given(
    series=st.lists(
        st.lists(st.one_of(st.floats(-1e3, 1e3), st.just(math.nan)), min_size=1, max_size=9),
        min_size=1,
        max_size=5,
    ),
    season=st.integers(1, 5),
)
def test_scale_is_the_in_sample_error_of_each_series_alone(
    series: list[list[float]], season: int
) -> None:
    found = naive_scale(_panel(series), 2, season)
    for i, y in enumerate(series):
        expected = pd.Series(y).diff(season).abs().mean()
        assert found[i, 0] == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)
        assert found[i, 1] == pytest.approx(2 * expected, rel=1e-9, abs=1e-9, nan_ok=True)


def test_smape_of_nothing_and_nothing_is_nothing() -> None:
    assert point_metrics(np.zeros(2), np.zeros(2), np.ones(2))["sMAPE"] == 0.0


def test_rmsse_by_hand() -> None:
    actual, forecast = (
        np.array([[10.0, 20.0], [0.0, np.nan], [5.0, 5.0]]),
        np.array([[12.0, 19.0], [1.0, 3.0], [9.0, 9.0]]),
    )
    assert rmsse(actual, forecast, np.array([[2.0], [4.0], [0.0]])) == pytest.approx(
        math.sqrt((4 / 2 + 1 / 2 + 1 / 4) / 3)
    )
    panel = _panel([[1, 2, 4, 8, 16], [5, 5]])
    assert naive_scale(panel, 1, 2, power=2)[0, 0] == pytest.approx((9 + 36 + 144) / 3)


def test_quantile_metrics_by_hand() -> None:
    actual = np.array([10.0, 20.0, np.nan])
    forecast = np.array([[8.0, 11.0], [22.0, 25.0], [0.0, 1.0]])
    found = quantile_metrics(actual, forecast, (0.1, 0.9))
    low, high = 0.1 * 2 + 0.9 * 2, 0.1 * 1 + 0.1 * 5  # losses at 0.1 and at 0.9, over both elements
    assert found == {
        "pinball": pytest.approx((low + high) / 4),
        "WQL": pytest.approx(2 * (low + high) / 2 / 30),
        "coverage": 0.5,
    }
    assert all(
        math.isnan(v)
        for v in quantile_metrics(np.full(2, np.nan), np.zeros((2, 2)), (0.1, 0.9)).values()
    )
