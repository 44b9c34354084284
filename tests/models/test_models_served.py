"""Every bundled model: backtested, fitted, written as a pair, opened again, asked through the
request pipeline; the forecasts are equal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from framework.config.sections import BacktestConfig
from framework.data.forecast import Forecast
from framework.evaluation.backtest import Setting, run_backtest
from framework.interfaces.model import Model
from framework.interfaces.preprocessor import Preprocessor
from framework.options import Options
from framework.pairs.artifacts import Evidence, open_pair, write_pair
from framework.pairs.fit import fit_pair
from framework.pairs.golden import Golden, replay
from framework.pairs.intervals import calibrate
from framework.plugins.compute import LocalCompute
from framework.plugins.discovery import load_plugins
from framework.serving.app.examples import example_payload
from framework.serving.pipeline.pipeline import Pipeline
from framework.testing.panels import make_panel, panel_schema
from framework.testing.servers.fake_server import answer_payload, make_pipeline

MODELS: dict[str, dict[str, Any]] = {
    "xgboost": {"n_estimators": 5, "n_jobs": 1},
    "lightgbm": {"n_estimators": 5, "n_jobs": 1},
    "nlinear": {"input_chunk_length": 14, "n_epochs": 2},
    "tft": {
        "input_chunk_length": 7,
        "n_epochs": 1,
        "batch_size": 128,
        "hidden_size": 4,
        "num_attention_heads": 2,
    },
    "auto_theta": {"season_length": 7, "context_length": 28, "model": "STM"},
}


@pytest.mark.parametrize("name", MODELS)
def test_from_backtest_to_answer(name: str, tmp_path: Path) -> None:
    plugins = load_plugins()

    def component(kind: Any, which: str, options: dict[str, Any]) -> Any:
        return plugins.load(kind, which)(plugins.find(kind, which).options.model_validate(options))

    def make() -> tuple[Preprocessor, Model]:
        past = [{"step": "impute"}, {"step": "scale"}]
        return component("preprocessor", "native", {"past": past}), component(
            "model", name, MODELS[name]
        )

    panel = make_panel(series=4)
    length = make()[1].context_length(7)
    schema = panel_schema(panel, context_length=length, quantiles=(0.1, 0.9))
    setting = Setting(
        panel,
        schema,
        make,
        lambda: component("model", "seasonal_naive", {"season_length": 7}),
        7,
        14,
        7,
    )
    result = run_backtest(
        setting, BacktestConfig(folds=3, refit=False), LocalCompute(Options()), lambda *_: None
    )
    assert np.isfinite(result.forecast).all()

    table = result.table()
    pair = replace(fit_pair(panel, schema, *make(), 14, 7), calibration=calibrate(table, schema))
    context = panel.context(
        schema, panel.entities, panel.times.max() - np.timedelta64(schema.horizon, "D")
    )
    golden = Golden(context, pair.forecast(context).values, 0.0)
    write_pair(
        tmp_path, pair, {"preprocessor": "native", "model": name}, Evidence(golden, table, {})
    )
    opened = open_pair(tmp_path / "preprocessor", tmp_path / "model", plugins)
    replay(opened, golden)

    pipeline = make_pipeline(opened, store=False, max_rows=1000)
    expected = pair.forecast(replace(context, levels=(50.0, 80.0)))
    bodies = [
        orjson.dumps({**example_payload(schema, golden, window), "levels": [50, 80]})
        for window in range(len(context))
    ]
    alone = [asyncio.run(answer_payload(pipeline, body)) for body in bodies]
    for window, served in [
        *enumerate(alone),
        *enumerate(asyncio.run(answer_at_once(pipeline, bodies))),
    ]:
        assert served.values[0].tobytes() == expected.values[window].tobytes()
        for level in ("50", "80"):
            assert (
                served.intervals[level][0].tobytes() == expected.intervals[level][window].tobytes()
            )
        assert (served.intervals["80"][..., 0] <= served.intervals["50"][..., 0]).all()


async def answer_at_once(pipeline: Pipeline, bodies: Sequence[bytes]) -> list[Forecast]:
    """Requests that come at the same time, and go through the pair in one call."""
    return await asyncio.gather(*(answer_payload(pipeline, body) for body in bodies))
