"""Every trial of a search as a child run: its config, its values, the objective after each fold,
and how it ended.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from framework.interfaces.tuner import DONE, FAILED, Trial
from framework_mlflow.tracking.runs import store_of

if TYPE_CHECKING:
    from framework.plugins.run import Run


def log_trial(run: Run, trial: Trial, config: str) -> None:
    """Below the run of the search, which MLflow shows as its parent."""
    store = store_of(run)
    tags = {
        "mlflow.runName": f"trial {trial.number}",
        "mlflow.source.name": "framework",
        "framework.run": "trial",
        "framework.trial": str(trial.number),
        "framework.status": trial.status,
        "framework.node": trial.node,
    }
    if store.has_run(run.id):
        tags["mlflow.parentRunId"] = run.id
    if trial.error:
        tags["framework.error"] = trial.error[:5000]
    identity, now = store.start_run(tags), int(time.time() * 1000)
    metrics = [("objective", value, now, fold + 1) for fold, value in enumerate(trial.folds)]
    metrics.append(("seconds", trial.seconds, now, 0))
    if trial.status == DONE and trial.value is not None:
        metrics.append(("value", trial.value, now, 0))
    params = {
        path: value if isinstance(value, str) else json.dumps(value)
        for path, value in trial.values.items()
    }
    store.log_batch(
        identity, metrics=metrics, params={path: text[:500] for path, text in params.items()}
    )
    store.client.log_text(identity, config, "config.yaml")
    store.client.set_terminated(identity, "FAILED" if trial.status == FAILED else "FINISHED")
