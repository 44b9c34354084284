"""The memory of stored rows is estimated before they are read; what does not fit is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from hydra import compose, initialize_config_module

from framework.config.config import build_config
from framework.data.vocabulary import TIME
from framework.errors import ConfigError
from framework.plugins import composition
from framework.plugins.discovery import load_plugins
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.runs.steps import row_memory
from framework.runs.steps.row_memory import check_rows, plan_rows


def make_run(state: Path, *overrides: str) -> Run:
    plugins = load_plugins()
    composition.register(plugins)
    with initialize_config_module("framework.conf", version_base="1.3"):
        composed = compose(
            "framework",
            [
                "run=train",
                "source=files",
                "++source.files={sales: sales.csv}",
                "++features={primary: sales, views: {sales: {entity: [shop], columns: [y, x]}}}",
                "panel.targets=[y]",
                "panel.frequency=D",
                "panel.horizon=2",
                f"paths.state={state}",
                *overrides,
            ],
        )
    return Run(build_config(composed, plugins), plugins, state, lambda _: None)


def test_rows_that_do_not_fit_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, "panel.mapped=false")
    strategy = run.make("retrieval")
    features = Features(run.config, strategy)
    days = pd.date_range("2024-01-01", periods=1000, tz="UTC")
    rows = pd.DataFrame({"shop": "a", TIME: days, "y": 1.0, "x": 2.0})
    strategy.ingest(run.config.features, "sales", rows)
    plan = plan_rows(run, features, fits=True)
    assert plan is not None
    assert plan.rows == 1000
    panel = features.panel()
    sizes = [panel.past, panel.known, panel.static, panel.times]
    assert sum(array.nbytes for array in sizes) == plan.rows * plan.panel
    assert plan.needs > 2 * plan.rows * plan.panel
    monkeypatch.setattr(row_memory, "MANY", 1000)
    monkeypatch.setattr(row_memory, "free_memory", lambda: plan.needs)
    check_rows(run, features, fits=True)
    assert "panel: the 1,000 rows of view 'sales' take about 0.1 MB" in capsys.readouterr().err
    monkeypatch.setattr(row_memory, "free_memory", lambda: plan.needs - 1)
    with pytest.raises(
        ConfigError, match=r"'sales' take about .* is free; take panel.mapped=auto, or fewer"
    ):
        check_rows(run, features, fits=True)
    check_rows(run, features, fits=False)  # a forecast needs less


def test_fits_at_a_time_and_versions_count(tmp_path: Path) -> None:
    run = make_run(tmp_path, "compute=processes", "compute.workers=2", "backtest.as_known=true")
    strategy = run.make("retrieval")
    days = pd.date_range("2024-01-01", periods=10, tz="UTC")
    rows = pd.DataFrame({"shop": "a", TIME: days, "y": 1.0, "x": 2.0})
    strategy.ingest(run.config.features, "sales", rows)
    plan = plan_rows(run, Features(run.config, strategy), fits=True)
    assert plan is not None
    assert (plan.fits, plan.copies) == (2, 1 + run.config.backtest.folds)


def test_the_copy_for_workers_needs_room_among_the_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = SimpleNamespace(free=10**12)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    for overrides in (["compute=processes", "compute.workers=2"], []):
        run = make_run(tmp_path, "panel.mapped=false", *overrides)
        features = Features(run.config, run.make("retrieval"))
        days = pd.date_range("2024-01-01", periods=1000, tz="UTC")
        rows = pd.DataFrame({"shop": "a", TIME: days, "y": 1.0, "x": 2.0})
        features.strategy.ingest(run.config.features, "sales", rows)
        plan = plan_rows(run, features, fits=True)
        assert plan is not None
        free.free = plan.rows * plan.panel - 1
        if overrides:
            words = (
                r"TMPDIR: the disk of .* \(the panel, for the workers of compute=processes\); make"
            )
            with pytest.raises(ConfigError, match=words):
                check_rows(run, features, fits=True)
            free.free += 1
        check_rows(run, features, fits=True)
        free.free = 10**12


def test_a_panel_that_would_take_half_of_the_free_memory_is_kept_in_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    features = Features(run.config, run.make("retrieval"))
    days = pd.date_range("2024-01-01", periods=300, tz="UTC")
    rows = [pd.DataFrame({"shop": shop, TIME: days, "y": 1.0, "x": 2.0}) for shop in "abcd"]
    features.strategy.ingest(run.config.features, "sales", pd.concat(rows))
    plan = plan_rows(run, features, fits=True)
    assert plan is not None
    monkeypatch.setattr(row_memory, "free_memory", lambda: 2 * plan.needs)
    check_rows(run, features, fits=True)
    assert not features.scratch.is_mapped
    monkeypatch.setattr(row_memory, "free_memory", lambda: 2 * plan.needs - 2)
    check_rows(run, features, fits=True)
    assert features.scratch.is_mapped
    assert "the panel in files of 0.3 MB (panel.mapped)" in capsys.readouterr().err
    monkeypatch.setattr(row_memory, "PART", 300)  # what is read at a time
    in_parts = row_memory._in_parts(plan, features)
    assert in_parts.read == 300
    many = 10_000_000
    assert replace(in_parts, rows=many).mapped_needs < 0.4 * replace(plan, rows=many).needs
    needs = in_parts.mapped_needs
    monkeypatch.setattr(row_memory, "free_memory", lambda: needs - 1)
    with pytest.raises(ConfigError, match=r"'sales' take about .* in files of .*; take fewer col"):
        check_rows(run, features, fits=True)
    run = make_run(Path("/dev/shm/framework"), "panel.mapped=true")
    with pytest.raises(ConfigError, match=r"panel.mapped: paths.state, .* is in memory itself"):
        check_rows(run, features, fits=True)
