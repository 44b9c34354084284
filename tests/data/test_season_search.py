"""Seasons are found by the autocorrelation of changes, whatever the trend and the missing rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.panel_rows import panel_from_rows
from framework.data.season_search import found_seasons


def panel_of(
    seed: int, steps: int, periods: tuple[int, ...] = (), series: int = 1, *, walk: bool = False
) -> Panel:
    """Noise, or random walks, with a trend, a pattern for each period and a tenth of nulls."""
    random, step, parts = np.random.default_rng(seed), np.arange(steps), []
    for name in range(series):
        values = 0.5 * random.standard_normal(steps)
        values = np.cumsum(values) if walk else values + 0.3 * step
        for period in periods:
            values += np.random.default_rng([name, period]).standard_normal(period)[step % period]
        values[random.random(steps) < 0.1] = np.nan
        times = pd.date_range("2020-01-01", periods=steps, freq="D", tz="UTC")
        parts.append(pd.DataFrame({"id": f"{name}", "event_timestamp": times, "y": values}))
    return panel_from_rows(
        pd.concat(parts),
        entity_keys=("id",),
        past=("y",),
        known=(),
        categories=(),
        frequency=Frequency.parse("D"),
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_period_that_no_frequency_suggests_is_found(seed: int) -> None:
    assert found_seasons(panel_of(seed, 300, (10,)), 0, (7,))[0] == 10


def test_several_periods_are_found_and_multiples_are_not() -> None:
    assert {*found_seasons(panel_of(1, 900, (10, 70), 8), 0, (7,))} == {10, 70}
    assert {*found_seasons(panel_of(1, 4_000, (48, 336), 4), 0, ())} == {48, 336}
    assert not {7, 14, 21, 28} & {*found_seasons(panel_of(1, 900, (7,)), 0, (7,))}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steps", [4, 40, 400])
@pytest.mark.parametrize("walk", [False, True])
def test_noise_has_no_season(seed: int, steps: int, walk: bool) -> None:
    assert found_seasons(panel_of(seed, steps, walk=walk), 0, (7,)) == ()
