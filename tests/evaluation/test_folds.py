"""Folds are planned as declared: whole, in order, and never before there are rows to learn from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.config.sections import BacktestConfig
from framework.data.frequency import Frequency
from framework.errors import ConfigError
from framework.evaluation.folds import holdout_origins, plan_folds

DAY = Frequency.parse("D")
DAYS = np.datetime64("2024-01-01", "us") + np.arange(100) * np.timedelta64(86_400_000_000, "us")


def _plan(**config: Any) -> list[tuple[str, str, str]]:
    folds = plan_folds(DAYS, DAY, 4, BacktestConfig(**config))
    assert [fold.number for fold in folds] == list(range(len(folds)))
    return [(str(f.first)[:10], str(f.cutoff)[:10], str(f.origin)[:10]) for f in folds]


def test_expanding_folds_end_one_horizon_before_the_end() -> None:
    """Day 100 is 2024-04-09; steps are a horizon apart unless said otherwise."""
    assert _plan(folds=3) == [
        ("2024-01-01", "2024-03-28", "2024-03-28"),
        ("2024-01-01", "2024-04-01", "2024-04-01"),
        ("2024-01-01", "2024-04-05", "2024-04-05"),
    ]


def test_folds_end_before_a_hold_out() -> None:
    """Their horizons are over at its first origin, also where origins are closer than a horizon."""
    assert [plan[2] for plan in _plan(folds=2, holdout=1)] == ["2024-03-28", "2024-04-01"]
    config = BacktestConfig(folds=2, holdout=2, step=1)
    apart = holdout_origins(DAYS, DAY, 4, config)
    assert [str(origin)[:10] for origin in apart] == ["2024-04-04", "2024-04-05"]
    last = plan_folds(DAYS, DAY, 4, config)[-1].origin
    assert DAY.shift(np.array([last]), 4)[0] == apart[0]
    assert not len(holdout_origins(DAYS, DAY, 4, BacktestConfig()))


def test_step_and_gap() -> None:
    assert _plan(folds=2, step=10, gap=3) == [
        ("2024-01-01", "2024-03-23", "2024-03-26"),
        ("2024-01-01", "2024-04-02", "2024-04-05"),
    ]


def test_sliding_window_keeps_its_length_and_stays_inside_the_data() -> None:
    assert _plan(folds=2, window="sliding", window_length=7) == [
        ("2024-03-26", "2024-04-01", "2024-04-01"),
        ("2024-03-30", "2024-04-05", "2024-04-05"),
    ]
    assert _plan(folds=1, window="sliding", window_length=500)[0][0] == "2024-01-01"


def test_no_fold_begins_before_the_rows_to_learn_from() -> None:
    since = datetime(2024, 3, 20, tzinfo=UTC)
    folds = plan_folds(DAYS, DAY, 4, BacktestConfig(folds=2), since=since)
    assert [str(fold.first)[:10] for fold in folds] == ["2024-03-20", "2024-03-20"]
    with pytest.raises(ConfigError, match=r"the rows since panel.since begin 2024-04-02"):
        plan_folds(DAYS, DAY, 4, BacktestConfig(folds=2), since=datetime(2024, 4, 2, tzinfo=UTC))


def test_month_folds() -> None:
    months = np.arange("2020-01", "2023-01", dtype="M8[M]").astype("M8[us]")
    folds = plan_folds(months, Frequency.parse("MS"), 3, BacktestConfig(folds=2, gap=1))
    assert [(str(f.cutoff)[:7], str(f.origin)[:7]) for f in folds] == [
        ("2022-05", "2022-06"),
        ("2022-08", "2022-09"),
    ]


def test_too_short_data_are_refused_with_the_numbers() -> None:
    with pytest.raises(ConfigError) as caught:
        plan_folds(DAYS[:12], DAY, 4, BacktestConfig(folds=3, gap=1))
    assert str(caught.value) == (
        "backtest: fold 1 of 3 would learn from rows up to 2023-12-30T00:00:00.000000, the "
        "data begin 2024-01-01T00:00:00.000000: "
        "horizon 4, step 4 and gap 1 are longer than the data; lower backtest.folds or "
        "panel.horizon."
    )


@given(
    horizon=st.integers(1, 9),
    folds=st.integers(1, 4),
    step=st.integers(1, 9),
    gap=st.integers(0, 5),
)
def test_every_fold_can_be_judged_in_full_and_learns_only_from_before_its_origin(
    horizon: int, folds: int, step: int, gap: int
) -> None:
    planned = plan_folds(DAYS, DAY, horizon, BacktestConfig(folds=folds, step=step, gap=gap))
    for fold in planned:
        assert fold.cutoff == DAY.shift(np.array([fold.origin]), -gap)[0]
        assert DAY.shift(np.array([fold.origin]), horizon)[0] <= DAYS[-1]
    assert DAY.shift(np.array([planned[-1].origin]), horizon)[0] == DAYS[-1]
    assert (np.diff([fold.origin for fold in planned]) == np.timedelta64(step, "D")).all()
