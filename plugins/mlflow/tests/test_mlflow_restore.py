"""A restore that is killed at any step is begun again by the same command, and overwrites nothing
that came later.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from framework_mlflow.registry.registry import MlflowRegistry
from mlflow_cases import check_halves, child, options_in, outcome

from framework.testing.contracts.drafts import make_draft
from framework.testing.servers import command

#: What Python does to a file system, as its audit events name it.
EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "sqlite3.connect")


def run(folder: Path, *overrides: str, code: int = 0) -> dict[str, Any]:
    done = command.run(*overrides, cwd=folder)
    assert done.returncode == code, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def restoring(overrides: list[str], folder: Path, place: Path, die_at: int) -> None:
    """Run a command that is killed before it does something below ``place`` for the ``die_at``th
    time; the steps that it did go to the file ``steps`` in ``folder``.
    """
    steps: list[str] = []

    def step(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event != "open" or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if event in EVENTS and writes and str(place) in str(arguments[0]):
            steps.append(f"{event} {arguments[0]}")
            if len(steps) == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(step)
    try:
        command._main(overrides, str(folder), os.environ, (folder / "out", folder / "err"), False)
    finally:
        (folder / "steps").write_text("\n".join(steps))


@pytest.fixture
def backup(registry: MlflowRegistry, tmp_path: Path) -> list[str]:
    """The command that restores a backup with a pair under an alias."""
    archive, other = tmp_path / "monday.tar", tmp_path / "other"
    registry.register(make_draft(tmp_path / "1"), "run 1")
    registry.move("fake", "production", 1, expected=None)
    run(tmp_path, "run=backup", f"paths.state={tmp_path / 'state'}", f"backup.output={archive}")
    return ["run=restore", f"paths.state={other}", f"restore.input={archive}"]


def steps_of(restore: list[str], folder: Path) -> list[str]:
    """The steps of a restore that nobody kills."""
    assert outcome(child(restoring, restore, folder, folder / "other", 0)) == 0
    return (folder / "steps").read_text().splitlines()


def check_killed(restore: list[str], folder: Path, step: int) -> None:
    shutil.rmtree(folder / "other", ignore_errors=True)
    assert outcome(child(restoring, restore, folder, folder / "other", step)) == -9
    result = run(folder, *restore)
    assert (result["status"], result["pairs"], result["findings"]) == ("done", 1, [])
    copy = MlflowRegistry(options_in(folder / "other"))
    assert copy.fetch(copy.resolve("fake", "production")).model.is_relative_to(folder / "other")
    assert not (folder / "other" / ".restoring").exists()


@pytest.mark.stress
def test_a_restore_that_is_killed_when_all_is_in_place_goes_on(
    backup: list[str], tmp_path: Path
) -> None:
    steps = steps_of(backup, tmp_path)
    verifying = next(n for n, step in enumerate(steps) if step.startswith("sqlite3.connect"))
    check_killed(backup, tmp_path, verifying + 1)
    check_killed(backup, tmp_path, len(steps))


@pytest.mark.stress
def test_a_restore_that_is_killed_at_any_step_goes_on(backup: list[str], tmp_path: Path) -> None:
    """Of the many steps of one kind in one folder, the first two."""
    steps = [step.replace(str(tmp_path / "other"), "") for step in steps_of(backup, tmp_path)]
    kinds = ["/".join(step.split("/")[:3]).partition("-")[0] for step in steps]
    numbers = [n for n, kind in enumerate(kinds, 1) if kinds[: n - 1].count(kind) < 2]
    assert len(numbers) > 20
    for number in numbers:
        check_killed(backup, tmp_path, number)
    check_halves(MlflowRegistry(options_in(tmp_path / "other")))


def test_a_restore_overwrites_nothing_that_came_later(backup: list[str], tmp_path: Path) -> None:
    other, archive = tmp_path / "other", Path(backup[-1].partition("=")[2])
    with tarfile.open(archive) as stream:
        stream.extractall(tmp_path / "unpacked", filter="data")
    (other / ".restoring").mkdir(parents=True)  # as a killed one leaves it
    shutil.copy(tmp_path / "unpacked" / "state" / "mlflow.db", other)
    (other / "notes.txt").write_text("somebody's")
    assert "not empty (it has notes.txt)" in run(tmp_path, *backup, code=2)["error"]
    (other / "notes.txt").unlink()
    assert run(tmp_path, *backup)["pairs"] == 1
    (other / "ledger.db.lock").touch()
    assert run(tmp_path, *backup)["pairs"] == 1  # nothing was changed since

    later = MlflowRegistry(options_in(other))
    later.register(make_draft(tmp_path / "2"), "run 2")
    assert "not empty" in run(tmp_path, *backup, code=2)["error"]
    assert not (other / ".restoring").exists()
    (other / ".restoring").mkdir()
    assert "not empty" in run(tmp_path, *backup, code=2)["error"]
    assert len(later.pairs()) == 2
