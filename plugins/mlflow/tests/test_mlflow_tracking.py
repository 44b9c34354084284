"""What a run leaves in MLflow, through the hooks that the program calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry.registry import MlflowRegistry

from framework.config.config import Config, Selected
from framework.errors import ConfigError, RefusedError
from framework.interfaces.tuner import Trial
from framework.plugins.discovery import load_plugins
from framework.plugins.execute import execute
from framework.plugins.run import Run
from framework.testing.contracts.drafts import make_draft

TEXT = (
    "name: fake\nquantiles: [0.1]\npanel:\n  horizon: 3\nretrieval:\n  store:\n    password: "
    "${oc.env:PGPASSWORD}\n"
)


def make_run(
    options: MlflowOptions, folder: Path, run: str, body: Any, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """A run of this name that does ``body``; the rest of its config is the smallest that is
    valid.
    """
    plugins = load_plugins()
    load = plugins.load
    monkeypatch.setattr(
        plugins, "load", lambda kind, name: body if kind == "run" else load(kind, name)
    )
    monkeypatch.setattr(plugins, "load_check", lambda run: None)  # of the run that body stands for
    config = Config.model_validate(
        {
            **dict.fromkeys(("alias", "version", "at", "start", "reason")),
            "run": run,
            "name": "fake",
            "seed": 7,
            "quantiles": (0.1,),
            "paths": {"state": folder},
            "panel": {"targets": ["y"], "frequency": "D", "horizon": 3, "season_length": 7},
            "features": {
                "primary": "v",
                "views": {"v": {"entity": ["k"], "columns": ["y"], "ttl": "P1D"}},
            },
            "backtest": {},
            "validation": {},
            "gate": {},
            "components": {"registry": {"name": "mlflow", "options": options}},
            "text": TEXT,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    return Run(config, plugins, folder, lambda _: None)


def test_a_finished_run_keeps_config_figures_facts_and_files(
    options: MlflowOptions,
    registry: MlflowRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def train(run: Run) -> dict[str, Any]:
        run.record.metrics |= {f"departures.model.M{i}": float(i) for i in range(900)}
        run.record.fold_metrics = [{"departures.model.MAE": 1.0}, {"departures.model.MAE": 2.0}]
        run.record.facts |= {"rows": 12}
        page = run.directory / "report.html"
        page.write_text("<p>report</p>")
        run.record.artifacts.append(page)
        made = registry.register(make_draft(tmp_path / "draft"), run.id)
        return {"pair": {"name": made.name, "version": made.version, "digest": made.digest}}

    run = make_run(options, tmp_path / "run", "train", train, monkeypatch)
    result = execute(run)
    client = registry.store.client
    tracked = client.get_run(run.id)
    assert tracked.info.status == "FINISHED"
    assert tracked.data.tags["framework.pair"] == "fake 1"
    assert tracked.data.tags["framework.digest"] == result["pair"]["digest"]
    assert tracked.data.params["panel.horizon"] == "3"
    assert tracked.data.params["quantiles"] == "[0.1]"
    assert tracked.data.params["retrieval.store.password"] == "${oc.env:PGPASSWORD}"
    assert tracked.data.metrics["departures.model.M899"] == 899.0
    assert [
        (m.step, m.value) for m in client.get_metric_history(run.id, "fold.departures.model.MAE")
    ] == [(0, 1.0), (1, 2.0)]
    assert {f.path for f in client.list_artifacts(run.id)} == {
        "config.yaml",
        "facts.json",
        "pairs",
        "report.html",
        "result.json",
    }
    folder = Path(tracked.info.artifact_uri)
    assert (folder / "config.yaml").read_text() == TEXT
    assert '"rows": 12' in (folder / "facts.json").read_text()
    assert "framework-mlflow" in (folder / "facts.json").read_text()
    assert client.get_model_version("fake_model", "1").run_id == run.id


def test_a_run_that_learned_has_its_model_its_table_and_its_rows_in_the_list(
    options: MlflowOptions,
    registry: MlflowRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def backtest(run: Run) -> dict[str, Any]:
        run.record.facts |= {"panel_digest": "ab" * 16, "rows": 12, "series": 2}
        sides = {"model": {"MAE": 1.23456, "MASE": None}, "baseline": {"MAE": 2.0, "MASE": 1.0}}
        return {"metrics": {**sides, "targets": {"y|z": sides}}}

    run = make_run(options, tmp_path / "run", "backtest", backtest, monkeypatch)
    run.config.components["model"] = Selected(name="lightgbm", options=None)
    run.config.components["source"] = Selected(name="files", options=None)
    execute(run)
    tracked = registry.store.client.get_run(run.id)
    assert tracked.info.run_name == "backtest fake lightgbm"
    assert tracked.data.tags["mlflow.note.content"].splitlines() == [
        "| target | of | MAE | MASE |",
        "| --- | --- | ---: | ---: |",
        "| y\\|z | model | 1.235 | – |",
        "| y\\|z | baseline | 2 | 1 |",
    ]
    (given,) = tracked.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("fake", "ab" * 16)
    assert json.loads(given.dataset.profile) == {"rows": 12, "series": 2}
    assert json.loads(given.dataset.source) == {"source": "files", "views": ["v"]}


@pytest.mark.parametrize(
    ("error", "status", "ended"),
    [
        (RefusedError("worse\nthan before"), "refused", "FAILED"),
        (ValueError("odd"), "failed", "FAILED"),
        (KeyboardInterrupt(), "failed", "KILLED"),
    ],
)
def test_a_failed_run_says_why(
    options: MlflowOptions,
    registry: MlflowRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: str,
    ended: str,
) -> None:
    def promote(run: Run) -> dict[str, Any]:
        verdict = run.directory / "verdict.json"
        verdict.write_text("{}")
        run.record.artifacts.append(verdict)
        raise error

    run = make_run(options, tmp_path / "run", "promote", promote, monkeypatch)
    with pytest.raises(type(error)):
        execute(run)
    tracked = registry.store.client.get_run(run.id)
    assert tracked.info.status == ended
    assert tracked.data.tags["framework.status"] == status
    assert tracked.data.tags["framework.error"] == (
        " ".join(str(error).split()) or "KeyboardInterrupt"
    )
    assert (Path(tracked.info.artifact_uri) / "verdict.json").is_file()


@pytest.mark.parametrize("has_figures", [False, True])
def test_a_typo_leaves_no_run_behind_and_a_late_mistake_does(
    options: MlflowOptions,
    registry: MlflowRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_figures: bool,
) -> None:
    def train(run: Run) -> dict[str, Any]:
        run.record.metrics |= {"backtest.y.MAE": 1.0} if has_figures else {}
        raise ConfigError("panel.targets: 'zz' is not there.")

    run = make_run(options, tmp_path / "run", "train", train, monkeypatch)
    with pytest.raises(ConfigError):
        execute(run)
    tracked = registry.store.client.get_run(run.id)
    assert tracked.info.lifecycle_stage == ("active" if has_figures else "deleted")
    assert tracked.info.status == "FAILED"


def test_looking_leaves_no_run_behind(
    options: MlflowOptions,
    registry: MlflowRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = make_run(options, tmp_path / "run", "pairs", lambda run: {"pairs": []}, monkeypatch)
    before = run.id
    execute(run)
    assert run.id == before
    client = registry.store.client
    assert client.search_runs([e.experiment_id for e in client.search_experiments()]) == []


def test_each_trial_of_a_search_is_a_child_with_its_config_and_folds(
    options: MlflowOptions,
    registry: MlflowRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def tune(run: Run) -> dict[str, Any]:
        values = {"model.depth": 3, "panel.columns": ["a"], "model.kind": "wide"}
        for trial in (
            Trial(0, values, "done", (2.0, 1.5), 1.5, 0.3, "n1"),
            Trial(1, values, "failed", (), None, 0.1, "n1", "it broke"),
        ):
            run.plugins.hook.trial_finished(run=run, trial=trial, config=f"trial: {trial.number}\n")
        return {}

    run = make_run(options, tmp_path / "run", "tune", tune, monkeypatch)
    execute(run)
    client = registry.store.client
    children = client.search_runs(
        [registry.store.experiment_id()],
        f"tags.mlflow.parentRunId = '{run.id}'",
        order_by=["attributes.start_time"],
    )
    done, failed = children
    assert [child.info.status for child in children] == ["FINISHED", "FAILED"]
    assert done.data.params == {"model.depth": "3", "panel.columns": '["a"]', "model.kind": "wide"}
    assert done.data.metrics["value"] == 1.5
    assert [
        (m.step, m.value) for m in client.get_metric_history(done.info.run_id, "objective")
    ] == [(1, 2.0), (2, 1.5)]
    assert (Path(done.info.artifact_uri) / "config.yaml").read_text() == "trial: 0\n"
    assert failed.data.tags["framework.error"] == "it broke"
    assert "value" not in failed.data.metrics
