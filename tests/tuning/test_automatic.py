"""What ``model=auto`` sees in a panel, and which set-ups it tries."""

from __future__ import annotations

from dataclasses import replace
from math import gcd
from typing import Any

import numpy as np
import pandas as pd
import pytest

from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.panel_rows import panel_from_rows
from framework.errors import ComponentError
from framework.evaluation.result import BacktestResult
from framework.plugins.discovery import load_plugins
from framework.testing.fakes import make_schema
from framework.tuning.automatic import choice
from framework.tuning.automatic.choice import judging_origins
from framework.tuning.automatic.facts import Facts, TargetFacts, describe
from framework.tuning.automatic.judged import Judged, clearly_better
from framework.tuning.automatic.setups import MOST, NAIVE, Frame, Setup, candidates
from framework.tuning.automatic.weights import weighted_by_series

DAY = np.timedelta64(1, "D")
NAMES = {c.name: c.automatic for c in load_plugins().components() if c.automatic is not None}


def one_series(values: np.ndarray, times: pd.DatetimeIndex, frequency: str) -> Panel:
    return panel_from_rows(
        pd.DataFrame({"id": "a", "event_timestamp": times, "y": values}),
        entity_keys=("id",),
        past=("y",),
        known=(),
        categories=(),
        frequency=Frequency.parse(frequency),
    )


def monthly(trend: float, season: float, months: int = 120) -> Panel:
    step = np.arange(months)
    times = pd.date_range("2010-01-01", periods=months, freq="MS", tz="UTC")
    return one_series(100 + trend * step + season * np.sin(step * np.pi / 6), times, "MS")


def test_a_season_is_found_over_the_horizon_and_not_over_one_step() -> None:
    """A step of one month is smaller than a year's growth; a year ahead the season counts."""
    panel = monthly(trend=1.0, season=20)
    assert describe(panel, ("y",), (12,), 1).season == 1
    found = describe(panel, ("y",), (12,), 12)
    assert found.season == 12
    assert found.seasons() == (12,)
    assert describe(monthly(trend=1.0, season=0), ("y",), (12,), 12).seasons() == ()


def frame(rows: int = 10_000, lowest: float = 0.0, zeros: float = 0.0, limit: int | None = None):  # type: ignore[no-untyped-def]
    facts = Facts(rows, 10, 1000, 900, {"y": TargetFacts(lowest, zeros, {1: 2.0, 24: 1.0})})
    return Frame(facts, 24, 4, (1, 24, 168), 60, {"y": ("y_rolling_24_mean",)}, limit)


def test_set_ups_come_from_several_families_and_are_at_most_eight() -> None:
    setups = candidates(frame(zeros=0.5), NAMES, 1e9)
    naive = sum(s.naive for s in setups)
    assert len(setups) - naive + min(naive, NAIVE) == MOST
    assert {"drift", "mean", "last_value"} <= {s.name for s in setups if s.naive}
    assert {"seasonal_naive", "lightgbm", "auto_ets", "auto_theta"} <= {s.model for s in setups}
    assert any(s.options.get("difference") == ["y"] for s in setups)


def test_what_does_not_fit_into_the_budget_is_not_tried_and_the_naive_ones_are() -> None:
    free = {s.model for s in candidates(frame(), NAMES, 0.0)}
    assert free == {"seasonal_naive", "seasonal_mean", "drift", "mean"}
    some = candidates(frame(), NAMES, 60)
    assert sum(s.seconds for s in some) <= 60
    assert some == candidates(frame(), NAMES, 60)


def test_a_stride_shares_no_factor_with_a_season() -> None:
    stride = next(
        s.options["origin_stride"]
        for s in candidates(frame(rows=3_000_000), NAMES, 1e9)
        if s.model == "lightgbm"
    )
    assert stride > 100
    assert gcd(stride, 24) == gcd(stride, 168) == 1


def test_signs_and_zeros_decide_the_losses() -> None:
    signed = {s.name for s in candidates(frame(lowest=-1.0), NAMES, 1e9)}
    assert "lightgbm_log" not in signed
    assert "lightgbm_tweedie" not in signed


def boosted_of(season: int, lags: tuple[int, ...]) -> dict[str, list[int]]:
    """The lags of each set-up of a booster."""
    targets = {"y": TargetFacts(0.0, 0.0, {1: 2.0, **({season: 1.0} if season > 1 else {})})}
    facts = Facts(10_000, 10, 1000, 900, targets)
    setups = candidates(Frame(facts, 7, 4, lags, 60, {"y": ()}, None), NAMES, 1e9)
    return {s.name: s.options["seasonal_lags"] for s in setups if s.model == "lightgbm"}


def test_the_level_is_learned_from_four_seasons_and_a_change_from_two() -> None:
    lags = boosted_of(7, (1, 7, 14, 21, 28))
    assert lags["lightgbm_level"] == [7, 1, 14, 21, 28]
    assert lags["lightgbm_seasonal_difference"] == [7, 1, 14]
    assert lags["lightgbm_last_difference"] == [1, 7, 14]
    assert boosted_of(24, (24, 48, 168))["lightgbm_seasonal_difference"] == [24, 48, 168]


def test_without_a_season_no_two_set_ups_are_the_same() -> None:
    lags = boosted_of(1, (1, 4, 8, 12, 16))
    assert lags["lightgbm_last_difference"] == [1, 4, 8, 12, 16]
    assert "lightgbm_seasonal_difference" not in lags
    assert boosted_of(1, ())["lightgbm_level"] == [1]


def test_a_short_series_among_long_ones_takes_no_naive_forecast_away() -> None:
    short = replace(frame(), facts=replace(frame().facts, shortest=3))
    naive = [s for s in candidates(short, NAMES, 0.0) if s.naive]
    assert [s.options["season_length"] for s in naive if s.model == "seasonal_naive"] == [1, 24]


def test_a_set_up_says_own_scale_where_there_is_one() -> None:
    without = candidates(replace(frame(), scales={"y": ()}), NAMES, 1e9)
    assert any("own scale" in s.why for s in candidates(frame(), NAMES, 1e9))
    assert not any("own scale" in s.why for s in without)


def test_a_store_of_single_rows_gets_models_that_need_no_more() -> None:
    setups = candidates(frame(limit=1), NAMES, 1e9)
    assert {s.model for s in setups} == {"seasonal_naive", "lightgbm"}
    assert [s.options["season_length"] for s in setups if s.model == "seasonal_naive"] == [1]


def test_origins_lie_before_the_backtest_and_after_two_seasons() -> None:
    panel = monthly(1.0, 1.0)
    first = panel.times[100]
    origins = judging_origins(panel, first, 12, 12)
    assert len(origins) == 4
    assert (panel.frequency.shift(origins, 12) <= first).all()
    assert len(judging_origins(panel, panel.times[30], 12, 12)) == 0


def test_few_series_are_judged_from_more_origins_of_the_newest_tenth() -> None:
    """Four days of one series say little; those of a hundred say enough."""
    panel = monthly(1.0, 1.0, months=1_200)
    first = panel.times[-1]
    assert len(judging_origins(panel, first, 4, 12)) == 28
    assert len(judging_origins(panel, first, 12, 12)) == 10
    assert len(judging_origins(_repeated(panel, 10), first, 4, 12)) == 4
    assert len(judging_origins(panel, first, 4, 12, targets=7)) == 4


def _repeated(panel: Panel, series: int) -> Panel:
    rows = panel.to_rows()
    return panel_from_rows(
        pd.concat([rows.assign(id=f"s{i}") for i in range(series)]),
        entity_keys=("id",),
        past=("y",),
        known=(),
        categories=(),
        frequency=panel.frequency,
    )


def results() -> dict[str, BacktestResult]:
    """Two set-ups of four origins and six series. Each is good for the series of its own half."""
    random, folds, series, horizon = np.random.default_rng(4), 4, 6, 3
    n = folds * series
    actual = random.normal(50, 5, (n, horizon, 1))
    owner = np.tile(np.arange(series), folds)
    schema = make_schema(targets=("y",), past=("y",), horizon=horizon, quantiles=())
    origins = np.datetime64("2024-01-01", "us") + np.repeat(np.arange(folds), series) * DAY
    made = {}
    for name, half in (("low", owner < 3), ("high", owner >= 3)):
        spread = np.where(half, 1.0, 6.0)[:, None, None]
        forecast = actual + spread * random.normal(0, 1, actual.shape)
        made[name] = BacktestResult(
            schema,
            np.repeat(np.arange(folds), series),
            np.array([[f"s{i}"] for i in owner], dtype=object),
            origins,
            origins[:, None] + np.arange(1, horizon + 1) * DAY,
            actual,
            forecast[..., None],
            actual,
            np.ones((n, 1)),
            np.ones((n, 1)),
            (1.0,),
        )
    return made


def error(result: BacktestResult) -> float:
    return float(np.abs(result.forecast[..., 0] - result.actual).mean())


def one_of(result: BacktestResult) -> BacktestResult:
    """The windows of the first series."""
    rows = np.flatnonzero(result.entities[:, 0] == "s0")
    names = ("fold", "entities", "origins", "times", "actual", "forecast", "baseline")
    values = {name: getattr(result, name)[rows] for name in (*names, "scale", "square")}
    return replace(result, **values)


def test_weights_by_series_help_unlike_series() -> None:
    """Each origin is forecast with the weights of the others."""
    unlike = results()
    weighted = weighted_by_series(unlike, None)
    assert weighted is not None
    assert error(weighted[1]) < 0.5 * min(map(error, unlike.values()))
    few = {name: replace(one, fold=np.zeros_like(one.fold)) for name, one in unlike.items()}
    assert weighted_by_series(few, None) is None
    own = {name: one_of(result) for name, result in unlike.items()}
    assert weighted_by_series(own, None) is None  # one series has the weights of its panel
    flags = unlike["low"].fold < 3
    part = weighted_by_series(unlike, flags)
    assert part is not None
    assert np.isnan(part[1].forecast[~flags]).all()


def test_a_set_up_whose_code_raises_is_kept_with_its_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forecast(_: object, __: object, setup: Setup, *___: object) -> BacktestResult:
        if setup.name == "broken":
            raise ComponentError("x:Model: fit on 6 series: KeyError: 'level'")
        return results()["low"]

    monkeypatch.setattr(choice, "_result", forecast)
    no_parts: Any = None  # nothing is made here
    setups = [Setup("plain", "seasonal_naive", "", naive=True), Setup("broken", "lightgbm", "")]
    origins, told = np.array([], "M8[us]"), list[Judged]()
    ranked = choice.judge_setups(no_parts, monthly(1, 1), setups, origins, None, told.append)
    assert [one.setup.name for one in ranked] == ["plain", "broken"]
    assert told == ranked
    assert "KeyError: 'level'" in (ranked[1].error or "")


@pytest.mark.parametrize(
    ("errors", "best"),
    [
        ({"naive": 2.0, "trees": 1.0, "careful": 1.001, "smooth": -1.1}, ["trees", "smooth"]),
        ({"naive": 2.0, "trees": 1.0, "careful": 1.3, "smooth": 1.4}, ["trees"]),
        ({"naive": 1.0, "trees": 1.01, "careful": 1.02, "smooth": 1.03}, ["naive"]),
    ],
)
def test_the_mean_of_unlike_models_is_chosen_where_it_is_better(
    monkeypatch: pytest.MonkeyPatch, errors: dict[str, float], best: list[str]
) -> None:
    """Errors of unlike signs cancel; the best two set-ups are of one model."""
    plain = results()["low"]

    def forecast(_: object, __: object, setup: Setup, *___: object) -> BacktestResult:
        return replace(plain, forecast=plain.actual[..., None] + errors[setup.name])

    monkeypatch.setattr(choice, "_result", forecast)
    monkeypatch.setattr(choice, "node_of", lambda setup, _: {"name": setup.model})
    models = {"naive": "seasonal_naive", "trees": "xgboost", "careful": "xgboost", "smooth": "ets"}
    setups = [Setup(n, model, "", naive=n == "naive") for n, model in models.items()]
    no_parts: Any = None
    origins = np.array([], "M8[us]")
    first = choice.judge_setups(no_parts, monthly(1, 1), setups, origins, None, print)[0].setup
    assert list(first.options.get("members", {first.name: None})) == best


def test_a_single_set_up_is_better_only_beyond_the_chance_of_origins() -> None:
    plain = results()["low"]

    def of(*errors: float) -> BacktestResult:
        by_fold = np.array(errors)[plain.fold]
        return replace(plain, forecast=plain.actual[..., None] + by_fold[:, None, None, None])

    even, worse = of(1, 1, 1, 1), of(1.1, 1.1, 1.1, 1.1)
    assert clearly_better(even, worse, None)
    assert not clearly_better(worse, even, None)
    assert clearly_better(even, even, None)
    lucky = of(0.1, 1.1, 1.1, 1.1)  # the smaller error of one origin is that of chance
    assert not clearly_better(lucky, even, None)
    assert clearly_better(lucky, even, plain.fold == 0)


def test_the_mean_with_a_naive_forecast_is_chosen_where_nothing_is_clearly_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of the three errs at other origins; the naive one is a little better on the whole."""
    plain = results()["low"]
    errors = {"week": (0, 2, 1, 1), "trees": (2, 0, 1.1, 1), "smooth": (1, 1, 0, 2.2)}

    def forecast(_: object, __: object, setup: Setup, *___: object) -> BacktestResult:
        by_fold = np.array(errors[setup.name])[plain.fold]
        return replace(plain, forecast=plain.actual[..., None] + by_fold[:, None, None, None])

    monkeypatch.setattr(choice, "_result", forecast)
    monkeypatch.setattr(choice, "node_of", lambda setup, _: {"name": setup.model})
    models = {"week": "seasonal_naive", "trees": "xgboost", "smooth": "ets"}
    setups = [Setup(n, model, "", naive=n == "week") for n, model in models.items()]
    no_parts: Any = None
    origins = np.array([], "M8[us]")
    ranked = choice.judge_setups(no_parts, monthly(1, 1), setups, origins, None, print)
    assert ranked[0].setup.name == "mean_with_naive"
    assert list(ranked[0].setup.options["members"]) == ["trees", "smooth", "week"]


def demand(gap: int, sizes: tuple[float, ...]) -> Panel:
    """A value of ``sizes`` in turn every ``gap`` days, 0 between."""
    days = 120
    values = np.where(np.arange(days) % gap == 0, np.resize(np.repeat(sizes, gap), days), 0.0)
    return one_series(values, pd.date_range("2024-01-01", periods=days, tz="UTC"), "D")


@pytest.mark.parametrize(
    ("panel", "kind", "models"),
    [
        (demand(1, (3, 4)), "smooth", set()),
        (demand(4, (3, 4)), "intermittent", {"croston_sba", "tsb"}),
        (demand(4, (1, 1, 30)), "lumpy", {"adida", "imapa"}),
    ],
)
def test_the_gap_and_the_evenness_of_demand_choose_models(
    panel: Panel, kind: str, models: set[str]
) -> None:
    facts = describe(panel, ("y",), (7,), 7)
    assert facts.targets["y"].demand == kind
    setups = candidates(Frame(facts, 7, 2, (1, 7), 20, {}, None), NAMES, 1e9)
    sparse = {s.model: s for s in setups if s.model in ("croston_sba", "tsb", "adida", "imapa")}
    assert set(sparse) == models
    assert all(f"{kind} demand: 4 steps" in s.why for s in sparse.values())
