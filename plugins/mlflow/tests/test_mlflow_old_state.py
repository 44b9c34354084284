"""State folders of earlier commits, which lay elsewhere then: read as they are, and upgraded."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from framework_mlflow.ledger import tables
from framework_mlflow.registry.registry import MlflowRegistry
from mlflow_cases import options_in

from framework.errors import RegistryError
from framework.testing.servers import command

#: Trained by that commit on examples/project with a paths.state …/oldstate, which is not there;
#: with the forecast that it gave.
OLD = Path(__file__).parent / "state_of_46a98f3" / "state.tar.xz"
#: By that commit: a pair that served six weeks of three shops, monitored with ``follow`` and
#: trained again by an alert.
MONITORED = Path(__file__).parent / "state_of_f4d029a" / "state.tar.xz"
EXAMPLE = Path(__file__).parents[3] / "examples" / "project"


def unpacked(archive: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("state"))
    with tarfile.open(archive) as stream:
        stream.extractall(folder, filter="data")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return unpacked(OLD, tmp_path)


def run(folder: Path, *overrides: str) -> dict[str, Any]:
    done = command.run("+experiment=shops", *overrides, cwd=folder)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def forecast(folder: Path) -> pd.DataFrame:
    run(folder, "run=predict", "predict.pair=production", "predict.output=now.parquet")
    return pd.read_parquet(folder / "now.parquet")


def test_it_forecasts_as_it_did_before_and_after_the_upgrade(project: Path) -> None:
    then = pd.read_parquet(project / "state" / "forecast.parquet")
    pd.testing.assert_frame_equal(forecast(project), then)
    changes = run(project, "run=upgrade")["changes"]
    assert [line.partition(":")[0] for line in changes] == ["MLflow", "ledger", "ledger"]
    assert run(project, "run=upgrade")["changes"] == []
    with closing(sqlite3.connect(project / "state" / "ledger.db")) as ledger:
        (source,) = ledger.execute("SELECT model FROM framework_pairs").fetchone()
    assert source.startswith("artifacts/")
    with closing(sqlite3.connect(project / "state" / "mlflow.db")) as database:
        dump = [line for line in database.iterdump() if '"model_versions"' in line]
    assert not any("oldstate" in line for line in dump)
    assert run(project, "run=verify")["findings"] == []
    pd.testing.assert_frame_equal(forecast(project), then)


def test_what_was_served_alerted_and_retrained_is_gone_on_with(tmp_path: Path) -> None:
    folder = unpacked(MONITORED, tmp_path)
    state = folder / "state"
    then = json.loads((state / "monitoring" / "shops.json").read_text())
    found = run(
        folder,
        "run=monitor",
        "monitor.sample=0",
        "monitor.follow=true",
        "+monitor.alerts.rules.error={signal: MAE, above: 0}",
        "monitor.retrain.alerts=[error]",
        "monitor.retrain.cooldown=0s",
    )
    assert found["ledger"] == then["ledger"]  # every forecast is read again
    assert found["live"] == then["live"]
    assert found["levels"] == {"1": then["levels"]["1"] + 1}  # in the form of this version
    assert found["alerts"] == then["alerts"]  # firing since then
    assert found["retrain"] is None  # which has been trained for
    (move,) = (e for e in run(folder, "run=history", "alias=staging")["history"] if e["verdict"])
    assert move["verdict"]["alert"]["name"] == "error"
    pd.testing.assert_frame_equal(forecast(folder), pd.read_parquet(state / "forecast.parquet"))


def test_a_ledger_of_a_later_version_is_refused(registry: MlflowRegistry, tmp_path: Path) -> None:
    assert registry.pairs() == []
    with closing(sqlite3.connect(tmp_path / "state" / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE framework_formats SET number = ?", (tables.FORMAT + 1,))
    with pytest.raises(RegistryError, match="a later version wrote it"):
        MlflowRegistry(options_in(tmp_path / "state")).pairs()
