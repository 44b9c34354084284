"""What verify finds, what it puts right, and what it can only tell; what a retention keeps."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from framework_mlflow.options import MlflowOptions, Retention
from framework_mlflow.registry.registry import MlflowRegistry
from framework_mlflow.registry.retention import superfluous
from mlflow_cases import check_halves, child, move, outcome, prune, register

from framework.errors import RefusedError, RegistryError
from framework.interfaces.registry import HistoryEntry, PairVersion
from framework.pairs.manifest import HALVES
from framework.testing.contracts.drafts import make_draft


@pytest.fixture
def registry(options: MlflowOptions, tmp_path: Path) -> MlflowRegistry:
    """Three pairs, the second in production."""
    registry = MlflowRegistry(options)
    for i in range(3):
        registry.register(make_draft(tmp_path / str(i)), "r")
    registry.move("fake", "production", 2, expected=None)
    return registry


def _found(registry: MlflowRegistry) -> list[tuple[str, bool]]:
    return [(finding.text, finding.repaired) for finding in registry.verify()]


def _edit_ledger(registry: MlflowRegistry, statement: str) -> None:
    with sqlite3.connect(registry.options.ledger.removeprefix("sqlite:///")) as connection:
        assert connection.execute(statement).rowcount == 1


def test_a_healthy_registry_has_no_findings(registry: MlflowRegistry) -> None:
    before = registry.history("fake")
    assert registry.verify() == []
    assert registry.verify("unheard-of") == []
    assert registry.history("fake") == before


def test_interrupted_operations_are_finished_and_told(
    registry: MlflowRegistry, tmp_path: Path
) -> None:
    options = registry.options.model_dump_json()
    assert outcome(child(register, options, str(tmp_path), 1, "preprocessor created")) == -9
    assert _found(registry) == [
        ("preprocessor version 4: its registration never completed, or it has no twin", True)
    ]
    assert outcome(child(move, options, "production", 3, 2, "preprocessor alias shown")) == -9
    assert _found(registry) == [
        ("alias 'production' was moved, but MLflow did not show it on both halves", True)
    ]
    assert outcome(child(register, options, str(tmp_path), 1, "committed")) == -9
    assert [text for text, _ in _found(registry)] == [
        "version 5 was registered, but MLflow did not show it as complete"
    ]
    assert registry.verify() == []
    check_halves(registry)
    assert [e.action for e in registry.history("fake")][4:] == [
        "void",
        "move",
        "repair",
        "void",
        "register",
        "repair",
    ]


def test_what_was_changed_by_hand_in_mlflow_is_set_back(
    registry: MlflowRegistry, tmp_path: Path
) -> None:
    store = registry.store
    store.set_alias("fake", "model", "production", 3)
    store.delete_alias("fake", "preprocessor", "production")
    store.set_alias("fake", "model", "champion", 1)
    store.tag("fake", "model", 1, "framework.digest", "0")
    store.create_version("fake", "model", str(tmp_path), registry.resolve("fake", "1").run_id, {})
    found = _found(registry)
    assert all(repaired for _, repaired in found)
    texts = " | ".join(text for text, _ in found)
    assert "model version 4: its registration never completed" in texts
    assert "model version 1: MLflow's tag framework.digest was 0" in texts
    assert "model: MLflow's alias 'production' pointed at version 3, it means version 2" in texts
    assert "preprocessor: MLflow's alias 'production' was gone, it means version 2" in texts
    assert "model: MLflow's alias 'champion' (version 1) was set by hand" in texts
    assert len(found) == 5
    assert registry.verify() == []
    assert registry.register(make_draft(tmp_path / "next"), "r").version == 5
    check_halves(registry)


def test_a_broken_pair_is_told_with_its_alias(registry: MlflowRegistry) -> None:
    fetched = registry.fetch(registry.resolve("fake", "production"))
    (fetched.model / "golden.json").write_text("{}")
    assert [(text.split(" was changed")[0], repaired) for text, repaired in _found(registry)] == [
        ("'fake' version 2: model half: file data/model/golden.json", False)
    ]
    assert _found(registry)[0][0].endswith("(under production)")


def test_an_alias_that_points_at_nothing_is_told_each_time(registry: MlflowRegistry) -> None:
    fetched = registry.fetch(registry.resolve("fake", "production"))
    for half in (fetched.preprocessor, fetched.model):
        shutil.rmtree(half)
    for half in HALVES:
        registry.store.client.delete_model_version(f"fake_{half}", "2")
    for _ in range(3):
        unrepaired = [text for text, repaired in _found(registry) if not repaired]
        assert any("production" in text for text in unrepaired), unrepaired


@pytest.mark.gate_cases(4)
@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (
            "UPDATE framework_history SET reason = 'all good' WHERE number = 4",
            r"history entry 4 of 'fake' \(.*, move\) was changed",
        ),
        (
            "UPDATE framework_history SET at = '2020-01-01' WHERE number = 2",
            r"history entry 2 of 'fake' .* was changed",
        ),
        (
            "DELETE FROM framework_history WHERE number = 2",
            r"history of 'fake': entries 2 to 2 are missing",
        ),
        ("DELETE FROM framework_history WHERE number = 4", r"4 entries were written, 3 are there"),
        (
            "UPDATE framework_history SET hash = 'x' WHERE number = 4",
            r"its last entry is not the one that was written last",
        ),
        (
            "UPDATE framework_aliases SET version = 1",
            r"alias 'production' points at version 1, its last recorded move went to 2",
        ),
        (
            "DELETE FROM framework_aliases",
            r"alias 'production' points at version None, its last recorded move went to 2",
        ),
        (
            "UPDATE framework_pairs SET digest = 'x' WHERE version = 3",
            r"version 3: its digest is x, its registration recorded",
        ),
    ],
)
def test_tampering_with_the_ledger_is_named(
    registry: MlflowRegistry, statement: str, named: str
) -> None:
    _edit_ledger(registry, statement)
    import re

    broken = [text for text, repaired in _found(registry) if not repaired]
    assert any(re.search(named, text) for text in broken), broken


def test_a_replaced_entry_breaks_the_chain(
    registry: MlflowRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody who rewrites an entry with a hash of its own is found by the entry after it."""
    from framework_mlflow.ledger.history import follow

    with registry.ledger.reading() as reader:
        links = reader.links("fake")
    forged = follow(
        2, links[0].hash, HistoryEntry(**{**_fields(links[1].entry), "who": "somebody else"})
    )
    _edit_ledger(
        registry,
        f"UPDATE framework_history SET who = 'somebody else', hash = '{forged.hash}' WHERE "
        "number = 2",
    )
    assert any(
        "history entry 3 of 'fake'" in text and "does not follow" in text
        for text, _ in _found(registry)
    )
    caplog.clear()
    assert registry.history("fake", "production")[0].after == 2
    assert [
        record.levelname
        for record in caplog.records
        if "history entry 3 of 'fake'" in record.getMessage()
    ] == ["WARNING"]


def _fields(entry: HistoryEntry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in HistoryEntry.__dataclass_fields__}


def test_pruning_removes_whole_pairs(
    options: MlflowOptions, registry: MlflowRegistry, tmp_path: Path
) -> None:
    registry.move("fake", "staging", 1, expected=None)
    for i in range(2):
        registry.register(make_draft(tmp_path / f"more{i}"), "r")
    folders = {n: registry.fetch(registry.resolve("fake", str(n))).model for n in (1, 3, 4)}
    strict = MlflowRegistry(options.model_copy(update={"retention": Retention(last=1, days=0)}))
    assert [pair.version for pair in strict.prune("fake")] == [4, 3]
    assert [pair.version for pair in registry.pairs("fake")] == [5, 2, 1]
    assert [folder.exists() for folder in folders.values()] == [True, False, False]
    assert strict.prune("fake") == []
    assert registry.verify() == []
    check_halves(registry)
    with pytest.raises(RegistryError, match="no complete pair of version 4"):
        registry.resolve("fake", "4")
    assert [e.before for e in registry.history("fake") if e.action == "remove"] == [4, 3]
    assert registry.register(make_draft(tmp_path / "next"), "r").version == 6


@pytest.mark.gate_cases(2)
@pytest.mark.parametrize(
    "step", ["before commit", "committed", "preprocessor deleted", "model files deleted"]
)
def test_a_killed_pruning_is_finished(registry: MlflowRegistry, step: str) -> None:
    options = registry.options.model_copy(update={"retention": Retention(last=1, days=0)})
    pair = registry.resolve("fake", "1")
    folder = registry.fetch(pair).model
    assert outcome(child(prune, options.model_dump_json(), step)) == -9
    if step == "before commit":
        registry.fetch(pair)
        return
    with pytest.raises(RefusedError, match="it was removed"):
        registry.fetch(pair)
    assert _found(registry) == [("version 1 was removed, but not all of it was deleted", True)]
    assert not folder.exists()
    assert all(1 not in registry.store.versions("fake", half) for half in HALVES)


def test_retention_keeps_what_was_live_within_its_days() -> None:
    def moved(days_ago: int, to: int) -> HistoryEntry:
        at = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat()
        return HistoryEntry(at, "me", "move", "fake", "production", None, to, None, None, None)

    pairs = [
        PairVersion("fake", n, "", "", "", "", ("production",) if n == 4 else ())
        for n in range(6, 0, -1)
    ]
    refused = HistoryEntry(
        datetime.now(UTC).isoformat(), "me", "refuse", "fake", "staging", None, 5, "worse", {}, None
    )
    history = [moved(100, 1), moved(50, 2), moved(20, 3), moved(5, 4), refused]
    gone = superfluous(pairs, history, Retention(last=1, days=30))
    assert [pair.version for pair in gone] == [5, 1]
    assert [pair.version for pair in superfluous(pairs, history, Retention(last=1, days=60))] == [5]
    assert [pair.version for pair in superfluous(pairs, history, Retention(last=2, days=0))] == [
        3,
        2,
        1,
    ]
