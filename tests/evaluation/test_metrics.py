"""Metrics by hand and against formulas written another way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.panel_rows import panel_from_rows
from framework.evaluation.metrics import POINT_METRICS, Tally, naive_scale, naive_square, score


def test_by_hand() -> None:
    actual, forecast = (
        np.array([10.0, 20.0, 0.0, 30.0]),
        np.array([12.0, 19.0, 1.0, 26.0]),
    )  # errors +2 -1 +1 -4
    figures = score(actual, forecast[..., None], np.array([2.0, 2.0, 4.0, 4.0]))
    assert figures == {
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
    assert score(actual, forecast[..., None], np.array([[1.0], [1.0]]))["MAE"] == 1.0
    nothing = score(np.full(3, np.nan), np.zeros((3, 1)), 1.0)
    assert all(math.isnan(value) for value in nothing.values())
    assert tuple(nothing) == POINT_METRICS


def test_a_series_without_a_scale_does_not_count_for_mase() -> None:
    actual, forecast = np.zeros((3, 2)), np.array([[1.0, 3.0], [50.0, 50.0], [70.0, 70.0]])
    figures = score(actual, forecast[..., None], np.array([[2.0], [0.0], [np.nan]]))
    assert figures["MASE"] == 1.0
    assert math.isnan(figures["WAPE"])  # the actuals sum to zero


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
    figures = score(values, forecast[..., None], np.array([[1.0], [2.0], [4.0]]))
    close = {"rel": 1e-9, "abs": 1e-9, "nan_ok": True}
    assert figures["MAE"] == pytest.approx(error.abs().mean(), **close)
    assert figures["RMSE"] == pytest.approx((error**2).mean() ** 0.5, **close)
    assert figures["MASE"] == pytest.approx((error.abs() / frame["s"]).mean(), **close)
    assert figures["bias"] == pytest.approx(error.mean(), **close)


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
    figures = naive_scale(panel, 1, 2)[:, 0]
    assert figures[0] == pytest.approx((3 + 6 + 12) / 3)
    assert math.isnan(figures[1])  # shorter than a season
    assert figures[2] == 0.0
    assert figures[3] == pytest.approx((3 + 5) / 2)  # the step whose partner is unknown is left out


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
    figures = naive_scale(_panel(series), 2, season)
    for i, y in enumerate(series):
        expected = pd.Series(y).diff(season).abs().mean()
        assert figures[i, 0] == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)
        assert figures[i, 1] == pytest.approx(2 * expected, rel=1e-9, abs=1e-9, nan_ok=True)


def test_smape_of_nothing_and_nothing_is_nothing() -> None:
    assert score(np.zeros(2), np.zeros((2, 1)), 1.0)["sMAPE"] == 0.0


def test_rmsse_is_a_mean_over_series() -> None:
    """Series 0 has two windows, series 1 one known step, series 2 no denominator."""
    actual = np.array([[10.0, 20.0], [0.0, np.nan], [5.0, 5.0], [30.0, 30.0]])
    forecast = np.array([[12.0, 19.0], [1.0, 3.0], [9.0, 9.0], [33.0, 36.0]])
    square = np.array([[2.0], [4.0], [0.0], [9.0]])
    series = np.array([[0], [1], [2], [0]])
    figures = score(actual, forecast[..., None], 1.0, square=square, series=series)
    first = math.sqrt((4 / 2 + 1 / 2 + 9 / 9 + 36 / 9) / 4)
    assert figures["RMSSE"] == pytest.approx((first + math.sqrt(1 / 4)) / 2)
    assert "RMSSE" not in score(actual, forecast[..., None], 1.0)


def test_the_denominator_of_rmsse_is_that_of_the_m5_competition() -> None:
    """Changes of one step, from the first value that is not 0; a gap is no change."""
    panel = _panel([[1, 2, 4, 8], [0, 0, 3, 0, 0], [0, 0], [7], [0, math.nan, 2, math.nan, 5, 9]])
    first, second, never, short, gap = naive_square(panel, 1)[:, 0]
    assert first == pytest.approx((1 + 4 + 16) / 3)
    assert second == pytest.approx((9 + 0) / 2)
    assert math.isnan(never)
    assert math.isnan(short)
    assert gap == pytest.approx(16)


def test_quantiles_by_hand() -> None:
    """The third step is unknown; the fourth has a point forecast and lacks a quantile."""
    actual = np.array([10.0, 20.0, np.nan, 7.0])
    forecast = np.array([[9.0, 8.0, 11.0], [24.0, 22.0, 25.0], [0.5, 0.0, 1.0], [7.0, np.nan, 9.0]])
    figures = score(actual, forecast, 1.0, (0.1, 0.8))
    low, high = 0.1 * 2 + 0.9 * 2, 0.2 * 1 + 0.2 * 5  # losses at 0.1 and at 0.8, over both elements
    assert {name: figures[name] for name in figures if name not in POINT_METRICS} == {
        "pinball": pytest.approx((low + high) / 4),
        "WQL": pytest.approx(2 * (low + high) / 2 / 30),
        "coverage": 0.5,
        "interval_score": pytest.approx((3 + (3 + 2 / 0.1)) / 2),
    }
    assert figures["MAE"] == pytest.approx((1 + 4 + 0) / 3)
    above = score(np.array([30.0]), np.array([[24.0, 22.0, 25.0]]), 1.0, (0.1, 0.8))
    assert above["interval_score"] == pytest.approx(3 + 5 / 0.2)
    nothing = score(np.full(2, np.nan), np.zeros((2, 3)), 1.0, (0.1, 0.9))
    assert all(math.isnan(value) for value in nothing.values())


def test_one_quantile_is_no_interval() -> None:
    figures = score(np.array([10.0]), np.array([[9.0, 8.0]]), 1.0, (0.5,))
    assert figures["pinball"] == 1.0
    assert not {"coverage", "interval_score"} & set(figures)


@given(
    actual=arrays(np.float64, (40,), elements=st.one_of(finite, st.just(math.nan))),
    forecast=arrays(np.float64, (40, 3), elements=st.one_of(finite, st.just(math.nan))),
    groups=arrays(np.int64, (40,), elements=st.integers(-1, 3)),
    cut=st.integers(0, 40),
)
def test_each_group_is_judged_as_if_it_were_alone(
    actual: np.ndarray, forecast: np.ndarray, groups: np.ndarray, cut: int
) -> None:
    """In pieces, too; a step of a negative group counts nowhere."""
    scale, series = np.tile([1.0, 2.0, 0.0, math.nan], 10), np.arange(40) % 5
    tally = Tally((0.1, 0.9), groups=4, series=5)
    for piece in (slice(cut), slice(cut, None)):
        tally.add(
            actual[piece],
            forecast[piece],
            scale[piece],
            square=scale[piece] ** 2,
            series=series[piece],
            groups=groups[piece],
        )
    together = tally.figures()
    for group in range(4):
        at = groups == group
        alone = score(
            actual[at],
            forecast[at],
            scale[at],
            (0.1, 0.9),
            square=scale[at] ** 2,
            series=series[at],
        )
        assert list(alone) == list(together)
        for name, value in alone.items():
            assert together[name][group] == pytest.approx(value, rel=1e-9, abs=1e-8, nan_ok=True)
        known = np.isfinite(actual[at]) & np.isfinite(forecast[at, 0])
        assert tally.steps()[group] == known.sum()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"forecast": np.zeros((3, 2))}, r"need \(3, 3\)"),
        ({"square": None}, "needs `square` and `series`"),
        ({"series": None}, "needs `square` and `series`"),
        ({"series": np.array([0, 1, 2])}, "series are numbered from 0 to 1"),
        ({"series": -1}, "series are numbered from 0 to 1"),
        ({"groups": 4}, "groups are numbered from 0 to 3"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], message: str) -> None:
    tally = Tally((0.1, 0.9), groups=4, series=2)
    arguments: dict[str, Any] = {
        "actual": np.zeros(3),
        "forecast": np.zeros((3, 3)),
        "scale": 1.0,
        "square": 1.0,
        "series": 0,
        "groups": 0,
    }
    tally.add(**arguments)
    with pytest.raises(ValueError, match=message):
        tally.add(**(arguments | changed))
