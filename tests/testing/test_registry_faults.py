"""The contract suite of registries lets a right one pass, a stranger's registry in a folder, and
names what is wrong with each of a dozen faulty ones.
"""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from framework.interfaces.registry import (
    Finding,
    HistoryEntry,
    PairVersion,
    ProvenPair,
    Registry,
)
from framework.testing.contracts.drafts import install_fakes
from framework.testing.contracts.registry import RegistryContract
from framework.testing.failing import failing_checks

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "third_party_registry"))
from framework_folder import FolderOptions
from framework_folder.registry import FolderRegistry


class TestFolder(RegistryContract):
    @pytest.fixture
    def registry(self, tmp_path: Path) -> Registry:
        return FolderRegistry(FolderOptions(folder=tmp_path / "pairs"))

    @pytest.fixture
    def sparing(self, tmp_path: Path) -> Registry:
        return FolderRegistry(FolderOptions(folder=tmp_path / "sparing", keep=1))


class LocksNobodyOut(FolderRegistry):
    def _folders(self, name: str) -> list[int]:
        folders = super()._folders(name)
        time.sleep(0.02)  # somebody else registers meanwhile
        return folders

    def _locked(self, name: str) -> Any:
        self._place(name).mkdir(parents=True, exist_ok=True)
        return nullcontext()


class MovesWhateverIsExpected(FolderRegistry):
    def move(self, name: str, alias: str, to: int, **how: Any) -> HistoryEntry:
        how["expected"] = self._aliases(name).get(alias)
        return super().move(name, alias, to, **how)


class ProvesNothing(FolderRegistry):
    def fetch(self, version: PairVersion) -> ProvenPair:
        place = self._place(version.name) / str(version.version)
        return ProvenPair(version, place / "preprocessor", place / "model", "")


class TakesAnyAlias(FolderRegistry):
    def move(self, name: str, alias: str, to: int, **how: Any) -> HistoryEntry:
        before = self._aliases(name).get(alias)
        return self._remember("move", name, alias, before, to, how.get("reason"))


class ForgetsTheVerdict(FolderRegistry):
    def _remember(self, *arguments: Any, **fields: Any) -> HistoryEntry:
        entry = super()._remember(*arguments[:6], **fields)
        return replace(entry, verdict=None)


class PrunesWhatAnswers(FolderRegistry):
    def prune(self, name: str) -> list[PairVersion]:
        pairs = self.pairs(name)[1:]
        for pair in pairs:
            self._remember("void", name, after=pair.version)
            shutil.rmtree(self._place(name) / str(pair.version))
        return pairs


class UsesANumberAgain(FolderRegistry):
    def _next(self, name: str) -> int:
        return next(number for number in count(1) if number not in self._versions(name))


class PruneForgetsTheHistory(FolderRegistry):
    def prune(self, name: str) -> list[PairVersion]:
        pairs = super().prune(name)
        path = self._place(name) / "history.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[1:]))
        return pairs


class FindsNothing(FolderRegistry):
    def verify(self, name: str | None = None) -> list[Finding]:
        return []


class SaysThatItRepaired(FolderRegistry):
    def verify(self, name: str | None = None) -> list[Finding]:
        return [Finding(f.name, f.text, repaired=True) for f in super().verify(name)]


class FindsSomethingEachNight(FolderRegistry):
    def verify(self, name: str | None = None) -> list[Finding]:
        return [*super().verify(name), Finding(name or "all", "looked", repaired=False)]


class RaisesKeyErrors(FolderRegistry):
    def resolve(self, name: str, reference: str) -> PairVersion:
        if reference == "latest":
            return super().resolve(name, reference)
        pairs = {str(pair.version): pair for pair in self.pairs(name)}
        return pairs[str(self._aliases(name).get(reference, reference.removeprefix("v")))]


class ListsTheOldestFirst(FolderRegistry):
    def pairs(self, name: str | None = None) -> list[PairVersion]:
        return super().pairs(name)[::-1]


class RefusalsMove(FolderRegistry):
    def refuse(self, name: str, alias: str, version: int, *why: Any) -> HistoryEntry:
        entry = super().refuse(name, alias, version, *why)
        self._remember("move", name, alias, entry.before, version)
        return entry


PARALLEL = "test_parallel_registrations_get_numbers_of_their_own"
TOLD = "test_a_mover_who_expected_otherwise_is_told"
CHANGED = "test_a_changed_byte_is_refused_and_named"
FOUND = "test_what_was_changed_is_found_and_not_repaired"
HALF = "test_a_half_of_another_pair_is_refused"
NO_ALIAS = "test_a_name_that_means_a_version_is_no_alias"
COMPLETE = "test_only_a_complete_pair_gets_an_alias"
MOVES = "test_an_alias_moves_and_is_remembered"
REFUSAL = "test_a_refusal_is_remembered_and_moves_nothing"
PRUNE = "test_pruning_keeps_what_an_alias_means_and_the_history"
VERIFIES = "test_an_untouched_registry_verifies"
NUMBERS = "test_numbers_rise_and_latest_is_the_newest"


@pytest.mark.parametrize(
    ("kind", "checks", "words"),
    [
        (LocksNobodyOut, {PARALLEL}, "the number is chosen before a lock is held"),
        (MovesWhateverIsExpected, {TOLD}, "where it no longer is, where somebody moved"),
        (ProvesNothing, {CHANGED, HALF, FOUND}, "one byte of its preprocessor changed is not"),
        (TakesAnyAlias, {NO_ALIAS, COMPLETE, TOLD}, "the alias 'latest', which means a version"),
        (ForgetsTheVerdict, {MOVES, REFUSAL}, "gives the verdict None"),
        (PrunesWhatAnswers, {PRUNE}, "removes a pair under an alias"),
        (UsesANumberAgain, {PRUNE}, "a number is never used again"),
        (PruneForgetsTheHistory, {PRUNE}, "prune changes the history"),
        (FindsNothing, {FOUND}, "verify finds nothing though a byte"),
        (SaysThatItRepaired, {FOUND}, "says that it repaired a changed byte"),
        (FindsSomethingEachNight, {VERIFIES}, "an operator who is told of nothing every night"),
        (RaisesKeyErrors, {COMPLETE}, "raises KeyError, not framework.errors.RegistryError"),
        (ListsTheOldestFirst, {NUMBERS}, "newest first"),
        (RefusalsMove, {REFUSAL}, "leaves the alias 'production' at version 2"),
    ],
)
def test_a_fault_is_named_by_the_check_that_fails(
    kind: type[Registry],
    checks: set[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(install_fakes(tmp_path / "site"))

    def make(folder: Path) -> Registry:
        return kind(FolderOptions(folder=folder / "pairs", keep=1))

    failures = failing_checks(
        RegistryContract(), tmp_path / "checks", {"registry": make, "sparing": make}, checks
    )
    assert set(failures) == checks, failures
    assert any(words in message for message in failures.values()), failures
