"""Drift of forecasts: what is observed, how it is bet on, what is named among many."""

from __future__ import annotations

import numpy as np
import pytest

from framework.monitoring import drift, observations

RNG = np.random.default_rng(3)


def observe(days: int, level: float = 0.0, scale: float = 1.0, series: int = 20) -> np.ndarray:
    """``[days, series, tests]`` of standard normal errors under a forecast of zero."""
    actual = level + scale * np.random.default_rng(days).standard_normal((days, series))
    before = np.full_like(actual, np.nan)
    before[1:] = actual[:-1]
    ends = np.full_like(actual, 1.2816)
    spread = np.full_like(actual, np.sqrt(2 / np.pi))
    return observations.one_sided(
        observations.figures(actual, before, 0 * actual, -ends, ends, spread)
    )


def alarm(live: np.ndarray) -> int | None:
    reference = drift.make_reference(observations.mean_over_series(observe(180)))
    path = drift.wealth(observations.mean_over_series(live), reference, 365)
    return drift.first_alarm(path.max(1), drift.threshold(path.shape[1], 0.05))


def test_a_year_without_change_is_quiet_and_each_kind_of_change_is_found() -> None:
    assert alarm(observe(365)) is None
    for change in ({"level": 1.0}, {"level": -1.0}, {"scale": 1.7}):
        day = alarm(observe(100, **change))
        assert day is not None, change
        assert day < 30, change


def test_the_wealth_is_the_product_of_the_bets_averaged_over_stakes_and_starts() -> None:
    mean, delta, x = 0.4, 0.1, [0.9, 0.2, 0.7]
    reference = drift.Reference(
        np.array([mean]), np.array([0.5]), np.array([delta]), np.array([100])
    )
    path = drift.wealth(np.array(x)[:, None], reference, 20)
    limits = [0.5, mean + 0.5 * (0.9 - mean) + delta, mean + 0.5 * (0.2 - mean) + delta]
    products = [
        np.prod(
            [1 + stake / limit * (value - limit) for value, limit in zip(x, limits, strict=True)]
        )
        for stake in drift.STAKES
    ]
    # 20 observations have two days to begin on, and the second has not come
    assert path[-1, 0] == pytest.approx(0.5 * np.mean(products) + 0.5, abs=1e-12)


def test_a_coin_at_the_limit_makes_no_one_rich_more_often_than_alpha() -> None:
    reference = drift.Reference(*(np.full(4000, v) for v in (0.4, 0.0, 0.1)), np.full(4000, 99))
    coins = (np.random.default_rng(5).random((200, 4000)) < 0.5).astype(float)
    path = drift.wealth(coins, reference, 200)
    assert (path.max(0) >= 10).mean() <= 0.1
    assert path[9].mean() == pytest.approx(1.0, abs=0.02)


def test_an_unknown_observation_and_a_test_without_reference_leave_the_wealth() -> None:
    reference = drift.make_reference(np.full((3, 5), 0.5))
    assert np.isnan(reference.mean).all()
    assert (drift.wealth(np.ones((9, 5)), reference, 90) == 1).all()
    known = drift.make_reference(observe(50, series=1)[:, 0])
    assert (drift.wealth(np.full((9, 5), np.nan), known, 90) == 1).all()


def test_betting_starts_afresh_in_each_review_period() -> None:
    reference = drift.make_reference(observations.mean_over_series(observe(180)))
    path = drift.wealth(np.ones((40, 5)), reference, 20)
    assert (path[19, :4] > 5 * path[0, :4]).all()
    again = drift.wealth(np.ones((1, 5)), reference, 20)
    # only what the observation before carries over is not forgotten
    assert (path[20] <= again[0]).all()


def test_few_observations_get_no_verdict_and_a_small_backtest_a_wide_margin() -> None:
    live = observations.mean_over_series(observe(4, level=9.0))
    small, large = (
        drift.make_reference(observations.mean_over_series(observe(n))) for n in (6, 180)
    )
    path = drift.wealth(live, large, 365)
    assert set(drift.verdicts(path, live, large, 5, 0.05)) == {"too few"}
    assert (small.delta[:4] > 2 * large.delta[:4]).all()


def test_the_verdict_names_the_test_that_alarmed() -> None:
    reference = drift.make_reference(observations.mean_over_series(observe(180)))
    live = observations.mean_over_series(observe(60, level=1.5))
    path = drift.wealth(live, reference, 365)
    named = dict(
        zip(observations.TEST_NAMES, drift.verdicts(path, live, reference, 5, 0.05), strict=True)
    )
    assert named["level_up"] == named["error_up"] == "alarm"
    assert named["level_down"] == named["repeat_up"] == "quiet"


def test_a_dead_sensor_is_named_among_many_series_within_a_week() -> None:
    past, live = observe(180, series=50), observe(30, series=50)
    live[1:, 7, observations.TEST_NAMES.index("repeat_up")] = 1.0
    values = drift.e_value_of_series(drift.wealth(live, drift.make_reference_of_series(past), 365))
    assert np.flatnonzero(drift.e_bh(values[7], 0.1)).tolist() == [7]
    assert not drift.e_bh(np.delete(values[-1], 7), 0.1).any()


def test_e_bh_by_hand() -> None:
    # n / alpha = 50: the largest alone needs 50, two need 25 each, three 16.7
    assert drift.e_bh(np.array([26.0, 1.0, 30.0, 2.0, 0.0]), 0.1).tolist() == [
        True, False, True, False, False,
    ]  # fmt: skip
    assert not drift.e_bh(np.array([24.0, 1.0, 49.0, 2.0, 0.0]), 0.1).any()


def test_figures_by_hand() -> None:
    spread = np.array([0.5, 0.5, 0.0, 0.5])
    actual = np.array([3.0, 2.0, 9.0, np.nan])
    found = observations.figures(
        actual, np.array([3.0, 1.0, np.nan, 1.0]), np.full(4, 2.0), np.zeros(4), np.full(4, 2.5),
        spread,
    )  # fmt: skip
    nan = np.nan
    expected = [[1, 1, 0.5, 1], [0.5, 0, 0, 0], [1, 1, nan, nan], [nan] * 4]
    np.testing.assert_array_equal(found, np.array(expected))


def test_a_spread_leaves_out_the_error_that_it_judges() -> None:
    errors, position = RNG.random(12), np.tile([0, 1], 6)
    series, shape = np.repeat([0, 1], 6), (2, 2)
    errors[8] = np.nan
    by_others = observations.reference_spread_without_own(errors, series, position, shape)
    without = errors.copy()
    without[0] = np.nan
    again = observations.reference_spread(without, series, position, shape)
    assert by_others[0] == pytest.approx(again[0, 0])


def test_observations_of_a_bucket_do_not_overlap() -> None:
    assert observations.buckets(1) == ((1, 1),)
    assert observations.buckets(7) == ((1, 1), (2, 4), (5, 7))
    positions = np.array([0, 1, 6, 7, 8, 20, 21, 27])
    assert positions[observations.spaced(positions, 7)].tolist() == [0, 7, 20, 27]
