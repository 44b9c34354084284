"""A backup made while others wrote is restored elsewhere, whole; a changed one is refused."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry.registry import MlflowRegistry
from mlflow_cases import check_halves, child, options_in, outcome, register

from framework.errors import DataError, RegistryError
from framework.runs.steps.state_copy import copy_state
from framework.testing.contracts.drafts import make_draft
from framework.testing.servers import command
from framework.testing.servers.postgresql import server


def run(folder: Path, *overrides: str, code: int = 0) -> dict[str, Any]:
    done = command.run(*overrides, cwd=folder)
    assert done.returncode == code, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_an_archive_is_restored_elsewhere_and_a_changed_one_refused(
    registry: MlflowRegistry, tmp_path: Path
) -> None:
    state, archive = tmp_path / "state", tmp_path / "kept" / "monday.tar.gz"
    registry.register(make_draft(tmp_path / "1"), "run 1")
    registry.move("fake", "production", 1, expected=None)
    (state / "ingest").mkdir()
    (state / "ingest" / "notes.json").write_text("{}")

    written = run(tmp_path, "run=backup", f"paths.state={state}", f"backup.output={archive}")
    assert (written["run"], written["status"]) == ("backup", "done")
    assert written["output"] == str(archive)
    assert (
        "backup.output" in run(tmp_path, "run=backup", f"backup.output={archive}", code=2)["error"]
    )

    other = tmp_path / "other"
    restore = ["run=restore", f"paths.state={other}"]
    result = run(tmp_path, *restore, f"restore.input={archive}")
    assert (result["status"], result["pairs"], result["findings"]) == ("done", 1, [])
    elsewhere = [f"paths.state={state}", f"restore.input={archive}"]
    assert "not empty" in run(tmp_path, "run=restore", *elsewhere, code=2)["error"]
    assert (other / "ingest" / "notes.json").read_text() == "{}"
    copy = MlflowRegistry(options_in(other))
    assert copy.fetch(copy.resolve("fake", "production")).model.is_relative_to(other)

    unpacked = tmp_path / "unpacked"
    with tarfile.open(archive) as stream:
        stream.extractall(unpacked, filter="data")
    next(unpacked.rglob("pair.json")).write_text("{}")
    third = ["run=restore", f"paths.state={tmp_path / 'third'}", f"restore.input={unpacked}"]
    refused = run(tmp_path, *third, code=3)
    assert "pair.json was changed" in refused["error"]
    assert not (tmp_path / "third" / "ledger.db").exists()


@pytest.mark.stress
def test_what_is_cut_off_or_changed_is_refused_and_leaves_the_place_empty(
    registry: MlflowRegistry, tmp_path: Path
) -> None:
    state, other = tmp_path / "state", tmp_path / "other"
    registry.register(make_draft(tmp_path / "1"), "run 1")
    big = tmp_path / "big disk"
    (big / "deep").mkdir(parents=True)
    (big / "deep" / "rows.txt").write_text("rows")
    (big / "around").symlink_to(big)
    (state / "offline").symlink_to(big)
    archive = tmp_path / "whole.tar.gz"
    run(tmp_path, "run=backup", f"paths.state={state}", f"backup.output={archive}")
    packed = archive.read_bytes()
    plain, half = gzip.decompress(packed), len(packed) // 2
    damaged = {
        "cut.tar": plain[: len(plain) // 2],
        "empty.tar": b"",
        "changed.tgz": packed[:half] + b"\xff" * 64 + packed[half + 64 :],
    }
    restore = ["run=restore", f"paths.state={other}"]
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        error = run(tmp_path, *restore, f"restore.input={tmp_path / name}", code=3)["error"]
        assert "nothing was restored" in error
        assert "\n" not in error
    assert run(tmp_path, *restore, f"restore.input={archive}")["pairs"] == 1
    assert (other / "offline" / "deep" / "rows.txt").read_text() == "rows"


def test_a_place_without_pairs_is_a_warning(tmp_path: Path) -> None:
    result = run(
        tmp_path, "run=backup", f"paths.state={tmp_path / 'tpyo'}", f"backup.output={tmp_path}/b"
    )
    assert "no pair" in result["warnings"][0]


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "rows").symlink_to(tmp_path / "away")
    with pytest.raises(DataError, match=r"rows: it is a link to what is not there"):
        copy_state(tmp_path / "state", tmp_path / "copy", tmp_path / "state" / "runs")


def test_a_copy_made_among_registrations_is_whole(options: MlflowOptions, tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = MlflowRegistry(options)
    first.register(make_draft(tmp_path / "1"), "run 1")
    writer = child(register, options.model_dump_json(), str(tmp_path / "drafts"), 6)
    counts = []
    for number in range(3):
        folder = tmp_path / f"backup-{number}"
        warnings = MlflowRegistry(options).backup(
            state, folder, lambda to=folder: copy_state(state, to / "state", state / "runs")
        )
        assert warnings == []
        copy = MlflowRegistry(options_in(folder / "state"))
        check = copy.verify()
        assert not [finding for finding in check if not finding.repaired]
        counts.append(len(copy.pairs()))
        check_halves(copy)
    assert outcome(writer) == 0
    assert counts == sorted(counts)


@pytest.fixture
def bucket(s3: Any) -> Iterator[Any]:
    s3.create_bucket(Bucket="kept")
    yield s3
    empty(s3)


def empty(client: Any) -> None:
    for item in client.list_objects_v2(Bucket="kept").get("Contents", []):
        client.delete_object(Bucket="kept", Key=item["Key"])


@pytest.mark.stress
def test_postgresql_and_s3(bucket: Any, tmp_path: Path) -> None:
    state, folder = tmp_path / "state", tmp_path / "backup"
    state.mkdir()
    with server() as place:
        uri = f"postgresql+psycopg://tests@{place}"
        remote = {
            "tracking_uri": uri,
            "ledger": uri,
            "artifact_location": "s3://kept/pairs",
        }
        registry = MlflowRegistry(options_in(state, **remote))
        registry.register(make_draft(tmp_path / "1"), "run 1")
        registry.move("fake", "production", 1, expected=None)
        assert registry.backup(state, folder, lambda: None) == []
        with pytest.raises(RegistryError, match="tables already"):
            registry.restore(folder, "one")
    empty(bucket)
    with server() as place:
        uri = f"postgresql+psycopg://tests@{place}"
        remote |= {"tracking_uri": uri, "ledger": uri}
        again = MlflowRegistry(options_in(tmp_path / "again", **remote))
        again.restore(folder, "one")
        again.restore(folder, "one")  # which was killed after its transaction
        with pytest.raises(RegistryError, match="tables already"):
            again.restore(folder, "two")
        assert again.fetch(again.resolve("fake", "production")).version.version == 1
        assert again.verify() == []
        assert again.register(make_draft(tmp_path / "2"), "run 2").version == 2
        assert again.backup(state, tmp_path / "second", lambda: None) == []
        assert (
            "framework_restored"
            not in (tmp_path / "second" / "registry" / "ledger.sql").read_text()
        )
    assert "PGPASSWORD" not in os.environ


@pytest.mark.stress
def test_databases_outside_the_state_are_restored_again_after_a_kill(
    registry: MlflowRegistry, tmp_path: Path
) -> None:
    folder, away = tmp_path / "backup", tmp_path / "away"
    registry.register(make_draft(tmp_path / "1"), "run 1")
    assert registry.backup(tmp_path / "elsewhere", folder, lambda: None) == []
    again = MlflowRegistry(options_in(away))
    away.mkdir()
    shutil.copy(folder / "registry" / "mlflow.db", away)  # as a killed one leaves it
    again.restore(folder, "one")
    again.restore(folder, "one")
    assert again.fetch(again.resolve("fake", "latest")).version.version == 1
    again.register(make_draft(tmp_path / "2"), "run 2")
    with pytest.raises(RegistryError, match="tables already"):
        again.restore(folder, "one")


@pytest.mark.stress
def test_a_ledger_on_postgresql_is_copied_before_mlflows_file(
    options: MlflowOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, folder, programs = tmp_path / "state", tmp_path / "backup", tmp_path / "programs"
    copy, original = folder / "state" / "mlflow.db", shutil.which("pg_dump")
    programs.mkdir()
    (programs / "pg_dump").write_text(f'#!/bin/sh\n[ ! -e "{copy}" ] && exec {original} "$@"\n')
    (programs / "pg_dump").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    with server() as place:
        changed = {"ledger": f"postgresql+psycopg://tests@{place}"}
        registry = MlflowRegistry(options.model_copy(update=changed))
        registry.register(make_draft(tmp_path / "1"), "run 1")
        warnings = registry.backup(
            state, folder, lambda: copy_state(state, folder / "state", state / "runs")
        )
    assert warnings == []
    assert copy.is_file()
    assert (folder / "registry" / "ledger.sql").is_file()
