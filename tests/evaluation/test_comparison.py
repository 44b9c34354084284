"""Models on the same windows: ranks by hand, the test against scipy's, refusals."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from framework.errors import DataError
from framework.evaluation.comparison import (
    average_ranks,
    diebold_mariano,
    rank_models,
    student,
    wilcoxon,
)
from framework.evaluation.result import BacktestResult
from framework.testing.fakes import make_schema
from framework.testing.servers import command

EXAMPLE = Path(__file__).parents[2] / "examples" / "project"

SERIES, ORIGINS, HORIZON = 25, 6, 3


def result(error: float, noise: float, seed: int) -> BacktestResult:
    """Forecasts that are ``error`` too high in units of each series' scale, and noise."""
    generator = np.random.default_rng(seed)
    n = SERIES * ORIGINS
    entities = np.array([[f"s{i}"] for i in np.tile(np.arange(SERIES), ORIGINS)], dtype=object)
    scale = np.tile(np.geomspace(1, 100, SERIES), ORIGINS)[:, None]
    actual = np.random.default_rng(0).normal(0, 1, (n, HORIZON, 1))
    forecast = actual + scale[:, :, None] * (
        error + noise * generator.normal(0, 1, (n, HORIZON, 1))
    )
    origins = np.repeat(
        np.datetime64("2024-01-01", "us") + np.arange(ORIGINS) * np.timedelta64(7, "D"), SERIES
    )
    times = origins[:, None] + np.arange(1, HORIZON + 1) * np.timedelta64(1, "D")
    schema = make_schema(
        entity_keys=("shop",),
        targets=("y",),
        past=("y",),
        nullable=(),
        static=("shop",),
        horizon=HORIZON,
        quantiles=(),
    )
    fold = np.repeat(np.arange(ORIGINS), SERIES)
    return BacktestResult(
        schema,
        fold,
        entities,
        origins,
        times,
        actual,
        forecast[..., None],
        actual,
        scale,
        scale**2,
        (1.0,),
    )


def test_the_better_model_is_first_and_the_difference_is_no_chance() -> None:
    ranked = rank_models(
        {"bad": result(2.0, 0.1, 1), "good": result(0.5, 0.1, 2), "same": result(0.5, 0.1, 3)}, 0
    )
    assert [line.model for line in ranked][2] == "bad"
    assert [line.rank for line in ranked] == [1, 2, 3]
    assert ranked[0].loss == pytest.approx(0.5, abs=0.02)
    assert ranked[2].loss == pytest.approx(2.0, abs=0.02)
    assert ranked[2].mean_rank == 3.0
    assert ranked[0].p is None
    assert ranked[1].p is not None
    assert ranked[1].p > 0.05
    assert ranked[2].p is not None
    assert ranked[2].p < 1e-4
    assert ranked[0].p_time is None
    assert ranked[1].p_time is not None
    assert ranked[1].p_time > 0.05
    assert ranked[2].p_time is not None
    assert ranked[2].p_time < 1e-4
    assert {line.judged for line in ranked} == {SERIES * ORIGINS * HORIZON}


def test_only_what_all_have_forecast_is_judged() -> None:
    one, two = result(0.5, 0.0, 1), result(1.0, 0.0, 1)
    holed = two.forecast.copy()
    holed[:, 0] = np.nan
    spoiled = one.forecast.copy()
    spoiled[:, 0] += 1e6
    ranked = rank_models(
        {"one": replace(one, forecast=spoiled), "two": replace(two, forecast=holed)}, 0
    )
    assert [line.model for line in ranked] == ["one", "two"]
    assert ranked[0].loss == pytest.approx(0.5)


def test_other_windows_and_nothing_known_are_refused() -> None:
    one = result(0.5, 0.1, 1)
    moved = replace(one, origins=one.origins + np.timedelta64(1, "D"))
    with pytest.raises(
        DataError, match="the backtests of one and two are not about the same windows"
    ):
        rank_models({"one": one, "two": moved}, 0)
    with pytest.raises(DataError, match="no element was forecast"):
        rank_models({"one": replace(one, forecast=np.full_like(one.forecast, np.nan))}, 0)


@pytest.mark.parametrize("seed", range(6))
def test_the_signed_rank_test_is_scipys(seed: int) -> None:
    generator = np.random.default_rng(seed)
    d = np.round(generator.normal(0.1 * seed, 1, 40), 1)  # ties and zeros
    expected = stats.wilcoxon(d, zero_method="wilcox", correction=True, method="approx")
    assert wilcoxon(d) == pytest.approx(expected.pvalue, rel=1e-9)
    assert np.array_equal(average_ranks(d), stats.rankdata(d))


@pytest.mark.parametrize(("t", "freedom"), [(0.0, 5), (0.7, 1), (-2.1, 5), (3.3, 29), (9.0, 7)])
def test_students_probability_is_scipys(t: float, freedom: int) -> None:
    assert student(t, freedom) == pytest.approx(2 * stats.t.sf(abs(t), freedom), abs=1e-9)


def test_without_overlap_the_test_over_origins_is_the_t_test() -> None:
    d = np.random.default_rng(2).normal(0.3, 1, 20)
    assert diebold_mariano(d, 0) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, rel=1e-9)


def test_windows_that_overlap_are_fewer_than_they_look() -> None:
    """Differences of windows of four steps from every step move as an average of four: the level of
    the test holds.
    """
    generator = np.random.default_rng(4)
    naive, aware = [], []
    for _ in range(400):
        d = np.convolve(generator.normal(size=63), np.ones(4) / 4, "valid")
        naive.append(diebold_mariano(d, 0))
        aware.append(diebold_mariano(d, 3))
    assert np.mean(np.array(naive) < 0.05) > 0.25
    assert np.mean(np.array(aware) < 0.05) < 0.1


def test_too_few_origins_or_equal_ones_give_no_p_over_time() -> None:
    assert diebold_mariano(np.arange(4.0), 0) is None
    assert diebold_mariano(np.arange(12.0), 5) is None
    assert diebold_mariano(np.full(12, 0.5), 0) is None


def test_few_series_give_no_p() -> None:
    assert wilcoxon(np.array([1.0, 2.0, 0.0, 0.0])) is None


def test_a_run_compares_by_name_and_shows_it_in_the_report(tmp_path: Path) -> None:
    folder = Path(
        shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("state"))
    )
    done = command.run(
        "+experiment=shops",
        "run=backtest",
        "backtest.folds=2",
        "backtest.compare=[xgboost]",
        cwd=folder,
        page=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    (target,) = found["comparison"]
    lines = found["comparison"][target]
    assert {line["model"] for line in lines} == {"seasonal_naive", "strongest_naive", "xgboost"}
    assert [line["rank"] for line in lines] == [1, 2, 3]
    assert lines[0]["loss"] <= lines[1]["loss"] <= lines[2]["loss"]
    page = Path(folder / found["report"]).read_text()
    assert "Models on the same windows" in page
    assert '<td class="text">xgboost</td>' in page
    table = pd.read_parquet(folder / Path(found["backtest"]).with_name("backtest-xgboost.parquet"))
    own = pd.read_parquet(folder / found["backtest"])
    assert table["origin"].tolist() == own["origin"].tolist()
    (xgboost,) = (line for line in lines if line["model"] == "xgboost")
    assert xgboost["mae"] == pytest.approx((table["mean"] - table["actual"]).abs().mean(), rel=1e-6)


def test_series_with_origins_of_their_own_count_as_one_fold() -> None:
    """Half of the series begin their weeks a day before the others: the tests over time see as many
    origins as folds.
    """

    def shifted(one: BacktestResult) -> BacktestResult:
        day = np.where(
            np.arange(len(one.origins)) % 2 == 0, np.timedelta64(1, "D"), np.timedelta64(0, "D")
        )
        return replace(one, origins=one.origins - day, times=one.times - day[:, None])

    plain = {"bad": result(2.0, 0.1, 1), "good": result(0.5, 0.1, 2)}
    two = rank_models({name: shifted(one) for name, one in plain.items()}, 0)
    assert [line.as_dict() for line in two] == [line.as_dict() for line in rank_models(plain, 0)]
