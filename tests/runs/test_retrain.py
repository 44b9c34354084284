"""An alert starts a training; its gate looks at what was served; the alias moves or does not."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from framework.config.config import build_config
from framework.errors import NotThereError
from framework.interfaces.observer import ServedArm, ServedRequest
from framework.interfaces.registry import PairVersion
from framework.monitoring.served import Served
from framework.pairs.loading import load_pair
from framework.plugins import composition
from framework.plugins.components import Components
from framework.plugins.discovery import load_plugins
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.retrieval.stored_panel import PanelWindows
from framework.runs.steps.checks import check_monitoring
from framework.runs.steps.retrain import retrain
from framework.runs.steps.retraining.verdict import Candidate, best_of
from framework.testing.servers import command

EXAMPLE = Path(__file__).parents[2] / "examples" / "project"
SHOPS = [f"s{number}" for number in range(6)]
FIRST, DAYS, SERVED = np.datetime64("2024-01-01"), 120, 42
EXPERIMENT = ("+experiment=shops", "model=xgboost", "model.n_estimators=30", "model.n_jobs=1")
MONITOR = (
    "run=monitor",
    "monitor.sample=0",
    "monitor.retrain.cooldown=0s",
    "monitor.retrain.per_day=9",
    "backtest.folds=4",
    "gate.baseline_margin=10",
)
DRIFT = ("+monitor.alerts.rules.drift={signal: drift, above: 0}", "monitor.retrain.alerts=[drift]")
#: Fires on anything, so that the gate alone decides.
ALWAYS = ("+monitor.alerts.rules.error={signal: MAE, above: 0}", "monitor.retrain.alerts=[error]")


def write_sales(folder: Path, days: int, shift: float = 0.0, begins: int = 0) -> None:
    """Weekly sales with noise; from day ``begins`` on ``shift`` is added to every shop."""
    random_numbers = np.random.default_rng(4)
    rows = []
    for number, shop in enumerate(SHOPS):
        day = np.arange(DAYS + SERVED)
        season = 10 * np.sin(2 * np.pi * day / 7)
        sales = 60 + 5 * number + season + random_numbers.normal(0, 3, len(day))
        sales = np.where(day >= begins, sales + shift, sales)
        rows += [
            (shop, str(FIRST + step), round(float(value), 2), 10, "north")
            for step, value in zip(day[:days], sales[:days], strict=True)
        ]
    frame = pd.DataFrame(rows, columns=["shop", "date", "sales", "visitors", "town"])
    frame.to_csv(folder / "data" / "sales.csv", index=False)


def run(folder: Path, *overrides: str) -> dict[str, Any]:
    done = command.run(*EXPERIMENT, *overrides, cwd=folder)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def serve_each_day(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server that follows ``production`` would have answered, a request for all shops on
    each day: the pair's own forecasts in the real ledger, without HTTP.
    """
    monkeypatch.chdir(folder)
    plugins = load_plugins()
    composition.register(plugins)
    with initialize_config_dir(str(folder / "conf"), version_base="1.3"):
        config = build_config(compose("config", [*EXPERIMENT, "run=monitor"]), plugins)
    parts = Components(config, plugins)
    loaded = load_pair(parts.make("registry"), plugins, config.name, "production")
    panel = Features(config, parts.make("retrieval")).panel()
    writer = parts.make("ledger").writer(config.name, config.paths.state, lambda *_: None)
    hooks, schema = writer.hooks, loaded.pair.schema
    arm = ServedArm("production", "production", loaded.version, schema, False)
    for day in range(DAYS - 1, DAYS + SERVED - 1):
        origin = (FIRST + day).astype("M8[us]")
        windows = PanelWindows(panel, config.features, schema, panel.entities, origin, None)
        forecast = loaded.pair.forecast(windows.context((0, len(SHOPS))))
        assert set(forecast.status) == {"ok"}
        request = ServedRequest(f"r{day}", datetime.now(UTC), len(SHOPS))
        writer.offered(len(SHOPS))
        hooks.forecasts_served(arm=arm, forecast=forecast, request=request)
    hooks.server_stopped()


def make_project(folder: Path, monkeypatch: pytest.MonkeyPatch, shift: float) -> Path:
    """Version 1 is in production and has served for six weeks; the actuals are there."""
    project = folder / "project"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("state"))
    write_sales(project, DAYS)
    run(project, "backtest.folds=4")
    run(project, "run=alias", "alias=production", "version=1")
    write_sales(project, DAYS + SERVED, shift, begins=DAYS + 5)
    run(project, "run=ingest")
    serve_each_day(project, monkeypatch)
    return project


def reader_of_shops(project: Path) -> None:
    """A pair under another name, one of whose views says that its rows are forecasts of shops."""
    view = "+features.views.sales.forecasts_of=shops"
    run(project, "name=orders", "backtest.folds=1", view)
    run(project, "run=alias", "name=orders", "alias=production", "version=1")


def aliases(project: Path, name: str = "shops") -> dict[str, int]:
    pairs = run(project, "run=pairs", f"name={name}")["pairs"]
    return {alias: pair["version"] for pair in pairs for alias in pair["aliases"]}


@pytest.mark.stress
def test_a_shift_leads_to_one_retraining_and_a_better_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path, monkeypatch, shift=25.0)
    reader_of_shops(project)
    first = run(project, *MONITOR, *DRIFT, "monitor.retrain.recent=1")
    assert [alert["state"] for alert in first["alerts"]] == ["firing"]
    retrained = first["retrain"]
    assert (retrained["status"], retrained["alias"]) == ("promoted", "staging"), retrained
    whole, recent = retrained["candidates"]
    assert (whole["version"], whole["rows"], recent["version"]) == (2, "all rows", 3)
    best = retrained["pair"]["version"]
    assert aliases(project, "shops") == {"production": 1, "staging": best}
    entry = run(project, "run=history", "alias=staging")["history"][-1]
    assert "retrained: alert drift" in entry["reason"]
    verdict = entry["verdict"]
    assert recent["rows"] == f"rows since {verdict['alert']['change']}"
    assert [one["version"] for one in verdict["candidates"]] == [2, 3]
    assert verdict["checks"] == verdict["candidates"][best - 2]["checks"]
    reader = {"name": "orders", "version": 1, "aliases": ["production"], "views": ["sales"]}
    assert verdict["readers"] == retrained["readers"] == [reader]
    assert any("pair orders version 1 (production) reads" in line for line in first["warnings"])
    assert verdict["alert"]["labels"]["target"] == "sales"
    assert str(FIRST + DAYS - 7) <= verdict["alert"]["change"] <= str(FIRST + DAYS + 15)
    served = next(one for one in verdict["checks"] if "against what was served" in one["check"])
    assert served["value"] < 0.5 * served["limit"]
    (file,) = (project / "state" / "monitoring").glob("*.retrain.json")
    (attempt,) = json.loads(file.read_text())
    # as a process leaves it that is killed between the move and the note of it
    file.write_text(json.dumps([{**attempt, "status": "registered", "detail": None}]))
    finished = run(project, *MONITOR, *DRIFT)["retrain"]
    assert {**finished, "detail": None} == {**retrained, "detail": None}
    assert len(run(project, "run=history", "alias=staging")["history"]) == 1
    assert run(project, *MONITOR, *DRIFT)["retrain"] is None  # nor does it start a second one
    versions = [pair["version"] for pair in run(project, "run=pairs", "name=shops")["pairs"]]
    assert versions == [3, 2, 1]
    # the pair of recent rows is made again from what it recorded
    assert run(project, "run=reproduce", "version=3")["equal"] is True


def alert(number: int, **labels: str) -> dict[str, Any]:
    since = f"2024-05-0{number}T00:00:00+00:00"
    return {"name": "error", "state": "firing", "labels": labels, "since": since}


@pytest.mark.stress
def test_a_run_by_a_schedule_trains_for_each_alert_and_again_where_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("state"))
    monkeypatch.chdir(tmp_path / "project")
    write_sales(Path(), DAYS)
    plugins = load_plugins()
    composition.register(plugins)
    overrides = [*EXPERIMENT, *MONITOR, *ALWAYS]
    with initialize_config_dir(str(Path("conf").absolute()), version_base="1.3"):
        config = build_config(compose("config", overrides), plugins)
    scheduled = Run(config, plugins, tmp_path, lambda _: None)
    served: dict[str, Served] = {}

    def newest(*alerts: dict[str, Any]) -> tuple[str, list[int]]:
        warnings: list[str] = []
        result = retrain(scheduled, {"alerts": alerts, "serving": {}}, [], served, warnings)
        assert result is not None
        assert (result["status"], result["alias"]) == ("failed", "staging")
        assert "arm 'gone'" in result["detail"]
        assert "tried again" in warnings[-1]
        pairs = scheduled.make("registry").pairs(config.name)
        return result["alert"]["since"][:10], sorted(pair.version for pair in pairs)

    first, second = alert(1, arm="gone"), alert(2, arm="gone")
    assert newest(first) == ("2024-05-01", [1])
    assert newest(first, second) == ("2024-05-02", [1, 2])  # not the pair of the first one
    assert newest(first, second) == ("2024-05-01", [1, 2, 3])


GRID = """
from framework.interfaces.plugin import Component, hookimpl
from framework.interfaces.tuner import DONE, Trial, Tuner

class Grid(Tuner):
    def search(self, search):
        (dimension,) = search.dimensions
        for number, choice in enumerate(dimension.choices):
            if number >= len(search.before):
                values = {dimension.path: choice}
                evaluation = search.objective.evaluation(values)
                folds = tuple(evaluation.fold(fold) for fold in range(search.objective.folds))
                search.report(Trial(number, values, DONE, folds, folds[-1], 0.0))
        return True

@hookimpl
def components():
    return [Component("tuner", "grid", f"{__name__}:Grid")]
"""


@pytest.mark.stress
def test_an_alert_may_start_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("state"))
    monkeypatch.chdir(tmp_path / "project")
    Path("plugins").mkdir()
    Path("plugins/grid.py").write_text(GRID)
    write_sales(Path(), DAYS)
    plugins = load_plugins()
    composition.register(plugins)
    overrides = [
        "+experiment=shops",
        *MONITOR,
        *ALWAYS,
        "monitor.retrain.run=tune",
        "tuner=grid",
        "+space={model.season_length: {choice: [3, 7]}}",
    ]
    with initialize_config_dir(str(Path("conf").absolute()), version_base="1.3"):
        config = build_config(compose("config", overrides), plugins)
    searching = Run(config, plugins, tmp_path, lambda _: None)
    with pytest.raises(NotThereError, match="the ledger has no forecasts of 'shops'; serve the"):
        check_monitoring(searching)  # the search is as it must be
    body = {"alerts": [alert(1, arm="gone")], "serving": {}}
    result = retrain(searching, body, [], {}, [])
    assert result is not None
    assert result["status"] == "failed"  # nothing was served
    registry = searching.make("registry")
    (pair,) = registry.pairs(config.name)
    assert OmegaConf.create(registry.fetch(pair).config).model.season_length == 7
    (attempt,) = json.loads(Path("state/monitoring/shops.retrain.json").read_text())
    assert attempt["parameters"] == {"model.season_length": 7}
    assert "season_length: 7" in Path("conf/experiment/shops_tuned.yaml").read_text()


def test_the_better_of_two_is_chosen_on_what_both_forecast() -> None:
    days = pd.date_range("2024-01-01", periods=40, tz="UTC")

    def table(origins: pd.DatetimeIndex, error: float) -> pd.DataFrame:
        rows = pd.DataFrame({"origin": origins, "step": 1, "target": "y", "actual": 10.0})
        return rows.assign(mean=10.0 + error)

    served = table(days, 4.0).drop(columns="actual")
    # over all of its origins the first one is worse; on those of both it is better
    whole = pd.concat([table(days[:10], 9.0), table(days[10:], 1.0)])
    candidates = [
        Candidate(PairVersion("n", number, "", "", "", ""), "", (), table=rows)
        for number, rows in ((1, whole), (2, table(days[10:], 2.0)))
    ]
    assert best_of(candidates, served, [], None).pair.version == 1
    assert best_of(candidates[::-1], served, [], None).pair.version == 1
    assert best_of(candidates[:1], served, [], None).pair.version == 1


@pytest.mark.stress
def test_noise_alone_moves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(tmp_path, monkeypatch, shift=0.0)
    held = run(project, *MONITOR, *ALWAYS, "monitor.retrain.gain=0.1")["retrain"]
    assert held["status"] == "refused", held
    assert "sales: MAE against what was served" in held["detail"]
    assert aliases(project) == {"production": 1}
    assert run(project, *MONITOR, *ALWAYS)["retrain"] is None
    refused = run(project, "run=history")["history"][-1]
    assert (refused["action"], refused["alias"]) == ("refuse", "staging")
    assert "MAE against what was served" in refused["reason"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("monitor.retrain.alerts=[drift]",), "retrain.alerts: no rule is called 'drift'"),
        ((*DRIFT, "monitor.retrain.gain=2"), "monitor.retrain.gain"),
    ],
)
def test_a_wrong_option_is_one_line(
    tmp_path: Path, overrides: tuple[str, ...], message: str
) -> None:
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("state"))
    done = command.run(*EXPERIMENT, "run=monitor", *overrides, cwd=project)
    assert done.returncode == 2
    assert message in json.loads(done.stdout.splitlines()[-1])["error"]


@pytest.mark.stress
def test_kills_at_any_time_end_as_no_kill_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten runs, each killed at some moment, then one that ends: one new pair, one move."""
    seed = 11
    moments = random.Random(seed)
    project = make_project(tmp_path, monkeypatch, shift=25.0)
    arguments = [sys.executable, "-m", "framework", *EXPERIMENT, *MONITOR, *DRIFT]
    killed = 0
    for _ in range(10):
        process = subprocess.Popen(
            arguments, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(moments.uniform(3, 25))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    assert killed
    run(project, *MONITOR, *DRIFT)
    run(project, "run=verify")
    assert aliases(project) == {"production": 1, "staging": 2}
    assert [pair["version"] for pair in run(project, "run=pairs")["pairs"]] == [2, 1]
    history = run(project, "run=history", "alias=staging")["history"]
    assert len([one for one in history if one["alias"] == "staging"]) == 1
