"""A ledger that is older than MLflow's database: nothing is voided, everything is told, and what
is proven can be registered again. Runs of killed commands are ended.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry.registry import MlflowRegistry
from framework_mlflow.store.processes import PROCESS, has_ended, this_process
from framework_mlflow.store.store import COMPLETE, STATE
from mlflow_cases import check_halves, child, outcome

from framework.errors import RegistryError
from framework.testing.contracts.drafts import make_draft


def broken(registry: MlflowRegistry) -> list[str]:
    return [finding.text for finding in registry.verify() if not finding.repaired]


@pytest.fixture
def behind(options: MlflowOptions, tmp_path: Path) -> MlflowRegistry:
    """Three pairs and an alias in MLflow; the ledger is from before the last two and its move."""
    registry = MlflowRegistry(options)
    registry.register(make_draft(tmp_path / "1"), "run 1")
    registry.move("fake", "production", 1, expected=None)
    ledger = tmp_path / "state" / "ledger.db"
    shutil.copy(ledger, tmp_path / "older.db")
    for number in (2, 3):
        registry.register(make_draft(tmp_path / str(number)), f"run {number}")
    registry.move("fake", "production", 3, expected=1)
    (tmp_path / "older.db").replace(ledger)
    return MlflowRegistry(options)


def test_an_older_ledger_is_broken_and_changes_nothing(
    behind: MlflowRegistry, tmp_path: Path
) -> None:
    for _ in range(2):
        (text,) = broken(behind)
        assert "MLflow has 'fake' version 2, 3 as complete" in text
        assert "verify.take_up=true" in text
    with pytest.raises(RegistryError, match="older than MLflow's database"):
        behind.register(make_draft(tmp_path / "4"), "run 4")
    assert behind.store.aliases("fake", "model") == {"production": 3}
    for half in ("preprocessor", "model"):
        states = {n: tags[STATE] for n, tags in behind.store.versions("fake", half).items()}
        assert states == dict.fromkeys((1, 2, 3), COMPLETE)


def test_what_is_proven_is_taken_up(behind: MlflowRegistry, tmp_path: Path) -> None:
    third = behind.read_states(replace(behind.resolve("fake", "1"), version=3))
    changed = Path(third["model"].source) / "data" / "model" / "golden.json"
    content = changed.read_bytes()
    changed.write_text("{}")
    findings = behind.take_up()
    assert [finding.repaired for finding in findings] == [True, False]
    assert "golden.json was changed" in findings[1].text
    assert "version 3 as complete" in broken(behind)[0]
    changed.write_bytes(content)
    assert [finding.repaired for finding in behind.take_up("fake")] == [True]
    assert broken(behind) == []
    assert behind.verify() == []
    assert [pair.version for pair in behind.pairs("fake")] == [3, 2, 1]
    assert behind.history("fake")[-2].reason is not None
    assert behind.register(make_draft(tmp_path / "4"), "run 4").version == 4
    check_halves(behind)


def test_a_lost_ledger_is_taken_up_whole(behind: MlflowRegistry, tmp_path: Path) -> None:
    (tmp_path / "state" / "ledger.db").unlink()
    anew = MlflowRegistry(behind.options)
    assert "version 1, 2, 3 as complete" in broken(anew)[0]
    assert [finding.repaired for finding in anew.take_up()] == [True, True, True]
    assert broken(anew) == []
    assert anew.fetch(anew.resolve("fake", "latest")).version.version == 3


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE framework_aliases SET version = 9, mirrored = 0", "which is no pair"),
        ("UPDATE framework_aliases SET version = 2, mirrored = 0", "its last recorded move"),
        ("UPDATE framework_pairs SET digest = 'f00' WHERE version = 2", "its digest is f00"),
    ],
)
def test_nothing_is_repaired_from_a_forged_row(
    options: MlflowOptions, tmp_path: Path, statement: str, said: str
) -> None:
    registry = MlflowRegistry(options)
    for number in (1, 2):
        registry.register(make_draft(tmp_path / str(number)), "run")
    registry.move("fake", "production", 1, expected=None)
    before = {half: registry.store.versions("fake", half) for half in ("preprocessor", "model")}
    with closing(sqlite3.connect(tmp_path / "state" / "ledger.db")) as ledger, ledger:
        ledger.execute(statement)
    for _ in range(2):
        assert any(said in text for text in broken(registry))
    assert registry.store.aliases("fake", "model") == {"production": 1}
    after = {half: registry.store.versions("fake", half) for half in ("preprocessor", "model")}
    assert after == before


def begin_and_die(options: str) -> None:
    registry = MlflowRegistry(MlflowOptions.model_validate_json(options))
    registry.store.start_run({"mlflow.runName": "train fake", PROCESS: this_process()})
    os.kill(os.getpid(), signal.SIGKILL)


def test_runs_of_killed_commands_are_ended(registry: MlflowRegistry) -> None:
    mine = registry.store.start_run({PROCESS: this_process()})
    assert outcome(child(begin_and_die, registry.options.model_dump_json())) == -9
    (finding,) = registry.verify()
    assert (finding.repaired, "train fake" in finding.text) == (True, True)
    assert registry.verify() == []
    assert registry.store.client.get_run(mine).info.status == "RUNNING"
    assert not has_ended("elsewhere/pid:[1] boot 1 2")
