"""Figures are those of the windows, and nothing after an origin reaches its forecast."""

from __future__ import annotations

import pickle
import re
from dataclasses import fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pytest

from framework.config.sections import BacktestConfig
from framework.data.arrays import Float32, Float64, Objects, Times
from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.panel_rows import panel_from_rows
from framework.data.schema import Schema
from framework.data.windows import Windows, WindowSet
from framework.errors import ComponentError, DataError
from framework.evaluation import backtest
from framework.evaluation.backtest import Setting, run_backtest, run_fold
from framework.evaluation.doubts import lost_to_baseline, without_scale
from framework.evaluation.folds import plan_folds
from framework.evaluation.result import BacktestResult, join_folds
from framework.interfaces.compute import Compute
from framework.interfaces.model import Model
from framework.interfaces.preprocessor import Preprocessor
from framework.models import progress
from framework.options import Options
from framework.pairs.defects import named
from framework.plugins.compute import LocalCompute
from framework.plugins.discovery import load_plugins
from framework.testing.fakes import make_schema

DAY = Frequency.parse("D")
DAYS = np.datetime64("2024-01-01", "us") + np.arange(100) * np.timedelta64(86_400_000_000, "us")
SCHEMA = make_schema(
    entity_keys=("shop",),
    targets=("y",),
    past=("y", "x"),
    nullable=(),
    known=("promo",),
    static=("shop",),
    horizon=4,
    quantiles=(0.5,),
)


class Standardize(Preprocessor):
    """Learns mean and spread of every column it is shown, so that a single leaked row changes every
    number.
    """

    def fit(
        self, past: Float64, known: Float64, static: Objects, times: Times, schema: Schema
    ) -> None:
        self.mean, self.spread = np.nanmean(past, axis=0), np.nanstd(past, axis=0) + 1
        self.seen = (times.min(), times.max())
        self.past_names, self.future_names, self.static_names = (
            schema.past,
            schema.known,
            schema.static,
        )

    def past(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        return ((values - self.mean) / self.spread).astype(np.float32)

    def future(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        return values.astype(np.float32)

    def static(self, values: Objects) -> Float32:
        return np.array([[len(v) for v in row] for row in values], np.float32)

    def save(self, directory: Path) -> None:
        raise AssertionError("a backtest saves nothing")

    @classmethod
    def load(cls, directory: Path) -> Self:
        raise AssertionError("a backtest loads nothing")


class Learner(Model):
    """Least squares on the window, plus the mean of all training and validation targets and
    features: sensitive to all it sees.
    """

    validated: list[int]

    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        self.schema = schema
        gathered = train.gather()
        assert gathered.target is not None
        self.level = (
            float(np.nanmean(gathered.target))
            + float(np.nanmean(gathered.past))
            + float(np.nanmean(gathered.future[:, 0]))
        )
        if validation is not None:
            watched = validation.gather().target
            assert watched is not None
            self.level += float(np.nanmean(watched)) / 10
        self.windows = (len(train), len(validation) if validation is not None else 0)

    def predict(self, windows: Windows) -> Float64:
        pull = windows.past[:, -1].sum(axis=1).astype(np.float64)
        steps = np.arange(1, self.schema.horizon + 1)
        mean = (
            (windows.target_past[:, -1, 0] / 2 + self.level + pull)[:, None]
            + steps
            + windows.future[:, :, 0]
        )
        return np.repeat(mean[:, :, None, None], 1 + len(self.schema.quantiles), axis=3)

    def save(self, directory: Path) -> None:
        raise AssertionError("a backtest saves nothing")

    @classmethod
    def load(cls, directory: Path) -> Self:
        raise AssertionError("a backtest loads nothing")


class Naive(Learner):
    """The last value: what a baseline must be given by hand here, since a baseline is a plugin."""

    def predict(self, windows: Windows) -> Float64:
        return np.repeat(windows.target_past[:, -1, None, :, None], self.schema.horizon, axis=1)


def _rows(series: int = 3, steps: int = 60) -> pd.DataFrame:
    generator = np.random.default_rng(5)
    times = pd.date_range("2024-01-01", periods=steps, tz="UTC")
    frames = [
        pd.DataFrame(
            {
                "shop": "s" * (i + 1),
                "event_timestamp": times[5 * i :],
                "y": generator.normal(50 + 10 * i, 5, steps - 5 * i),
                "x": generator.normal(0, 1, steps - 5 * i),
                "promo": generator.integers(0, 2, steps - 5 * i).astype(float),
            }
        )
        for i in range(series)
    ]
    return pd.concat(frames, ignore_index=True)


def _panel(rows: pd.DataFrame) -> Panel:
    return panel_from_rows(
        rows, entity_keys=("shop",), past=("y", "x"), known=("promo",), categories=(), frequency=DAY
    )


def _backtest(panel: Panel, validation_steps: int = 7, **config: Any) -> BacktestResult:
    def make() -> tuple[Preprocessor, Model]:
        return Standardize(Options()), Learner(Options())

    setting = Setting(panel, SCHEMA, make, lambda: Naive(Options()), 7, validation_steps, 1)
    folds = plan_folds(panel.times, panel.frequency, SCHEMA.horizon, BacktestConfig(**config))
    return join_folds([run_fold(setting, fold) for fold in folds])


def test_windows_actuals_and_figures_are_those_of_the_rows() -> None:
    rows = _rows()
    result = _backtest(_panel(rows), folds=2)
    assert result.actual.shape == (6, 4, 1)
    assert result.fold.tolist() == [0, 0, 0, 1, 1, 1]
    truth = rows.set_index(["shop", "event_timestamp"])["y"]
    table = result.table()
    assert (table["event_timestamp"] == table["origin"] + pd.to_timedelta(table["step"], "D")).all()
    assert table["actual"].tolist() == [
        truth[key] for key in zip(table["shop"], table["event_timestamp"], strict=True)
    ]
    assert table["baseline"].tolist() == [
        truth[key] for key in zip(table["shop"], table["origin"], strict=True)
    ]
    figures = result.metrics()["y"]
    assert figures["model"]["MAE"] == pytest.approx((table["mean"] - table["actual"]).abs().mean())
    assert figures["baseline"]["MASE"] == pytest.approx(
        ((table["baseline"] - table["actual"]).abs() / table["scale"]).mean()
    )
    second = table[table["step"] == 2]
    assert result.metrics(step=1)["y"]["model"]["bias"] == pytest.approx(
        (second["mean"] - second["actual"]).mean()
    )
    here = table[table["fold"] == 1]
    assert result.metrics(result.fold == 1)["y"]["baseline"]["MAE"] == pytest.approx(
        (here["baseline"] - here["actual"]).abs().mean()
    )


def test_the_scale_is_one_whatever_the_window_that_a_fit_learns_from() -> None:
    panel = _panel(_rows())
    whole = _backtest(panel, folds=2)
    sliding = _backtest(panel, folds=2, window="sliding", window_length=20)
    assert np.isfinite(whole.scale).all()
    assert np.array_equal(sliding.scale, whole.scale)
    assert np.array_equal(sliding.square, whole.square)
    assert not np.array_equal(sliding.forecast, whole.forecast)


def test_model_and_baseline_are_judged_on_the_same_elements() -> None:
    result = _backtest(_panel(_rows()), folds=2)
    forecast = result.forecast.copy()
    forecast[0] = np.nan
    holed = replace(result, forecast=forecast)
    assert holed.metrics()["y"]["baseline"] == result.metrics(np.arange(6) > 0)["y"]["baseline"]


def test_rows_before_the_first_to_learn_from_change_no_byte_of_a_forecast() -> None:
    rows = _rows()
    since = rows["event_timestamp"].max().to_pydatetime() - timedelta(days=30)
    before = rows["event_timestamp"] < since - timedelta(days=10)
    assert before.sum() > 10
    absurd = rows.assign(y=rows["y"].where(~before, 1e9))

    def forecasts(table: pd.DataFrame, first: datetime | None) -> np.ndarray:
        def make() -> tuple[Preprocessor, Model]:
            return Standardize(Options()), Learner(Options())

        setting = Setting(
            _panel(table), SCHEMA, make, lambda: Naive(Options()), 7, 7, 1, since=first
        )
        config = BacktestConfig(folds=2)
        return run_backtest(setting, config, LocalCompute(Options()), lambda *_: None).forecast

    np.testing.assert_array_equal(forecasts(rows, since), forecasts(absurd, since))
    assert not np.array_equal(forecasts(rows, None), forecasts(absurd, None))


@pytest.mark.parametrize(
    "config",
    [
        {"folds": 3},
        {"folds": 2, "gap": 3, "step": 6},
        {"folds": 2, "window": "sliding", "window_length": 20},
    ],
)
@pytest.mark.parametrize("validation_steps", [0, 7])
def test_absurd_values_after_the_origin_change_no_byte_of_a_forecast(
    config: dict[str, Any], validation_steps: int
) -> None:
    rows = _rows()
    panel = _panel(rows)
    clean = _backtest(panel, validation_steps, **config)
    folds = plan_folds(panel.times, DAY, SCHEMA.horizon, BacktestConfig(**config))
    for fold in folds:
        later = rows["event_timestamp"] > pd.Timestamp(fold.origin, tz="UTC")
        absurd = _backtest(
            _panel(rows.assign(y=rows["y"].where(~later, 1e12), x=rows["x"].where(~later, -1e15))),
            validation_steps,
            **config,
        )
        up_to = clean.fold <= fold.number
        for name in ("forecast", "baseline", "scale"):
            assert (
                getattr(absurd, name)[up_to].tobytes() == getattr(clean, name)[up_to].tobytes()
            ), f"fold {fold.number}: {name}"
        assert not np.array_equal(
            absurd.actual[clean.fold == fold.number], clean.actual[clean.fold == fold.number]
        )


def test_rows_in_the_gap_are_seen_as_context_but_not_learned_from() -> None:
    """With a gap the newest rows exist at the origin, but no fit has had the time to learn from
    them.
    """
    rows = _rows()
    panel = _panel(rows)
    fold = plan_folds(panel.times, DAY, SCHEMA.horizon, BacktestConfig(folds=1, gap=5))[0]
    inside = (rows["event_timestamp"] > pd.Timestamp(fold.cutoff, tz="UTC")) & (
        rows["event_timestamp"] < pd.Timestamp(fold.origin, tz="UTC")
    )
    changed = _backtest(_panel(rows.assign(y=rows["y"].where(~inside, 1e9))), folds=1, gap=5)
    assert changed.forecast.tobytes() == _backtest(panel, folds=1, gap=5).forecast.tobytes()
    at_origin = rows["event_timestamp"] == pd.Timestamp(fold.origin, tz="UTC")
    moved = _backtest(_panel(rows.assign(y=rows["y"].where(~at_origin, 1e9))), folds=1, gap=5)
    assert (moved.forecast > 1e8).all()


def test_a_series_that_begins_later_is_forecast_only_once_it_is_there() -> None:
    rows = _rows()
    late = rows[
        (rows["shop"] != "sss") | (rows["event_timestamp"] >= pd.Timestamp("2024-02-25", tz="UTC"))
    ]
    result = _backtest(_panel(late), folds=2)
    assert [entity[0] for entity in result.entities] == ["s", "ss", "s", "ss", "sss"]
    assert np.isnan(result.scale[-1]).all()  # shorter than a season in training: MASE leaves it out
    assert np.isfinite(result.metrics()["y"]["model"]["MASE"])
    assert (result.actual[-1, :, 0] == late[late["shop"] == "sss"]["y"].tail(4)).all()


def test_no_training_window_is_a_refusal() -> None:
    with pytest.raises(
        DataError,
        match=r"^backtest: fold 1, rows up to 2024-02-25\S+: no training window: 1 past steps, 1 step ahead and 90 validation steps do not fit in 2024-01-01",  # noqa: E501
    ):
        _backtest(_panel(_rows()), validation_steps=90, folds=1)


def test_without_refit_one_fit_forecasts_from_every_origin() -> None:
    """The first fold's fit: the same windows, the first of them with the same bytes, and one fit
    only.
    """
    panel = _panel(_rows())
    fits = 0

    def make() -> tuple[Preprocessor, Model]:
        nonlocal fits
        fits += 1
        return Standardize(Options()), Learner(Options())

    setting = Setting(panel, SCHEMA, make, lambda: Naive(Options()), 7, 7, 1)
    told: list[int] = []
    config = BacktestConfig(folds=3, refit=False)
    result = run_backtest(
        setting, config, LocalCompute(Options()), lambda fold, _: told.append(fold.number)
    )
    refitted = _backtest(panel, folds=3)
    assert (fits, told) == (1, [0])
    assert result.origins.tolist() == refitted.origins.tolist()
    assert np.array_equal(result.actual, refitted.actual)
    first = result.fold == 0
    assert result.forecast[first].tobytes() == refitted.forecast[first].tobytes()
    assert not np.array_equal(result.forecast[~first], refitted.forecast[~first])
    assert np.unique(result.scale[result.entities[:, 0] == "s"]).size == 1, (
        "scales are those of the one fit"
    )


class Sent(Compute):
    """Workers that get nothing but copies of what they are handed."""

    def map(self, function: Any, shared: Any, items: Any) -> Any:
        self.shared, self.items, self.works = pickle.dumps(shared), list[int](), list[Any]()
        for item in items:
            raw = pickle.dumps(item)
            self.items.append(len(raw))
            self.works.append(pickle.loads(raw))
            yield function(pickle.loads(self.shared), self.works[-1])


def _both_halves() -> tuple[Preprocessor, Model]:
    return Standardize(Options()), Learner(Options())


def _naive() -> Model:
    return Naive(Options())


@pytest.mark.parametrize(
    "config",
    [
        {"folds": 3, "gap": 2},
        {"folds": 2, "window": "sliding", "window_length": 20},
        {"folds": 2, "step": 9},
    ],
)
@pytest.mark.parametrize("versions", [False, True])
def test_workers_elsewhere_get_what_a_fold_needs_alone(
    config: dict[str, Any], versions: bool
) -> None:
    rows = _rows(steps=300)
    panel = _panel(rows)
    folds = plan_folds(panel.times, DAY, 4, BacktestConfig(**config))
    if versions:
        known = {}
        for fold in folds:
            rows["y"] += 1
            known[fold.origin] = _panel(rows)
        panel = replace(panel, vintages=known)
    panel = replace(panel, held={"sales": panel.times})
    setting = Setting(panel, SCHEMA, _both_halves, _naive, 7, 7, 1)
    sent = Sent(Options())
    results = [
        run_backtest(setting, BacktestConfig(**config), place, lambda *_: None)
        for place in (LocalCompute(Options()), sent)
    ]
    assert np.isfinite(results[0].actual).any()
    for field in fields(BacktestResult):
        here, there = (getattr(result, field.name) for result in results)
        if isinstance(here, np.ndarray):
            assert repr(here.tolist()) == repr(there.tolist()), field.name
    whole = len(pickle.dumps(panel))
    assert len(sent.shared) < whole / 4
    for fold, (_, part) in zip(folds, sent.works, strict=True):
        times = part.train.times
        assert times.min() >= fold.first
        assert times.max() == fold.cutoff
        assert len(times) == ((panel.times >= fold.first) & (panel.times <= fold.cutoff)).sum()
        assert not part.train.held
        assert not part.train.vintages
    if versions:
        assert sum(sent.items) < whole
    if "window" in config:
        assert max(sent.items) < whole / 3


def test_windows_are_forecast_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    panel, sizes = _panel(_rows()), list[int]()
    whole = _backtest(panel, folds=2)
    predict = Learner.predict

    def counted(model: Learner, windows: Windows) -> Float64:
        sizes.append(len(windows))
        return predict(model, windows)

    monkeypatch.setattr(Learner, "predict", counted)
    monkeypatch.setattr(backtest, "PIECE", 2)
    pieces = _backtest(panel, folds=2)
    assert sizes == [2, 1, 2, 1]
    for field in fields(BacktestResult):
        if field.name != "seconds":
            one, other = (getattr(result, field.name) for result in (whole, pieces))
            assert repr(one) == repr(other), field.name


def _half_past() -> pd.DataFrame:
    """The rows of one series lie six hours after those of the others."""
    rows = _rows()
    rows["event_timestamp"] += pd.to_timedelta(np.where(rows["shop"] == "ss", 6, 0), unit="h")
    return rows


def test_a_series_of_another_anchor_is_judged_at_its_own_steps() -> None:
    rows = _half_past()
    result = _backtest(_panel(rows), folds=2)
    assert sorted(result.entities.ravel()) == ["s", "s", "ss", "ss", "sss", "sss"]
    assert np.isfinite(result.forecast).all()
    truth = rows.set_index(["shop", "event_timestamp"])["y"]
    table = result.table()
    assert table["actual"].tolist() == [
        truth[key] for key in zip(table["shop"], table["event_timestamp"], strict=True)
    ]
    assert table["baseline"].tolist() == [
        truth[key] for key in zip(table["shop"], table["origin"], strict=True)
    ]
    origins = table.groupby(["shop", "fold"])["origin"].first().unstack("shop")
    last = rows["event_timestamp"].max()  # of the series six hours later
    assert origins["ss"].tolist() == [last - pd.Timedelta(8, "D"), last - pd.Timedelta(4, "D")]
    assert (origins["s"] == origins["ss"] - pd.Timedelta(6, "h")).all()


def test_what_comes_after_the_origins_of_two_anchors_changes_no_forecast() -> None:
    rows = _half_past()
    panel = _panel(rows)
    clean = _backtest(panel, folds=2)
    (first, _) = plan_folds(panel.times, DAY, SCHEMA.horizon, BacktestConfig(folds=2))
    later = rows["event_timestamp"] > pd.Timestamp(first.origin, tz="UTC")
    absurd = _backtest(_panel(rows.assign(y=rows["y"].where(~later, 1e12))), folds=2)
    assert absurd.forecast[clean.fold == 0].tobytes() == clean.forecast[clean.fold == 0].tobytes()


def test_a_model_that_loses_to_the_baseline_is_named() -> None:
    result = _backtest(_panel(_rows()), folds=2)
    exact = np.repeat(result.actual[..., None], result.forecast.shape[3], axis=3)
    assert lost_to_baseline(replace(result, forecast=exact), "learner", "naive") == []
    (line,) = lost_to_baseline(replace(result, forecast=exact + 9.0), "learner", "naive")
    assert line.startswith("backtest: 'y': the baseline naive beats model=learner: MAE ")
    assert "against 9; try model=auto" in line
    lost = replace(result, forecast=exact + 9.0)
    (line,) = lost_to_baseline(lost, "learner", "naive", by_auto=True)
    assert "try model=auto" not in line
    assert line.endswith("model=naive is the simpler forecast")
    chosen = replace(lost, choices=(("drift",), ("mean",), ("mean",)))
    (line,) = lost_to_baseline(chosen, "learner", "naive")
    assert "the baseline naive (mean in 2 of 3 folds, drift in 1) beats" in line


class Telling(Learner):
    def predict(self, windows: Windows) -> Float64:
        progress.tell(1, len(windows), "series")
        return super().predict(windows)


def test_a_model_that_fits_when_it_is_asked_says_how_far_a_fold_is(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "FIRST", 0)

    def make() -> tuple[Preprocessor, Model]:
        return Standardize(Options()), Telling(Options())

    setting = Setting(_panel(_rows()), SCHEMA, make, lambda: Naive(Options()), 7, 7, 1)
    config = BacktestConfig(folds=2)
    for fold in plan_folds(setting.panel.times, DAY, SCHEMA.horizon, config):
        run_fold(setting, fold)
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(", 0 s more")[0] for line in lines] == [
        f"backtest: fold {number}, forecast: series 1 of 3" for number in (1, 2)
    ]


def test_rows_without_a_scale_are_counted() -> None:
    panel = _panel(_rows())
    past = panel.past.copy()
    past[: len(past) // 2, 1] = np.nan
    (line,) = without_scale(replace(panel, past=past), {"y": "x"})
    assert line.startswith("model.scale.y: 'x' is null in 82 of 165 rows, which are not learned")
    assert without_scale(panel, {"y": "x"}) == []


class BrokenFit(Learner):
    def fit(self, *_: object) -> None:
        raise ZeroDivisionError("no variance\nin column x")


class BrokenForecast(Learner):
    def predict(self, windows: Windows) -> Float64:
        raise KeyError("level")


class BrokenTransform(Standardize):
    def past(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        raise IndexError("column 9")


@pytest.mark.parametrize(
    ("preprocessor", "model", "error"),
    [
        (Standardize, BrokenFit, "BrokenFit: fit on {series}, "),
        (Standardize, BrokenForecast, "BrokenForecast: forecast of {series}: KeyError: 'level'; "),
        (BrokenTransform, Learner, "BrokenTransform: transform {series}, "),
    ],
)
@pytest.mark.parametrize("series", [1, 3])
def test_a_component_that_raises_is_named_with_fold_and_series(
    preprocessor: type[Preprocessor], model: type[Model], error: str, series: int
) -> None:
    def make() -> tuple[Preprocessor, Model]:
        return preprocessor(Options()), model(Options())

    setting = Setting(_panel(_rows(series)), SCHEMA, make, lambda: Naive(Options()), 7, 7, 1)
    folds = plan_folds(setting.panel.times, DAY, SCHEMA.horizon, BacktestConfig(folds=3))
    with pytest.raises(ComponentError) as caught:
        run_fold(setting, folds[1])
    text = str(caught.value)
    assert text.startswith(f"backtest: fold 2, rows up to {folds[1].cutoff}: {__name__}:")
    names = "series s" if series == 1 else "3 series"
    assert error.format(series=names) in text
    assert "\n" not in text
    assert text.endswith("; HYDRA_FULL_ERROR=1 shows where.")


class PerSeries(Learner):
    """Fails for one series, where it is fitted or where it is asked."""

    def fit(self, train: WindowSet, *others: Any) -> None:
        if "ss" in train.arrays.entities:
            raise ZeroDivisionError("no variance")


class PerWindow(Learner):
    error: ClassVar[type[Exception]] = KeyError

    def predict(self, windows: Windows) -> Float64:
        if (windows.target_past >= 1e6).any():
            raise self.error("too large")
        return super().predict(windows)


class Refusing(PerWindow):
    error = DataError


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (PerSeries, "PerSeries: fit on 3 series, {windows}, and on series ss alone: Zero"),
        (PerWindow, "PerWindow: forecast of 3 series, and on series ss alone: KeyError: "),
        (Refusing, "fold 2, rows up to {cutoff}: series ss: too large"),
    ],
)
def test_a_series_that_fails_alone_is_named(model: type[Model], text: str) -> None:
    rows = _rows(3)
    rows.loc[rows["shop"] == "ss", "y"] += 1e6
    setting = Setting(
        _panel(rows),
        SCHEMA,
        lambda: (Standardize(Options()), model(Options())),
        lambda: Naive(Options()),
        *(7, 7, 1),
    )
    folds = plan_folds(setting.panel.times, DAY, SCHEMA.horizon, BacktestConfig(folds=3))
    with pytest.raises((ComponentError, DataError)) as caught:
        run_fold(setting, folds[1])
    pattern = re.escape(text).replace(r"\{windows\}", r"\d+ windows")
    assert re.search(pattern.replace(r"\{cutoff\}", str(folds[1].cutoff)), str(caught.value))


def test_a_component_is_named_with_its_plugin_and_its_distribution() -> None:
    baseline = load_plugins().make("model", "seasonal_naive", None)
    with pytest.raises(ComponentError) as caught, named("fit", baseline):
        raise KeyError("x")
    assert re.match(
        r"framework_baselines\S*:SeasonalNaive of plugin baselines \(framework-baselines \d",
        str(caught.value),
    )
