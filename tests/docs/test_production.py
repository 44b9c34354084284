"""The page on production shows one configuration: it composes, and holds no secret."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from framework.testing.servers import command

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/production.md").read_text()
SERVERS = {
    "MLFLOW_TRACKING_URI": "https://mlflow.example.org",
    "ARTIFACTS": "s3://forecasts/pairs",
    "REGISTRY_URL": "postgresql+psycopg://registry:hunter2@db.example.org/registry",
    "LEDGER_URL": "postgresql://ledger:hunter2@db.example.org/forecasts",
    "FEAST_REGISTRY_URL": "postgresql+psycopg://feast:hunter2@db.example.org/feast",
    "REDIS": "redis.example.org:6379,password=hunter2,ssl=true",
    "PGHOST": "db.example.org",
    "PGDATABASE": "features",
    "PGUSER": "features",
    "PGPASSWORD": "hunter2",
    "SIGN_KEY": "hunter2",
    "TRUST": "sign.pub",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The example's project with the files of the page."""
    shutil.copytree(ROOT / "examples" / "project", tmp_path, dirs_exist_ok=True)
    for path, text in re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_the_configuration_of_the_page_composes_for_any_experiment(project: Path) -> None:
    environment = {**os.environ, **SERVERS}
    done = command.run("+experiment=shops", "run=plugins", cwd=project, env=environment)
    assert done.returncode == 0, done.stderr
    done = command.run("+experiment=shops", "--cfg", "job", cwd=project, env=environment)
    composed = OmegaConf.create(done.stdout)
    assert [composed[group].name for group in ("retrieval", "registry", "ledger")] == [
        "feast",
        "mlflow",
        "postgresql",
    ]
    assert composed.feature_store.online_store.type == "redis"
    assert "hunter2" not in done.stdout


def test_a_machine_without_a_secret_is_told_which(project: Path) -> None:
    environment = {**os.environ, **SERVERS}
    for missing in ("REGISTRY_URL", "LEDGER_URL", "PGPASSWORD"):
        without = {name: value for name, value in environment.items() if name != missing}
        done = command.run("+experiment=shops", "run=plugins", cwd=project, env=without)
        assert done.returncode == 2
        assert f"the environment variable {missing} is not set" in done.stderr


def test_every_variable_of_the_page_is_explained() -> None:
    used = set(re.findall(r"oc\.env:(\w+)", PAGE)) - {"PGPORT"}
    assert used == SERVERS.keys()
    table = PAGE[PAGE.index("| variable |") :]
    assert used <= set(re.findall(r"`(\w+)`", table))
