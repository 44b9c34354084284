"""Registries on databases that are set up once a session: MLflow's migrations take seconds."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry.registry import MlflowRegistry

from framework.plugins.components import installed
from framework.testing.contracts.drafts import install_fakes

sys.path.insert(0, str(Path(__file__).parent))  # child processes import mlflow_cases too
from mlflow_cases import options_in


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's SQLite file with its tables and nothing in them."""
    folder = tmp_path_factory.mktemp("empty")
    MlflowRegistry(options_in(folder)).store.client.get_experiment("0")
    return folder / "mlflow.db"


@pytest.fixture
def options(tmp_path: Path, empty_database: Path) -> MlflowOptions:
    folder = tmp_path / "state"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    return options_in(folder)


@pytest.fixture
def registry(options: MlflowOptions) -> MlflowRegistry:
    return MlflowRegistry(options)


@pytest.fixture
def site(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The fakes as an installed plugin, for this process and its children."""
    place = install_fakes(tmp_path_factory.mktemp("site"))
    monkeypatch.syspath_prepend(place)
    installed.cache_clear()
    yield place
    installed.cache_clear()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an S3 store of its own, which this process's environment names."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    host, port = server.get_host_and_port()
    for key, value in {
        "MLFLOW_S3_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(key, value)
    yield boto3.client("s3")
    server.stop()
