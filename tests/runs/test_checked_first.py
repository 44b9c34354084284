"""Runs find what cannot work before they begin, and refuse options that they would leave aside."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from framework.testing.servers import command

EXPERIMENT = """# @package _global_
defaults:
  - override /source: files
  - override /retrieval: file
  - override /model: seasonal_naive
name: e
source:
  files: {sales: sales.csv}
features:
  primary: sales
  views:
    sales: {entity: [shop], columns: [y]}
panel: {targets: [y], frequency: D, horizon: 2, season_length: 7}
backtest: {folds: 1}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "config.yaml").write_text("defaults:\n  - framework\n  - _self_\n")
    (tmp_path / "conf" / "experiment" / "e.yaml").write_text(EXPERIMENT)
    return tmp_path


@pytest.mark.gate_cases(2)
@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("run=backtest", "backtest.compare=[nope]"), "model=nope is not known"),
        (
            ("run=backtest", "preprocessor.past=[{step: scale, columns: [visits]}]"),
            "'visits' is not a column here",
        ),
        (
            (
                "run=tune",
                "model=xgboost",
                "+space={model.max_depth: {int: [2, 3]}}",
                "+model.objectives.z=count:poisson",
            ),
            "model.objectives: ['z'] are no targets",
        ),
        (
            (
                "run=train",
                "model=auto",
                "preprocessor.past=[{step: scale, columns: [visits]}]",
            ),
            "'visits' is not a column here",
        ),
        (("run=compare", "start=soon"), "start: 'soon' is not an ISO 8601 time"),
        (("run=ingest", "panel.targets=[nope]"), "panel.targets: 'nope' is not in"),
    ],
)
def test_what_cannot_work_is_said_before_the_source_is_opened(
    project: Path, overrides: tuple[str, ...], words: str
) -> None:
    done = command.run("+experiment=e", *overrides, cwd=project)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "sales.csv" not in done.stderr
    assert not (project / "state" / "offline").exists()


def test_a_run_that_has_nothing_to_work_on_is_refused_before_it_begins(project: Path) -> None:
    def refused(*overrides: str) -> str:
        done = command.run("+experiment=e", *overrides, cwd=project)
        assert done.returncode == 2, done.stdout
        assert not (project / "state" / "mlflow.db").exists()  # no run of MLflow was begun
        error: str = json.loads(done.stdout.splitlines()[-1])["error"]
        return error

    no_pair = "the registry has no pair of 'e': it is empty; run=train registers one."
    assert refused("run=reproduce") == no_pair
    for name in ("monitor", "compare"):
        nothing = "the ledger has no forecasts of 'e'; serve the pair"
        assert refused(f"run={name}").startswith(nothing)
    day = project / "state" / "serving" / "ledger" / "e" / "2026-11-28"
    day.mkdir(parents=True)
    served = pd.DataFrame({"at": pd.to_datetime(["2026-11-28T10:00:00Z"])})
    served.to_parquet(day / "process.0-1-0.parquet")
    assert refused("run=monitor") == no_pair
    late = refused("run=monitor", "start=2026-11-29")
    assert late.startswith("the ledger has no forecasts of 'e' since 2026-11-29; serve the pair")


@pytest.mark.stress
def test_an_option_that_a_pair_was_not_trained_with_is_refused(project: Path) -> None:
    days = pd.date_range("2024-01-01", periods=40, freq="D")
    rows = pd.DataFrame({"shop": "a", "event_timestamp": days, "y": days.dayofweek})
    rows.to_csv(project / "sales.csv", index=False)
    assert command.run("+experiment=e", cwd=project).returncode == 0
    for arguments, override, trained in (
        (("run=predict",), "panel.horizon=3", "panel.horizon=2"),
        (("run=predict",), "panel={horizon: 3}", "panel.horizon=2"),
        (("run=predict",), "model=xgboost", "model.name=seasonal_naive"),
        (("run=serve", "version=1"), "quantiles=[0.4]", "quantiles=[]"),
        (("run=promote", "alias=production"), "backtest.folds=9", "backtest.folds=1"),
        (("run=alias", "alias=staging"), "model.season_length=3", "model.season_length=7"),
        (("run=materialize",), "backtest.folds=9", "backtest.folds=1"),
        (("run=monitor",), "model=xgboost", "model.name=seasonal_naive"),
    ):
        done = command.run("+experiment=e", *arguments, override, cwd=project)
        assert done.returncode == 2, done.stdout
        assert f"as the pair was trained, with {trained}; leave {override} out" in done.stderr
    agreed = "panel={horizon: 2}"  # as it was trained
    done = command.run("+experiment=e", "run=alias", "alias=s", agreed, cwd=project)
    assert done.returncode == 0, done.stderr
    done = command.run("+experiment=e", "run=predict", "panel.horizon=2", cwd=project)
    assert json.loads(done.stdout.splitlines()[-1])["rows"] == 2
    file = project / "conf" / "experiment" / "e.yaml"  # an edit, as a server would not see it
    file.write_text(file.read_text().replace("frequency: D", "frequency: 2D"))
    done = command.run("+experiment=e", "run=predict", cwd=project)
    assert done.returncode == 2, done.stdout
    assert "panel.frequency: pair e version 1 was trained on steps of D" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "override"),
    [
        (("run=ingest",), "backtest.folds=2"),
        (("run=ingest",), "ingest.when=never"),
        (("run=ingest",), "ledger.share=0.5"),
        (("run=verify", "what=pairs"), "model=xgboost"),
        (("run=verify", "what=pairs"), "verify.sample=3"),
        (("run=verify", "what=features"), "verify.take_up=true"),
        (("run=verify", "what=features"), "serving.port=1"),
        (("run=compare",), "quantiles=[0.4]"),
        (("run=compare",), "model.season_length=3"),
    ],
)
def test_an_option_that_a_run_does_not_use_is_refused(
    project: Path, arguments: tuple[str, ...], override: str
) -> None:
    done = command.run("+experiment=e", *arguments, override, cwd=project)
    assert done.returncode == 2, done.stdout
    words = f"{override.partition('=')[0]}: {' '.join(arguments)} does not use it; leave {override}"
    assert words in done.stderr


def test_options_that_a_run_uses_are_taken(project: Path) -> None:
    (project / "sales.csv").write_text("shop,event_timestamp,y\na,2024-01-01,1\na,2024-01-03,2\n")
    used = ("panel.gaps=insert", "model.season_length=3", "ingest={removed: keep}")
    done = command.run("+experiment=e", "run=ingest", *used, cwd=project)
    assert done.returncode == 0, done.stderr
    assert (
        command.run("+experiment=e", "run=verify", "verify.take_up=true", cwd=project).returncode
        == 0
    )


@pytest.mark.parametrize("run", ["ingest", "train"])
def test_what_the_disk_has_no_room_for_is_refused_before_it_is_read(
    project: Path, run: str
) -> None:
    part, size = 0, 11 * shutil.disk_usage(project).free  # a tenth of it is counted
    (project / "data").mkdir()
    while size > 0:  # files with nothing in them; a file system has a longest file
        with (project / "data" / f"{part}.csv").open("wb") as file:
            file.truncate(min(size, 2**42))
        part, size = part + 1, size - 2**42
    done = command.run("+experiment=e", f"run={run}", "source.files.sales=data", cwd=project)
    assert done.returncode == 2, done.stderr
    assert f"GB free, and run={run} writes about" in done.stderr
    assert done.stderr.count("\n") <= 2, done.stderr
    assert not (project / "state" / "offline").exists()
