"""Files of a registration that was killed are found and removed; those of one that is under way are
left alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from framework_mlflow.options import MlflowOptions, Retention
from framework_mlflow.registry.registry import MlflowRegistry
from mlflow_cases import check_halves, child, outcome, prune, register

from framework.errors import RegistryError
from framework.testing.contracts.drafts import make_draft

#: As if a day had passed: whatever is not complete is too old to be under way.
AT_ONCE = Retention(upload_hours=0)


@pytest.fixture
def late(options: MlflowOptions) -> MlflowRegistry:
    return MlflowRegistry(options.model_copy(update={"retention": AT_ONCE}))


def _uploads(registry: MlflowRegistry) -> list[Path]:
    """The folders of pairs, complete or not."""
    return sorted(Path(registry.options.artifact_location).glob("*/artifacts/pairs/*"))


def _kill(registry: MlflowRegistry, folder: Path, step: str) -> str:
    """The id of a pair whose registration was killed."""
    assert outcome(child(register, registry.options.model_dump_json(), str(folder), 1, step)) == -9
    with registry.ledger.reading() as reader:
        return reader.uploads("fake")[-1].pair_id


@pytest.mark.parametrize("step", ["announced", "preprocessor created"])
def test_the_upload_of_a_killed_registration_is_removed(
    registry: MlflowRegistry, late: MlflowRegistry, tmp_path: Path, step: str
) -> None:
    kept = registry.register(make_draft(tmp_path / "first"), "r")
    killed = _kill(registry, tmp_path, step)
    there = {kept.pair_id} if step == "announced" else {kept.pair_id, killed}
    assert {folder.name for folder in _uploads(registry)} == there

    assert not [finding for finding in registry.verify() if killed in finding.text]
    assert registry.prune("fake") == []
    assert {
        folder.name for folder in _uploads(registry)
    } == there  # it may be under way on another machine

    told = [finding for finding in late.verify() if killed in finding.text]
    assert [
        (finding.repaired, finding.text.endswith("never completed its pair")) for finding in told
    ] == [(True, True)]
    assert [folder.name for folder in _uploads(registry)] == [kept.pair_id]
    assert late.verify() == []
    assert [entry.action for entry in registry.history("fake") if killed in str(entry.reason)] == [
        "remove"
    ]
    registry.register(make_draft(tmp_path / "next"), "r")
    check_halves(registry)


def test_pruning_removes_it_too_and_a_killed_pruning_is_finished(
    registry: MlflowRegistry, late: MlflowRegistry, tmp_path: Path
) -> None:
    kept = registry.register(make_draft(tmp_path / "first"), "r")
    killed = _kill(registry, tmp_path, "uploaded")
    assert (
        outcome(child(prune, late.options.model_dump_json(), "preprocessor upload deleted")) == -9
    )
    assert {folder.name for folder in _uploads(registry)} == {kept.pair_id, killed}
    assert [finding.text.split(": ")[0] for finding in registry.verify()] == [f"upload {killed}"]
    assert [folder.name for folder in _uploads(registry)] == [kept.pair_id]
    _kill(registry, tmp_path / "again", "uploaded")
    assert late.prune("fake") == []
    assert [folder.name for folder in _uploads(registry)] == [kept.pair_id]
    assert registry.verify() == []


def test_a_registration_whose_upload_was_given_up_fails_and_leaves_no_half(
    registry: MlflowRegistry, late: MlflowRegistry, tmp_path: Path
) -> None:
    """The clock of one machine may be wrong, or an upload take a day: no pair may come to be whose
    files are gone.
    """

    def meanwhile(step: str) -> None:
        if step == "uploaded":
            assert len(late.verify()) == 1

    registry.step = meanwhile
    with pytest.raises(RegistryError, match=r"given up.*registry\.retention\.upload_hours"):
        registry.register(make_draft(tmp_path / "draft"), "r")
    assert registry.pairs("fake") == []
    assert _uploads(registry) == []
    registry.step = lambda _: None
    assert registry.register(make_draft(tmp_path / "draft2"), "r").version == 1
    assert registry.verify() == late.verify() == []


def test_a_ledger_of_before_gets_the_table(registry: MlflowRegistry, tmp_path: Path) -> None:
    import sqlite3

    first = registry.register(make_draft(tmp_path / "first"), "r")
    with sqlite3.connect(registry.options.ledger.removeprefix("sqlite:///")) as connection:
        connection.execute("DROP TABLE framework_uploads")
    opened = MlflowRegistry(registry.options)
    assert opened.pairs("fake") == [first]
    assert opened.register(make_draft(tmp_path / "second"), "r").version == 2
