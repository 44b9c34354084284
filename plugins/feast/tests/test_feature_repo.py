"""The project's Feast repository: the same stores and views as the configuration's, applied by
Feast's own command.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml
from click.testing import CliRunner
from feast import FeatureStore
from feast.cli.cli import cli
from framework_feast.repository.definitions import feast_objects
from omegaconf import OmegaConf

from framework.features.views import FeatureSet
from framework.retrieval.parquet_store import OfflineStore

PROJECT = Path(__file__).parents[3]


FEAST = Path(sys.executable).with_name("feast")


@pytest.mark.parametrize(
    ("file", "state"),
    [("feature_store.yaml", "../state"), ("elsewhere.yaml", "${FRAMEWORK_STATE}")],
)
def test_the_repository_and_the_preset_have_the_same_stores(file: str, state: str) -> None:
    preset = (
        (PROJECT / "conf" / "feature_store" / "local.yaml")
        .read_text()
        .replace("${paths.state}", state)
    )
    assert yaml.safe_load(preset) == yaml.safe_load((PROJECT / "feature_repo" / file).read_text())


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of this project's, with a state of its own."""
    for folder in ("feature_repo", "conf"):
        shutil.copytree(
            PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path / "feature_repo"


def feast(repository: Path, *arguments: str, **environment: str) -> str:
    variables = {**os.environ, **environment}
    done = subprocess.run(
        [FEAST, *arguments],
        cwd=repository,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.stress
def test_the_command_line_follows_another_state(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apply, list, and the interface in a browser."""
    state = str(tmp_path / "data" / "elsewhere")
    feast(repository, "-f", "elsewhere.yaml", "apply", FRAMEWORK_STATE=state)
    assert not (tmp_path / "state").exists()
    monkeypatch.setenv("FRAMEWORK_STATE", state)
    listed = CliRunner().invoke(
        cli,
        ["-c", str(repository), "-f", str(repository / "elsewhere.yaml"), "feature-views", "list"],
    )
    for name in ("carrier_daily", "airport_weather_daily", "airport_hourly"):
        assert name in listed.output
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [FEAST, "-f", "elsewhere.yaml", "ui", "--host", "127.0.0.1", "--port", str(port)]
    with (
        (tmp_path / "ui.log").open("w") as log,
        subprocess.Popen(
            command,
            cwd=repository,
            env={**os.environ, "FRAMEWORK_STATE": state},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            page = _answer(f"http://127.0.0.1:{port}/", process, tmp_path / "ui.log")
        finally:
            process.kill()
    assert page.status_code == 200
    assert "<html" in page.text


def _answer(url: str, process: subprocess.Popen[bytes], log: Path) -> httpx.Response:
    until = time.monotonic() + 120
    while True:
        try:
            return httpx.get(url, timeout=10)
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)


@pytest.mark.stress
def test_feast_apply_registers_the_declared_views(repository: Path, tmp_path: Path) -> None:
    feast(repository, "apply")
    store = FeatureStore(repo_path=str(repository))
    found = {view.name: view for view in store.list_feature_views()}
    declared = [
        FeatureSet.model_validate(OmegaConf.to_container(OmegaConf.load(file)))
        for file in sorted((PROJECT / "conf" / "features").glob("*.yaml"))
    ]
    assert set(found) == {name for features in declared for name in features.views}
    for features in declared:
        for name, view in features.views.items():
            assert found[name].ttl == view.ttl
            assert [f.name for f in found[name].features] == list(view.feature_names())
            assert found[name].join_keys == list(view.entity)
            assert found[name].batch_source.path == str(
                OfflineStore(tmp_path / "state" / "offline").path(name, view)
            )
        for made in feast_objects(features, OfflineStore(tmp_path / "state" / "offline")):
            if made.name in found:
                assert found[made.name] == made
