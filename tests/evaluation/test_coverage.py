"""Forward in time: intervals made at each origin from what was known there cover what they say,
also when the errors change.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from framework.data.schema import Schema
from framework.evaluation.coverage import forward_coverage
from framework.pairs.adaptive_levels import (
    FOLLOWED,
    PACE,
    Scores,
    adapted_levels,
    highest_level,
    ranks,
)
from framework.testing.fakes import make_schema

SERIES, HORIZON, ORIGINS = 16, 3, 60


def schema(quantiles: tuple[float, ...] = ()) -> Schema:
    return make_schema(
        entity_keys=("shop",),
        targets=("y",),
        past=("y",),
        nullable=(),
        static=("shop",),
        horizon=HORIZON,
        quantiles=quantiles,
    )


def table(spread: np.ndarray, seed: int) -> pd.DataFrame:
    """A backtest of :data:`SERIES` series; errors of origin ``k`` are ``spread[k]`` wide, in units
    of their series, skewed and biased.
    """
    generator = np.random.default_rng(seed)
    n = len(spread)
    shape = (n, SERIES, HORIZON)
    size = (
        np.geomspace(1, 20, SERIES)[None, :, None]
        * np.sqrt(np.arange(1, HORIZON + 1))
        * spread[:, None, None]
    )
    mean = generator.normal(100, 10, shape)
    origin = np.datetime64("2024-01-01") + HORIZON * np.arange(n)
    time = origin[:, None, None] + np.arange(1, HORIZON + 1)
    columns = {
        "shop": np.broadcast_to(
            np.array([f"s{i}" for i in range(SERIES)], dtype=object)[None, :, None], shape
        ),
        "origin": np.broadcast_to(origin[:, None, None], shape),
        "event_timestamp": np.broadcast_to(time, shape),
        "step": np.broadcast_to(np.arange(1, HORIZON + 1), shape),
        "actual": mean + size * (generator.gamma(2, 1, shape) - 1.5),
        "scale": np.broadcast_to(np.geomspace(1, 20, SERIES)[None, :, None], shape),
        "mean": mean,
    }
    frame = pd.DataFrame({name: values.ravel() for name, values in columns.items()}).assign(
        target="y"
    )
    return frame.assign(
        **{c: pd.DatetimeIndex(frame[c]).tz_localize("UTC") for c in ("origin", "event_timestamp")}
    )


#: Errors as ever; three times as large from the middle on; larger and smaller in turn, as seasons
#: come and go.
WORLDS = {
    "steady": np.ones(ORIGINS),
    "shift": np.where(np.arange(ORIGINS) < ORIGINS // 2, 1.0, 3.0),
    "seasons": 1.5 + np.sin(np.arange(ORIGINS) / 6),
}


@pytest.mark.gate_cases(1)
@pytest.mark.parametrize("world", WORLDS)
def test_coverage_forward_in_time_is_within_three_points(world: str) -> None:
    """48 held-out origins, 2,304 actuals a level."""
    found = forward_coverage(
        table(WORLDS[world], 1), schema(), (80, 95), calibrated_on=20, first=12
    )
    by_level = found.groupby("level")["inside"].agg(["mean", "size"])
    assert (by_level["size"] >= 2000).all()
    assert np.abs(by_level["mean"] - by_level.index / 100).max() < 0.03


def test_after_a_shift_the_level_makes_up_for_what_old_errors_do_not_know() -> None:
    found = {}
    for pace in (0.0, PACE):
        judged = forward_coverage(
            table(WORLDS["shift"], 1), schema(), (80,), ORIGINS, ORIGINS // 2, pace
        )
        found[pace] = float(judged["inside"].mean())
    assert abs(found[PACE] - 0.8) < abs(found[0.0] - 0.8) / 2


def test_an_origin_sees_nothing_after_it() -> None:
    """What comes after an origin changes nothing of its intervals: widths are those of a table that
    ends there.
    """
    whole = table(WORLDS["seasons"], 2)
    origins = sorted(whole["origin"].unique())
    absurd = whole.assign(
        actual=whole["actual"].where(whole["event_timestamp"] <= origins[20], 1e9)
    )
    clean, changed = (forward_coverage(t, schema(), (80,), 20, 20) for t in (whole, absurd))
    first = clean["origin"] == origins[20]
    assert first.sum() == SERIES * HORIZON
    assert clean.loc[first, "width"].equals(changed.loc[first, "width"])
    assert not clean.loc[~first, "width"].equals(changed.loc[~first, "width"])


def test_the_interval_score_prices_width_and_misses() -> None:
    found = forward_coverage(table(WORLDS["steady"], 1), schema(), (80,), 20, 20)
    assert np.allclose(found.loc[found["inside"], "score"], found.loc[found["inside"], "width"])
    assert (found.loc[~found["inside"], "score"] > found.loc[~found["inside"], "width"]).all()


def scores_of(errors: np.ndarray) -> Scores:
    """``errors[origins, n]``, one step ahead, each origin known before the next."""
    count = errors.shape[1]
    origin = np.repeat(
        np.datetime64("2024-01-01", "us") + np.arange(len(errors)) * np.timedelta64(1, "D"), count
    )
    return Scores(
        errors.ravel(),
        np.ones(errors.size, dtype=np.int64),
        origin,
        origin + np.timedelta64(1, "D"),
    )


def test_used_levels_rise_with_misses_fall_without_and_stay_in_order() -> None:
    generator = np.random.default_rng(3)
    calm = generator.normal(size=(10, 400))
    late = adapted_levels(scores_of(np.concatenate([calm, 3 * generator.normal(size=(3, 400))])))
    quiet = adapted_levels(scores_of(np.concatenate([calm, generator.normal(size=(3, 400)) / 3])))
    assert (late[:4] > FOLLOWED[:4] + 5).all()
    assert (quiet < FOLLOWED).all()
    for used in (late, quiet):
        assert (np.diff(used) >= 0).all()
        assert ((used >= 0) & (used <= 100)).all()


def test_a_level_that_too_few_errors_support_is_not_raised_for_it() -> None:
    """20 errors cannot tell a 99 % interval, whatever the next ones are."""
    used = adapted_levels(scores_of(np.array([np.linspace(-1, 1, 20), np.linspace(-9, 9, 20)])))
    assert highest_level(20) < 95
    assert used[-3:].tolist() == np.maximum(used[:-3].max(), FOLLOWED[-3:]).tolist()
    assert used[3] > FOLLOWED[3]


def test_ranks_are_the_conformal_ones() -> None:
    low, high = ranks(99, np.array([80.0, 98.0]))
    assert (low.tolist(), high.tolist()) == ([9, 0], [89, 98])
    for inner, outer in pairwise(np.linspace(1, 99, 50)):
        (a,), (b,) = ranks(37, np.array([inner]))
        (c,), (d,) = ranks(37, np.array([outer]))
        assert c <= a <= b <= d
