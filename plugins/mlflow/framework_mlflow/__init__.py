"""``registry=mlflow``: the registry of pairs, and the tracking of runs, on MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options, SecretUrl

if TYPE_CHECKING:
    from framework.interfaces.tuner import Trial
    from framework.plugins.run import Run

#: Runs that make or change something; looking and serving leave no MLflow run behind.
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
)


class Retention(Options):
    """What ``run=prune`` keeps of each name: pairs under an alias, the ``last`` newest, those that
    had an alias within ``days``.

    ``upload_hours``: files that were stored for a pair that is still not complete after so long are
    those of a process that was killed; ``run=prune`` and ``run=verify`` remove them.
    """

    last: int = Field(default=10, ge=1)
    days: int = Field(default=90, ge=0)
    upload_hours: float = Field(default=24, ge=0)


class MlflowOptions(Options):
    """``tracking_uri``: MLflow's database or server. ``artifact_location``: where pairs are kept: a
    folder, or a URI such as ``s3://bucket/path``.

    ``ledger``: the database that decides which pairs and aliases there are. As SQLite it must be
    another file than MLflow's; on PostgreSQL (``postgresql+psycopg://…``) it may be the same
    database. ``experiment``: MLflow's, of the runs. ``cache``: where pairs of a remote artifact
    store are kept. ``environment``: whether a pair is refused, or only warned about, where Python's
    minor version, or the major version of numpy or of the model's library, is not that of its
    training.
    """

    tracking_uri: SecretUrl = "sqlite:///${paths.state}/mlflow.db"
    artifact_location: str = "${paths.state}/artifacts"
    ledger: SecretUrl = "sqlite:///${paths.state}/ledger.db"
    experiment: str = "${name}"
    cache: str = "${paths.state}/cache"
    environment: Literal["refuse", "warn"] = "refuse"
    retention: Retention = Retention()


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "registry",
            "mlflow",
            "framework_mlflow.registry:MlflowRegistry",
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
    from framework_mlflow import tracking

    return tracking.start(run)


@hookimpl
def run_finished(run: Run, result: dict[str, Any]) -> None:
    if _tracks(run):
        from framework_mlflow import tracking

        tracking.finish(run, result)


@hookimpl
def run_failed(run: Run, error: BaseException) -> None:
    if _tracks(run):
        from framework_mlflow import tracking

        tracking.fail(run, error)


@hookimpl
def trial_finished(run: Run, trial: Trial, config: str) -> None:
    if _tracks(run):
        from framework_mlflow import trials

        trials.log_trial(run, trial, config)
