"""Actual values and scales of forecasts that the store does not know whole."""

from __future__ import annotations

import numpy as np

from framework.monitoring.actuals import actuals_of, scales_of
from framework.testing import panels


def test_what_the_store_does_not_know_is_nan() -> None:
    """A time of none, a series of none and a target of none have no actual and no scale."""
    panel = panels.make_panel()
    length = int(panel.offsets[1])
    last, nat = panel.times[length - 1], np.datetime64("NaT", "us")
    series, target = np.array([0, 0, -1, 0, 0]), np.array([0, 0, 0, -1, 0])
    times = np.array([last, nat, last, last, panel.times[0]])
    actual, before = actuals_of(panel, series, times, target, 1)
    past = panel.past[:length, 0]
    np.testing.assert_array_equal(actual, [past[-1], np.nan, np.nan, np.nan, past[0]])
    np.testing.assert_array_equal(before, [past[-2], np.nan, np.nan, np.nan, np.nan])
    scale = scales_of(
        panel, panel.entities, np.zeros(3, int), times[:3], target[2:], targets=1, season_length=1
    )
    change = np.abs(np.diff(past)).mean()
    np.testing.assert_allclose(scale, [change, np.nan, change])
