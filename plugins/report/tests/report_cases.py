"""A small real backtest, fakes fitted fold by fold, and its report."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import framework_report
import numpy as np
import pandas as pd

from framework.config.sections import BacktestConfig
from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.panel_rows import panel_from_rows
from framework.evaluation.backtest import Setting, run_fold
from framework.evaluation.folds import plan_folds
from framework.evaluation.result import BacktestResult, join_folds
from framework.options import Options
from framework.plugins.run import Record
from framework.testing.fakes import FakeModel, FakePreprocessor, make_schema

SCHEMA = make_schema(
    name="tiny <daily>",
    entity_keys=("shop",),
    targets=("sales", "visits"),
    past=("sales", "visits"),
    nullable=(),
    static=("shop",),
    horizon=3,
)


def make_panel(series: int = 4, steps: int = 40) -> Panel:
    generator = np.random.default_rng(3)
    times = pd.date_range("2024-01-01", periods=steps, freq="D", tz="UTC")
    frames = []
    for i in range(series):
        level = 20 + 5 * i + 3 * np.sin(np.arange(steps) / 7 * 2 * np.pi)
        noise = generator.normal(0, 1 + i, (2, steps))
        frames.append(
            pd.DataFrame(
                {
                    "shop": f"shop & {i:02}",
                    "event_timestamp": times,
                    "sales": level + noise[0],
                    "visits": 9 + noise[1],
                }
            )
        )
    return panel_from_rows(
        pd.concat(frames, ignore_index=True),
        entity_keys=("shop",),
        past=("sales", "visits"),
        known=(),
        categories=(),
        frequency=Frequency.parse("D"),
    )


def make_result(series: int = 4, folds: int = 3) -> BacktestResult:
    panel = make_panel(series)
    setting = Setting(
        panel,
        SCHEMA,
        make_pair,
        lambda: FakeModel(Options()),
        season_length=7,
        validation_steps=0,
        seed=1,
    )
    planned = plan_folds(panel.times, panel.frequency, SCHEMA.horizon, BacktestConfig(folds=folds))
    return join_folds([run_fold(setting, fold) for fold in planned])


def make_pair() -> tuple[FakePreprocessor, FakeModel]:
    return FakePreprocessor(Options()), FakeModel(Options())


def make_run(directory: Path, result: BacktestResult | None) -> Any:
    facts = {
        "rows": 160,
        "series": 4,
        "first_step": "2024-01-01T00:00:00.000000",
        "last_step": "2024-02-09",
        "versions": {"numpy": "9.8.7"},
        "git": {"commit": "0123456789abcdef", "dirty": True},
    }
    config = SimpleNamespace(
        name=SCHEMA.name,
        text="seed: 7\n",
        backtest=BacktestConfig(),
        component=lambda group: SimpleNamespace(name=f"a_{group}"),
    )
    return SimpleNamespace(
        config=config, record=Record(backtest=result, facts=facts), directory=directory, id="run-1"
    )


def write_report(directory: Path, result: BacktestResult) -> str:
    path = framework_report.report(make_run(directory, result))
    assert path == directory / "report" / "index.html"
    return path.read_text()
