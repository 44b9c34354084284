"""For tests that fork many runs from one process: MLflow's empty database is made at this import.

A run that is forked afterwards copies it, and so does not make MLflow's migrations again.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from framework_mlflow.paths import sqlite_uri
from framework_mlflow.quiet_mlflow import import_mlflow
from framework_mlflow.store.setup import open_client, set_up

with TemporaryDirectory() as _folder:
    set_up(sqlite_uri(Path(_folder) / "mlflow.db"), lambda uri: open_client(import_mlflow(), uri))
