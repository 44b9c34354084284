"""MLflow without its telemetry, progress bars and migration logs: standard output and error belong
to the run.
"""

from __future__ import annotations

import logging
import os
from typing import Any

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


def import_mlflow() -> Any:
    """The module, imported on first use: it takes seconds."""
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    import mlflow

    for name, level in {
        "mlflow": logging.WARNING,
        "mlflow.store.db.utils": logging.CRITICAL,
        "alembic": logging.WARNING,
    }.items():
        # The database layer logs a traceback for every lock that it did not get; such a call is
        # repeated, or its error shown in one line.
        logging.getLogger(name).setLevel(level)
    return mlflow
