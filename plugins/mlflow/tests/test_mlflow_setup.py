"""A state folder in every condition: a first command that was killed, what was lost, what was
copied, and what holds a lock.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry.registry import MlflowRegistry
from framework_mlflow.store import setup, store
from mlflow_cases import check_halves, child, options_in, outcome, set_up
from sqlalchemy.exc import OperationalError

import framework.files
from framework.errors import RegistryError
from framework.files import LockedError
from framework.pairs.manifest import HALVES
from framework.testing.contracts.drafts import make_draft

HOLD = """
import sys
from pathlib import Path
from framework.files import exclusive
sys.argv[1:1] = ['run=train']
with exclusive(Path(sys.argv[2]), 'the ledger'):
    print('held', flush=True)
    input()
"""


def texts(options: MlflowOptions) -> list[str]:
    """What a new process finds broken."""
    return [
        finding.text for finding in MlflowRegistry(options).verify("fake") if not finding.repaired
    ]


@pytest.mark.gate_cases(1)
@pytest.mark.parametrize(("statement", "in_place"), [(60, False), (60, True), (150, True)])
def test_after_a_first_command_that_was_killed_the_next_goes_on(
    tmp_path: Path, statement: int, in_place: bool
) -> None:
    """``in_place``: what earlier versions, and MLflow itself, leave behind."""
    options = options_in(tmp_path / "state")
    (tmp_path / "state").mkdir()
    assert outcome(child(set_up, options.model_dump_json(), statement, in_place)) == -9
    assert (tmp_path / "state" / "mlflow.db").exists() == in_place
    registry = MlflowRegistry(options)
    assert registry.register(make_draft(tmp_path / "draft"), "r").version == 1
    check_halves(registry)
    left = {path.name for path in (tmp_path / "state").iterdir()} - {
        "ledger.db",
        "ledger.db.lock",
        "mlflow.db",
        "artifacts",
    }
    assert left == ({"mlflow.db.half-made"} if in_place else set())


def test_a_half_made_database_that_holds_something_is_left_alone(
    options: MlflowOptions, tmp_path: Path
) -> None:
    MlflowRegistry(options).register(make_draft(tmp_path / "draft"), "r")
    state = tmp_path / "state"
    with closing(sqlite3.connect(state / "mlflow.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'older'")
        connection.commit()
    (state / "ledger.db").unlink()
    before = (state / "mlflow.db").read_bytes()
    with pytest.raises(RegistryError, match="MLflow could not open the store"):
        MlflowRegistry(other(options, tmp_path / "state")).register(
            make_draft(tmp_path / "next"), "r"
        )
    assert (state / "mlflow.db").read_bytes() == before


def other(options: MlflowOptions, state: Path) -> MlflowOptions:
    """The same places by another name: MLflow keeps what it opened by its name."""
    (state.parent / "again").symlink_to(state)
    return options_in(state.parent / "again")


def test_nothing_is_verified_in_a_fresh_folder_and_nothing_made_for_it(tmp_path: Path) -> None:
    assert MlflowRegistry(options_in(tmp_path / "state")).verify("fake") == []
    assert not (tmp_path / "state" / "mlflow.db").exists()


def test_what_was_lost_is_named_and_nothing_changed(options: MlflowOptions, tmp_path: Path) -> None:
    """The ledger, MLflow's database, the artifacts: each alone."""
    registry = MlflowRegistry(options)
    registry.register(make_draft(tmp_path / "draft"), "r")
    state = tmp_path / "state"
    for lost, named in (
        ("ledger.db", "was lost, or is another one"),
        ("mlflow.db", "MLflow has no version 1"),
        ("artifacts", "is missing"),
    ):
        kept = state.rename(tmp_path / "kept")
        shutil.copytree(kept, state)
        (shutil.rmtree if lost == "artifacts" else Path.unlink)(state / lost)
        assert [named in text for text in texts(options)] == [True]
        assert [named in text for text in texts(options)] == [True]
        shutil.rmtree(state)
        kept.rename(state)
    assert texts(options) == []
    assert {
        tags["framework.state"]
        for half in HALVES
        for tags in registry.store.versions("fake", half).values()
    } == {"complete"}


def test_a_copied_folder_can_be_verified_and_goes_on(
    options: MlflowOptions, tmp_path: Path
) -> None:
    """The ledger knows MLflow's database by its place: another one is set up under the same lock
    that a writer takes.
    """
    MlflowRegistry(options).register(make_draft(tmp_path / "draft"), "r")
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    there = options_in(tmp_path / "copy")
    assert texts(there) == []
    assert MlflowRegistry(there).register(make_draft(tmp_path / "next"), "r").version == 2


@contextmanager
def somebody_at(path: Path) -> Iterator[int]:
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "held\n"
    try:
        yield owner.pid
    finally:
        owner.communicate("\n")


def test_beside_another_writer_it_ends_and_says_who_that_is(
    options: MlflowOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = MlflowRegistry(options)
    registry.register(make_draft(tmp_path / "draft"), "r")
    monkeypatch.setattr(framework.files, "PATIENCE", 0.5)
    with somebody_at(tmp_path / "state" / "ledger.db.lock") as process:
        for write in (
            lambda: registry.verify("fake"),
            lambda: registry.prune("fake"),
            lambda: registry.move("fake", "a", 1, expected=None),
        ):
            with pytest.raises(
                LockedError, match=rf"the ledger is held by process {process} \(.*run=train\) since"
            ):
                write()
        assert [pair.version for pair in registry.pairs("fake")] == [1]
    assert registry.verify("fake") == []


@pytest.mark.gate_cases(2)
@pytest.mark.parametrize("name", ["50%20 off", "a?b#c", 'it\'s "q" ü', "[a]{b};x=1&y", "e%zz"])
def test_a_folder_may_be_called_anything(tmp_path: Path, empty_database: Path, name: str) -> None:
    """What is written lies below it, and no folder of a misread name beside it."""
    state = tmp_path / name / "state"
    state.mkdir(parents=True)
    shutil.copy(empty_database, state / "mlflow.db")
    registry = MlflowRegistry(options_in(state))
    assert registry.register(make_draft(tmp_path / "draft"), "r").version == 1
    registry.move("fake", "production", 1, expected=None)
    fetched = registry.fetch(registry.resolve("fake", "production"))
    assert state in fetched.model.parents
    assert MlflowRegistry(options_in(state)).verify("fake") == []
    assert {path.name for path in tmp_path.iterdir()} == {name, "draft"}
    assert {path.name for path in state.iterdir()} >= {"ledger.db", "mlflow.db", "artifacts"}


def test_a_database_is_set_up_below_a_folder_with_a_quote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow writes the working folder into its own SQL, where it makes the tables itself."""
    monkeypatch.setattr(setup, "_EMPTY", {})
    project = tmp_path / "it's 50%20 off?"
    project.mkdir()
    monkeypatch.chdir(project)
    assert (
        MlflowRegistry(options_in(Path("state")))
        .register(make_draft(tmp_path / "draft"), "r")
        .version
        == 1
    )
    assert {path.name for path in tmp_path.iterdir()} == {project.name, "draft"}
    assert {path.name for path in project.iterdir()} == {"state"}


def test_a_later_database_of_a_process_is_as_mlflow_would_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is copied from the first, except where the default experiment keeps its artifacts."""

    def rows(place: str) -> dict[str, list[tuple[object, ...]]]:
        monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", place)
        state = tmp_path / place.rpartition("/")[2]
        MlflowRegistry(options_in(state)).store.open()
        with closing(sqlite3.connect(state / "mlflow.db")) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {name: list(connection.execute(f"SELECT * FROM {name}")) for (name,) in names}
        return {name: table for name, table in tables.items() if table}

    def failing(mlflow: object, uri: str) -> None:
        Path(uri.removeprefix("sqlite:///")).write_bytes(b"no database")
        raise OperationalError("CREATE TABLE", {}, Exception("disk full"))

    monkeypatch.setattr(setup, "_EMPTY", {})
    with monkeypatch.context() as broken:
        broken.setattr(store, "open_client", failing)
        with pytest.raises(RegistryError, match="disk full"):
            rows("s3://bucket/failed")
    first, copied = rows("s3://bucket/first"), rows("s3://bucket/copied")
    assert [row[2] for row in copied["experiments"]] == ["s3://bucket/copied/0"]
    assert {name: len(table) for name, table in copied.items()} == {
        name: len(table) for name, table in first.items()
    }
    assert [row[2] for row in first["experiments"]] == ["s3://bucket/first/0"]
