"""Intervals: coverage on data that the calibration has not seen, adaptation, nesting, refusals, and
what is stored.
"""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.errors import DataError
from framework.pairs.adaptive_levels import FOLLOWED
from framework.pairs.artifacts import Evidence, open_pair, write_pair
from framework.pairs.intervals import INTERVALS, KEPT, Calibration, calibrate
from framework.pairs.manifest import hash_files
from framework.plugins.discovery import load_plugins
from framework.testing import fakes
from framework.testing.fakes import make_schema

KEYS = np.array([[f"s{i}"] for i in range(20)], dtype=object)
#: Series differ in noise by a factor of 20.
NOISE = np.geomspace(1, 20, len(KEYS))


def schema(quantiles: tuple[float, ...] = ()) -> Schema:
    return make_schema(
        entity_keys=("shop",),
        targets=("y",),
        past=("y",),
        nullable=(),
        static=("shop",),
        horizon=3,
        quantiles=quantiles,
    )


def world(
    windows: int, seed: int, quantiles: tuple[float, ...] = (), wide: float = 1.0
) -> tuple[pd.DataFrame, Float64, Float64, np.ndarray]:
    """``windows`` a series: skewed errors that grow with the step.

    The table, forecasts ``[n, H, 1, 1 + Q]``, actuals ``[n, H, 1]`` and the place of each window's
    series.
    """
    generator = np.random.default_rng(seed)
    which = np.tile(np.arange(len(KEYS)), windows)
    n = len(which)
    local = (
        generator.uniform(0.5, 2, (n, 3)) if quantiles else np.ones((n, 3))
    )  # a difficulty that only quantiles see
    spread = NOISE[which][:, None] * np.sqrt([1, 2, 3])[None, :] * local
    mean = generator.normal(100, 10, (n, 3))
    origin = np.datetime64("2024-01-01") + 3 * (np.arange(n) // len(KEYS))
    actual = mean + spread * (
        generator.gamma(2, 1, (n, 3)) - 1
    )  # biased: the mean of the error is not 0
    columns = [mean] + [mean + wide * spread * (q - 0.5) for q in quantiles]
    values = np.stack(columns, axis=-1)[:, :, None, :]
    rows = {
        "shop": np.repeat(KEYS[which, 0], 3),
        "origin": np.repeat(pd.DatetimeIndex(origin).tz_localize("UTC"), 3),
        "event_timestamp": pd.DatetimeIndex(
            (origin[:, None] + np.arange(1, 4)).ravel()
        ).tz_localize("UTC"),
        "step": np.tile([1, 2, 3], n),
        "target": "y",
        "actual": actual.ravel(),
        "scale": np.repeat(NOISE[which], 3),
        "mean": mean.ravel(),
        **{f"q{q:g}": column.ravel() for q, column in zip(quantiles, columns[1:], strict=True)},
    }
    return pd.DataFrame(rows), values, actual[:, :, None], which


def made(table: pd.DataFrame, quantiles: tuple[float, ...] = ()) -> Calibration:
    calibration = calibrate(table, schema(quantiles))
    assert calibration is not None
    return calibration


@pytest.mark.parametrize("quantiles", [(), (0.1, 0.9)])
@pytest.mark.parametrize("level", [50, 80, 95])
def test_coverage_is_within_three_points_on_unseen_windows(
    quantiles: tuple[float, ...], level: float
) -> None:
    """4,000 unseen windows, 12,000 actuals; per step too."""
    calibration = made(world(60, 1, quantiles)[0], quantiles)
    _, values, actual, which = world(200, 2, quantiles)
    interval = calibration.interval(values, KEYS[which], level)
    inside = (interval[..., 0] <= actual) & (actual <= interval[..., 1])
    assert abs(inside.mean() - level / 100) < 0.03
    assert np.abs(inside.mean(axis=0) - level / 100).max() < 0.03


@pytest.mark.parametrize("quantiles", [(), (0.1, 0.9)])
def test_width_adapts_to_the_series_and_to_the_step(quantiles: tuple[float, ...]) -> None:
    calibration = made(world(60, 1, quantiles)[0], quantiles)
    _, values, actual, which = world(200, 2, quantiles)
    interval = calibration.interval(values, KEYS[which], 80)
    inside = (interval[..., 0] <= actual) & (actual <= interval[..., 1])
    shares = [inside[which == i].mean() for i in (4, 10, 19)]  # quiet, middle, loud: all near 80 %
    assert np.abs(np.array(shares) - 0.8).max() < 0.12
    width = interval[..., 1] - interval[..., 0]
    assert width[which == 19].mean() > 5 * width[which == 0].mean()
    assert (np.diff(width.mean(axis=(0, 2))) > 0).all()


def test_quantiles_of_the_wrong_width_are_corrected() -> None:
    calibration = made(world(60, 1, (0.1, 0.9), wide=0.1)[0], (0.1, 0.9))
    _, values, actual, which = world(200, 2, (0.1, 0.9), wide=0.1)
    interval = calibration.interval(values, KEYS[which], 80)
    inside = (interval[..., 0] <= actual) & (actual <= interval[..., 1])
    assert abs(inside.mean() - 0.8) < 0.03


def test_higher_levels_contain_lower_ones() -> None:
    calibration = made(world(60, 1)[0])
    _, values, _, which = world(5, 3)
    intervals = [
        calibration.interval(values, KEYS[which], level) for level in (1, 20, 50, 80, 95, 99)
    ]
    for inner, outer in pairwise(intervals):
        assert (outer[..., 0] <= inner[..., 0]).all()
        assert (inner[..., 0] <= inner[..., 1]).all()
        assert (inner[..., 1] <= outer[..., 1]).all()


def test_levels_without_enough_errors_are_refused() -> None:
    calibration = made(world(1, 1)[0])  # 20 errors a step, pooled
    calibration.check([95])
    with pytest.raises(
        DataError,
        match=r"level 97 needs more errors than the backtest gave \(60 for a step\), at most 96.7 is possible",  # noqa: E501
    ):
        calibration.interval(np.zeros((1, 3, 1, 1)), KEYS[:1], 97)
    with pytest.raises(DataError, match="level 100 is not between 0 and 100"):
        calibration.check([100])


def test_a_new_series_gets_the_typical_width() -> None:
    calibration = made(world(60, 1)[0])
    values = np.zeros((2, 3, 1, 1))
    both = calibration.interval(values, np.array([["new"], ["s10"]], dtype=object), 80)
    width = both[..., 1] - both[..., 0]
    assert 0.5 < (width[0] / width[1]).mean() < 2


def test_unknown_actuals_are_left_out_and_none_at_all_gives_none() -> None:
    table = world(60, 1)[0]
    holed = table.copy()
    holed.loc[::7, "actual"] = np.nan
    assert made(holed).counts.sum() == len(table) - len(table.loc[::7])
    holed.loc[holed["step"] == 2, "actual"] = np.nan
    assert made(holed).counts.tolist() == [
        [holed["actual"].notna().sum()] * 3
    ]  # the other steps' errors serve the second
    assert calibrate(holed.assign(actual=np.nan), schema()) is None


def test_steps_with_few_errors_share_theirs_and_keep_their_width() -> None:
    """60 errors a step: pooled, in units of each step's typical error; 12,000 unseen actuals."""
    calibration = made(world(3, 1)[0])
    assert calibration.counts.tolist() == [[180] * 3]
    _, values, actual, which = world(200, 2)
    interval = calibration.interval(values, KEYS[which], 80)
    inside = (interval[..., 0] <= actual) & (actual <= interval[..., 1])
    assert abs(inside.mean() - 0.8) < 0.05
    width = (interval[..., 1] - interval[..., 0]).mean(axis=(0, 2))
    assert width[2] / width[0] == pytest.approx(np.sqrt(3), rel=0.2)


def test_saved_and_loaded_answers_the_same(tmp_path: Path) -> None:
    table, values, _, which = world(300, 1)
    assert len(table) // 3 > KEPT  # thinned
    calibration = calibrate(table, schema(), by_series=False)
    assert calibration is not None
    before = replace(calibration, used=FOLLOWED[None])
    before.save(tmp_path / "intervals.npz")
    after = Calibration.load(tmp_path / "intervals.npz")
    assert (
        before.interval(values, KEYS[which], 95).tobytes()
        == after.interval(values, KEYS[which], 95).tobytes()
    )
    full = np.sort(
        ((table["actual"] - table["mean"]) / (table["scale"] + before.floor[0]))[table["step"] == 1]
    )
    low = full[int(np.floor((len(full) + 1) * 0.025)) - 1]
    got = (after.interval(values[:1], KEYS[:1], 95)[0, 0, 0, 0] - values[0, 0, 0, 0]) / (
        NOISE[0] + before.floor[0]
    )
    assert abs(got - low) < 0.01


def misjudged(origins: int, seed: int) -> tuple[pd.DataFrame, Float64, Float64, np.ndarray]:
    """A world whose scale says nothing of the noise: every series has the same."""
    table, values, actual, which = world(origins, seed)
    return table.assign(scale=5.0), values, actual, which


def shares_inside(calibration: Calibration, level: float) -> Float64:
    """The share of unseen actuals inside, for each series."""
    _, values, actual, which = misjudged(100, 2)
    interval = calibration.interval(values, KEYS[which], level)
    inside = (interval[..., 0] <= actual) & (actual <= interval[..., 1])
    return np.array([inside[which == i].mean() for i in range(len(KEYS))])


def test_intervals_hold_for_each_series_though_the_scale_misjudges_it() -> None:
    """Twelve origins. Difficulties of the scale alone leave the loudest series at a third."""
    table = misjudged(12, 1)[0]
    plain = calibrate(table, schema(), by_series=False)
    assert plain is not None
    assert shares_inside(plain, 80).min() < 0.4
    shares = shares_inside(made(table), 80)
    assert shares.min() > 0.6
    assert abs(shares.mean() - 0.8) < 0.03
    assert abs(shares_inside(made(table), 95).mean() - 0.95) < 0.03


def test_intervals_move_to_the_side_to_which_the_forecasts_of_a_series_err() -> None:
    """One series outgrows its forecasts by three times its noise; the others stay as they are."""

    def grown(origins: int, seed: int) -> tuple[pd.DataFrame, Float64, Float64, np.ndarray]:
        table, values, _, which = world(origins, seed)
        noise = np.random.default_rng(seed).normal(0, NOISE[which][:, None], (len(which), 3))
        actual = values[..., 0, 0] + noise + 3 * (NOISE[which] * (which == 2))[:, None]
        return table.assign(actual=actual.ravel()), values, actual[..., None], which

    calibration = made(grown(12, 1)[0])
    _, values, actual, which = grown(100, 2)
    interval = calibration.interval(values, KEYS[which], 80)
    inside = (interval[..., 0] <= actual) & (actual <= interval[..., 1])
    assert inside[which == 2].mean() > 0.7
    assert abs(inside[which != 2].mean() - 0.8) < 0.05
    middle = (interval.mean(axis=-1) - values[..., 0])[..., 0] / NOISE[which][:, None]
    assert middle[which == 2].mean() > 1
    assert abs(middle[which != 2].mean()) < 0.3
    single = calibration.interval_of_steps(
        values.reshape(-1, 1),
        KEYS,
        np.repeat(which, 3),
        np.zeros(3 * len(which), dtype=np.int64),
        np.tile([1, 2, 3], len(which)),
        80,
    )
    np.testing.assert_array_equal(np.stack(single, axis=-1), interval.reshape(-1, 2))


def test_series_that_are_alike_and_series_of_one_origin_keep_the_difficulty_of_the_scale() -> None:
    table = world(4, 1)[0]
    draw = np.random.default_rng(3).normal(0, 1, len(table))
    alike = table.assign(scale=1.0, actual=table["mean"] + draw)
    assert all(np.allclose(factor, 1, atol=0.15) for factor in made(alike).factors.values())
    assert made(misjudged(1, 1)[0]).factors == {}


def test_single_steps_have_the_interval_of_their_window() -> None:
    """What monitoring asks for is what was served."""
    calibration = made(misjudged(4, 1)[0])
    _, values, _, which = misjudged(2, 2)
    whole = calibration.interval(values, KEYS[which], 80)
    series = np.repeat(which, 3)
    steps = np.tile([1, 2, 3], len(which))
    ends = calibration.interval_of_steps(
        values.reshape(-1, 1), KEYS, series, np.zeros_like(series), steps, 80
    )
    np.testing.assert_array_equal(np.stack(ends, axis=-1), whole.reshape(-1, 2))


def test_a_calibration_of_an_earlier_version_answers_as_it_did(tmp_path: Path) -> None:
    """The file had no factors, and each width was the scale and the floor."""
    calibration = calibrate(misjudged(4, 1)[0], schema(), by_series=False)
    assert calibration is not None
    path = tmp_path / INTERVALS
    calibration.save(path)
    with np.load(path) as stored:
        old = {
            name: stored[name] for name in stored.files if not name.startswith(("factor", "shift"))
        }
    np.savez(path, **old)
    _, values, _, which = misjudged(2, 2)
    loaded = Calibration.load(path)
    assert loaded.factors == loaded.shifts == {}
    expected = calibration.interval(values, KEYS[which], 80)
    assert loaded.interval(values, KEYS[which], 80).tobytes() == expected.tobytes()


def test_a_pair_keeps_its_calibration(tmp_path: Path) -> None:
    """Written with the model half and covered by the proof; a pair without one answers no level."""
    pair, golden = fakes.make_pair()
    plugins = load_plugins(extra=[fakes])
    context = replace(golden.context, levels=(80.0,))
    with pytest.raises(DataError, match="this pair has no prediction intervals"):
        pair.forecast(context)
    targets, horizon = len(pair.schema.targets), pair.schema.horizon
    scores = np.broadcast_to(np.linspace(-1, 1, 99), (targets, horizon, 99)).copy()
    calibration = Calibration(
        scores,
        np.full((targets, horizon), 99),
        np.tile(FOLLOWED, (targets, 1)),
        np.zeros(targets),
        True,
        {},
        np.ones(targets),
    )
    made_pair = replace(pair, calibration=calibration)
    evidence = Evidence(golden, pd.DataFrame({"step": [1]}), {})
    write_pair(tmp_path, made_pair, {"preprocessor": "fake", "model": "fake"}, evidence)
    assert INTERVALS in hash_files(tmp_path / "model")
    opened = open_pair(tmp_path / "preprocessor", tmp_path / "model", plugins)
    got, expected = opened.forecast(context), made_pair.forecast(context)
    assert got.intervals["80"].tobytes() == expected.intervals["80"].tobytes()
    width = got.values[..., 2] - got.values[..., 1]
    assert np.allclose(got.intervals["80"][..., 1], got.values[..., 0] + scores[0, 0, 89] * width)
