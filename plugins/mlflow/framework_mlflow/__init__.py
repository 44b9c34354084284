"""``registry=mlflow``: the registry of pairs, and the tracking of runs, on MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from framework.interfaces.plugin import Component, hookimpl
from framework_mlflow.options import MlflowOptions

if TYPE_CHECKING:
    from framework.interfaces.tuner import Trial
    from framework.plugins.run import Run

#: Runs that make or change something, or that say how it went; looking and serving leave no MLflow
#: run behind.
_TRACKED = (
    "ingest",
    "materialize",
    "train",
    "backtest",
    "tune",
    "promote",
    "rollback",
    "alias",
    "reproduce",
    "monitor",
)


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "registry",
            "mlflow",
            "framework_mlflow.registry.registry:MlflowRegistry",
            MlflowOptions,
            "MLflow with a ledger of pairs",
        )
    ]


def _tracks(run: Run) -> bool:
    return run.config.component("registry").name == "mlflow" and run.config.run in _TRACKED


@hookimpl
def run_started(run: Run) -> str | None:
    if not _tracks(run):
        return None
    from framework_mlflow.tracking import runs

    return runs.start(run)


@hookimpl
def run_finished(run: Run, result: dict[str, Any]) -> None:
    if _tracks(run):
        from framework_mlflow.tracking import runs

        runs.finish(run, result)


@hookimpl
def run_failed(run: Run, error: BaseException) -> None:
    if _tracks(run):
        from framework_mlflow.tracking import runs

        runs.fail(run, error)


@hookimpl
def trial_finished(run: Run, trial: Trial, config: str) -> None:
    if _tracks(run):
        from framework_mlflow.tracking import trials

        trials.log_trial(run, trial, config)
