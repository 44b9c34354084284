"""The leak canary finds nothing in what is bundled and everything that is planted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from framework.data.arrays import Float64, Objects, Times
from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.data.windows import Windows
from framework.features.views import View
from framework.interfaces.model import Model
from framework.interfaces.preprocessor import Preprocessor
from framework.options import Options
from framework.plugins.discovery import load_plugins
from framework.testing.contracts.leaks import (
    LeakError,
    assert_features_do_not_leak,
    assert_pair_does_not_leak,
)
from framework.testing.fakes import FakeModel, FakePreprocessor
from framework.testing.panels import make_panel, panel_schema

ORIGIN = np.datetime64("2024-06-10", "us")

TINY: dict[str, Any] = {"input_chunk_length": 7, "n_epochs": 1, "batch_size": 128}
LOCAL: dict[str, Any] = {"season_length": 7, "context_length": 28}
#: Every bundled model, small.
INTERMITTENT: dict[str, Any] = {"context_length": 30}
MODELS: dict[str, dict[str, Any]] = {
    "seasonal_naive": {"season_length": 7},
    "seasonal_mean": {"season_length": 7},
    "drift": {"season_length": 7},
    "mean": {"season_length": 7},
    "strongest_naive": {"season_length": 7},
    "xgboost": {"n_estimators": 5, "n_jobs": 1},
    "lightgbm": {"n_estimators": 5, "n_jobs": 1},
    "nlinear": TINY,
    "dlinear": TINY,
    "tft": {**TINY, "hidden_size": 4, "num_attention_heads": 2},
    "nbeats": {**TINY, "num_stacks": 2, "num_layers": 1, "layer_widths": 8},
    "nhits": {**TINY, "layer_widths": 8},
    "tide": {**TINY, "hidden_size": 8},
    "tsmixer": {**TINY, "hidden_size": 4, "ff_size": 4, "num_blocks": 1},
    "auto_arima": {**LOCAL, "max_p": 1, "max_q": 1, "max_P": 0, "max_Q": 0},
    "auto_ets": {**LOCAL, "model": "ANN"},
    "auto_theta": {**LOCAL, "model": "STM"},
    "croston_sba": INTERMITTENT,
    "tsb": INTERMITTENT,
    "adida": INTERMITTENT,
    "imapa": INTERMITTENT,
    "ensemble": {
        "members": {
            "week": {"name": "seasonal_naive", "season_length": 7},
            "trees": {"name": "lightgbm", "n_estimators": 5, "n_jobs": 1},
        },
        "season_length": 7,
    },
}
#: One stands for a model until one is chosen, and forecasts nothing. The other needs weights; the
#: tests of its plugin make them, and try it.
LEFT_OUT = {"auto", "chronos2"}
PREPROCESSORS: dict[str, dict[str, Any]] = {
    "native": {
        "past": [{"step": "impute"}, {"step": "scale"}],
        "future": [{"step": "scale"}, {"step": "calendar", "fields": ["day_of_week"]}],
    },
    "sklearn": {
        "past": {"class": "sklearn.preprocessing.StandardScaler"},
        "future": {
            "class": "sklearn.preprocessing.QuantileTransformer",
            "options": {"n_quantiles": 20},
        },
        "static": {
            "class": "sklearn.preprocessing.OneHotEncoder",
            "options": {"handle_unknown": "ignore"},
        },
    },
}


def component(kind: Any, name: str, options: dict[str, Any]) -> Any:
    plugins = load_plugins()
    return plugins.load(kind, name)(plugins.find(kind, name).options.model_validate(options))


def test_every_bundled_component_is_tried() -> None:
    plugins = load_plugins()
    for kind, tried in (("model", MODELS), ("preprocessor", PREPROCESSORS)):
        assert set(tried) == set(plugins.names(kind)) - LEFT_OUT  # type: ignore[arg-type]


@pytest.mark.gate_cases(6)
@pytest.mark.parametrize(
    ("preprocessor", "model"),
    [("native", model) for model in MODELS]
    + [("sklearn", model) for model in ("xgboost", "nlinear", "auto_theta")],
)
def test_bundled_components_do_not_leak(preprocessor: str, model: str, tmp_path: Path) -> None:
    panel = make_panel(series=3)
    length = component("model", model, MODELS[model]).context_length(7)

    def make(_: Panel) -> tuple[Preprocessor, Model]:
        return component("preprocessor", preprocessor, PREPROCESSORS[preprocessor]), component(
            "model", model, MODELS[model]
        )

    assert_pair_does_not_leak(
        panel, panel_schema(panel, context_length=length), make, ORIGIN, 14, tmp_path
    )


class WholeSeriesScaler(FakePreprocessor):
    """The planted leak: a scaler that was fitted on the whole panel before the folds were cut."""

    def __init__(self, options: Any, panel: Panel) -> None:
        super().__init__(options)
        self.whole = panel

    def fit(
        self, past: Float64, known: Float64, static: Objects, times: Times, schema: Schema
    ) -> None:
        self.centre(np.nanmean(self.whole.past, axis=0), self.whole.known.mean(axis=0), schema)


class Peeping(FakeModel):
    """The planted leak: what comes next is looked up in the panel, nothing of it is in the saved
    state.
    """

    def __init__(self, options: Any, panel: Panel) -> None:
        super().__init__(options)
        self.whole = panel

    def predict(self, windows: Windows) -> Float64:
        return super().predict(windows) + self.whole.past[-1, 0]


@pytest.mark.parametrize("preprocessor", PREPROCESSORS)
def test_a_scaler_of_the_whole_series_is_caught_in_every_preprocessor(
    preprocessor: str, tmp_path: Path
) -> None:
    """The planted leak: it is fitted on the whole panel, whatever rows it is given."""
    panel = make_panel(series=3)

    def make(whole: Panel) -> tuple[Preprocessor, Model]:
        made: Preprocessor = component("preprocessor", preprocessor, PREPROCESSORS[preprocessor])
        fit = made.fit

        def fit_on_all(
            past: Float64, known: Float64, static: Objects, times: Times, schema: Schema
        ) -> None:
            fit(whole.past, whole.known, whole.static, whole.times, schema)

        made.fit = fit_on_all  # type: ignore[method-assign]
        return made, FakeModel(Options())

    with pytest.raises(
        LeakError, match=r"preprocessor/.* of the fitted state changes with values after 2024-06-10"
    ):
        assert_pair_does_not_leak(panel, panel_schema(panel), make, ORIGIN, 0, tmp_path)


def test_a_planted_leak_is_caught(tmp_path: Path) -> None:
    panel = make_panel(series=3)
    schema = panel_schema(panel, quantiles=(0.1, 0.9))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    assert_pair_does_not_leak(
        panel,
        schema,
        lambda _: (FakePreprocessor(Options()), FakeModel(Options())),
        ORIGIN,
        0,
        tmp_path / "a",
    )
    with pytest.raises(
        LeakError,
        match=r"preprocessor/means\.npz/.* of the fitted state changes with values after 2024-06-10",  # noqa: E501
    ):
        assert_pair_does_not_leak(
            panel,
            schema,
            lambda p: (WholeSeriesScaler(Options(), p), FakeModel(Options())),
            ORIGIN,
            0,
            tmp_path / "b",
        )
    with pytest.raises(LeakError, match="the forecasts from 2024-06-10"):
        assert_pair_does_not_leak(
            panel,
            schema,
            lambda p: (FakePreprocessor(Options()), Peeping(Options(), p)),
            ORIGIN,
            0,
            tmp_path / "c",
        )


def rows() -> pd.DataFrame:
    times = pd.date_range("2024-05-01", "2024-06-30", tz="UTC")
    generator = np.random.default_rng(1)
    frames = [
        pd.DataFrame({"shop": s, TIME: times, "y": generator.normal(size=len(times)), "kind": "a"})
        for s in ("p", "q")
    ]
    return pd.concat(frames, ignore_index=True)


VIEW = View.model_validate(
    {
        "entity": ["shop"],
        "columns": ["y", "kind"],
        "categories": ["kind"],
        "ttl": "1d",
        "engineer": [
            {"op": "lag", "columns": ["y"], "steps": [1, 7]},
            {
                "op": "rolling",
                "columns": ["y"],
                "windows": [3, 7],
                "statistics": ["mean", "std", "min", "max", "sum"],
            },
            {
                "op": "expanding",
                "columns": ["y"],
                "statistics": ["mean", "std", "min", "max", "sum"],
            },
            {"op": "difference", "columns": ["y"], "steps": [1, 7]},
            {"op": "difference", "columns": ["y"], "steps": [7], "relative": True},
            {"op": "calendar", "fields": ["day_of_week"]},
            {
                "op": "join",
                "table": "prices",
                "by": ["shop"],
                "columns": ["price"],
                "time": "since",
                "ttl": "40d",
            },
            {"op": "rolling", "columns": ["price"], "windows": [3]},
        ],
    }
)


def prices() -> pd.DataFrame:
    """A price every ten days, the last ones behind the origin; one at the very origin."""
    times = pd.date_range("2024-05-01", "2024-06-30", freq="10D", tz="UTC")
    return pd.DataFrame({"shop": "p", "since": times, "price": np.arange(len(times), dtype=float)})


def test_engineered_features_do_not_leak() -> None:
    assert_features_do_not_leak(VIEW, rows(), Frequency.parse("D"), ORIGIN, {"prices": prices()})


def test_a_feature_of_the_whole_series_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from framework.features import leak_canary as leaks

    def centred(view: View, table: pd.DataFrame, frequency: Frequency, tables: Any) -> pd.DataFrame:
        made = leaks_engineer(view, table, frequency, tables)
        return made.assign(y_lag_7=made["y_lag_7"] - table["y"].mean())

    leaks_engineer = leaks.engineer
    monkeypatch.setattr(leaks, "engineer", centred)
    with pytest.raises(LeakError, match="feature 'y_lag_7': values at or before 2024-06-10"):
        assert_features_do_not_leak(
            VIEW, rows(), Frequency.parse("D"), ORIGIN, {"prices": prices()}
        )


def test_a_check_that_would_prove_nothing_is_refused(tmp_path: Path) -> None:
    late = np.datetime64("2030-01-01", "us")
    with pytest.raises(ValueError, match="no row after 2030-01-01"):
        assert_features_do_not_leak(VIEW, rows(), Frequency.parse("D"), late, {"prices": prices()})
    panel = make_panel(series=2)
    with pytest.raises(ValueError, match="no row after 2030-01-01"):
        assert_pair_does_not_leak(
            panel,
            panel_schema(panel),
            lambda _: (FakePreprocessor(Options()), FakeModel(Options())),
            late,
            0,
            tmp_path,
        )
