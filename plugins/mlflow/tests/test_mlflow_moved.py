"""A state folder that is moved or copied: its pairs lie in it, and nothing of the first is read or
written.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry.registry import MlflowRegistry
from mlflow_cases import options_in

from framework.errors import RefusedError
from framework.interfaces.registry import ProvenPair
from framework.testing.contracts.drafts import make_draft


def proven(registry: MlflowRegistry, reference: str = "latest") -> ProvenPair:
    return registry.fetch(registry.resolve("fake", reference))


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def made_absolute(folder: Path) -> None:
    """Write the ledger's sources as earlier versions did."""
    with closing(sqlite3.connect(folder / "ledger.db")) as connection, connection:
        for half in ("preprocessor", "model"):
            connection.execute(
                f"UPDATE framework_pairs SET {half} = ? || '/' || {half}", (str(folder),)
            )


@pytest.mark.parametrize("old", [False, True])
def test_a_copy_reads_and_writes_its_own_files_alone(
    registry: MlflowRegistry, options: MlflowOptions, tmp_path: Path, old: bool
) -> None:
    state, copy = tmp_path / "state", tmp_path / "elsewhere" / "a b%20c"
    registry.register(make_draft(tmp_path / "1"), "run 1")
    registry.move("fake", "production", 1, expected=None)
    if old:
        made_absolute(state)
    shutil.copytree(state, copy)
    before = hashes(state)
    other = MlflowRegistry(options_in(copy))
    assert proven(other, "production").model.is_relative_to(copy)
    second = other.register(make_draft(tmp_path / "2"), "run 2")
    assert second.version == 2
    assert proven(other).model.is_relative_to(copy)
    other.move("fake", "production", 2, expected=1)
    assert other.verify() == []
    assert hashes(state) == before
    shutil.rmtree(state)
    assert [proven(other, number).version.version for number in "12"] == [1, 2]
    uri = f"{other.store.uri}"
    for version in other.store.client.search_model_versions("name = 'fake_model'"):
        local = mlflow.artifacts.download_artifacts(version.source, tracking_uri=uri)
        assert Path(local).is_relative_to(copy)


def test_a_moved_folder_is_read_before_anything_is_written(
    registry: MlflowRegistry, tmp_path: Path
) -> None:
    registry.register(make_draft(tmp_path / "1"), "run 1")
    moved = (tmp_path / "state").rename(tmp_path / "state" / ".." / "moved")
    before = hashes(moved)
    assert proven(MlflowRegistry(options_in(moved.resolve()))).model.is_relative_to(moved.resolve())
    assert hashes(moved) == before


def test_a_folder_that_comes_back_writes_below_itself(
    registry: MlflowRegistry, tmp_path: Path
) -> None:
    registry.register(make_draft(tmp_path / "1"), "run 1")
    (tmp_path / "state").rename(tmp_path / "moved")
    MlflowRegistry(options_in(tmp_path / "moved")).register(make_draft(tmp_path / "2"), "run 2")
    (tmp_path / "moved").rename(tmp_path / "state")
    back = MlflowRegistry(options_in(tmp_path / "state"))
    back.register(make_draft(tmp_path / "3"), "run 3")
    assert not (tmp_path / "moved").exists()
    assert back.verify() == []
    assert len(back.pairs("fake")) == 3


def test_a_copy_without_its_files_does_not_read_the_first(
    registry: MlflowRegistry, tmp_path: Path
) -> None:
    registry.register(make_draft(tmp_path / "1"), "run 1")
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "state", copy)
    shutil.rmtree(copy / "artifacts")
    with pytest.raises(RefusedError, match=f"{copy}.* is missing"):
        proven(MlflowRegistry(options_in(copy)))
