"""The contract of a registry: subclass :class:`RegistryContract` in your plugin's tests and give it
the fixture ``registry``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from framework.errors import FrameworkError, RefusedError, RegistryError
from framework.interfaces.registry import HistoryEntry, PairDraft, Registry
from framework.pairs.loading import load_pair
from framework.plugins.discovery import load_plugins
from framework.testing import fakes
from framework.testing.contracts.drafts import make_draft
from framework.testing.contracts.findings import refusal, same_bits
from framework.testing.contracts.tampering import TamperingContract


class RegistryContract(TamperingContract):
    """The promises of every registry. ``registry`` is a new, empty one for each test; ``sparing``
    is one, too, which keeps as few pairs as its options allow when it is pruned.

    A refusal is judged by its class and by the names in it, not by its words.
    """

    @pytest.fixture
    def sparing(self, registry: Registry) -> Registry:
        """Give a new, empty registry whose options keep the fewest pairs; a subclass whose registry
        has options of retention overrides it.

        Args:
            registry: The registry of the other checks.

        Returns:
            The registry.
        """
        return registry

    def expect_history(
        self, registry: Registry, actions: Sequence[tuple[str, int | None, int | None]], doing: str
    ) -> list[HistoryEntry]:
        """Check what a registry remembers of the name ``fake``.

        Args:
            registry: The registry.
            actions: Action, version before and after of each entry, oldest first.
            doing: What was done, as the subject of a sentence.

        Returns:
            The entries.

        Raises:
            AssertionError: It remembers something else.
        """
        entries = registry.history("fake")
        actual = [(e.action, e.before, e.after) for e in entries]
        assert actual == list(actions), (
            f"{doing} leaves the history {actual} of action, version before and after, oldest "
            f"first; it is to be {list(actions)}."
        )
        return entries

    def expect_alias(self, registry: Registry, version: int, doing: str) -> None:
        """Check what the alias ``production`` means.

        Args:
            registry: The registry.
            version: What it is to mean.
            doing: What was done, as the subject of a sentence.

        Raises:
            AssertionError: It means something else.
        """
        actual = registry.resolve("fake", "production").version
        assert actual == version, (
            f"{doing} leaves the alias 'production' at version {actual}, not at {version}."
        )

    def test_an_empty_registry_says_that_it_is_empty(self, registry: Registry) -> None:
        pairs, history = registry.pairs(), registry.history("fake")
        assert (pairs, history) == ([], []), (
            f"a new registry lists {pairs} and remembers {history}: the fixture 'registry' gives "
            "one that others have used, or the registry finds what is not its own."
        )
        refusal(
            lambda: registry.resolve("fake", "latest"),
            RegistryError,
            "the newest pair of a name in an empty registry",
            "fake",
        )

    def test_numbers_rise_and_latest_is_the_newest(
        self, registry: Registry, tmp_path: Path
    ) -> None:
        versions = self.registered(registry, tmp_path, 3)
        numbers, runs = [p.version for p in versions], [p.run_id for p in versions]
        assert numbers == [1, 2, 3], f"three pairs of a new name get the numbers {numbers}."
        assert runs == ["run0", "run1", "run2"], f"the run ids of three pairs come back as {runs}."
        for field in ("pair_id", "digest"):
            values = {getattr(p, field) for p in versions}
            assert len(values) == 3, (
                f"three pairs of equal content have {len(values)} different values of {field}; it "
                "tells pairs apart: make_manifest covers the pair's id and run."
            )
        entries = registry.pairs("fake")
        assert entries == versions[::-1], (
            f"pairs('fake') lists {[p.version for p in entries]}, with the digests "
            f"{[p.digest[:6] for p in entries]}; it is to be what register gave, newest first."
        )
        for reference, version in (("latest", 3), ("2", 2), ("v2", 2)):
            actual = registry.resolve("fake", reference)
            assert actual == versions[version - 1], (
                f"resolve('fake', '{reference}') gives {actual}, not what register gave of "
                f"version {version}."
            )

    def test_names_are_independent(self, registry: Registry, tmp_path: Path) -> None:
        one, other = (
            registry.register(make_draft(tmp_path / "a", "one"), "r"),
            registry.register(make_draft(tmp_path / "b", "other"), "r"),
        )
        numbers = (one.version, other.version)
        assert numbers == (1, 1), f"the first pairs of two names get the numbers {numbers}, not 1."
        entries = registry.pairs("one")
        assert entries == [one], f"pairs('one') lists {[(p.name, p.version) for p in entries]}."
        names = {p.name for p in registry.pairs()}
        assert names == {"one", "other"}, f"pairs() lists the names {names}, not 'one' and 'other'."
        refusal(
            lambda: registry.resolve("othre", "latest"),
            RegistryError,
            "a name that is not there, one letter from one that is,",
            "othre",
            "other",
        )

    def test_a_fetched_pair_answers_as_it_was_written(
        self, registry: Registry, tmp_path: Path
    ) -> None:
        draft = make_draft(tmp_path / "draft", config="seed: 7\n")
        registry.register(draft, "r")
        loaded_pair = load_pair(registry, load_plugins(), "fake", "latest")
        pair, golden = fakes.make_pair()
        assert loaded_pair.pair.schema == pair.schema, "the schema of a fetched pair is another."
        same_bits(
            loaded_pair.pair.forecast(golden.context).values,
            golden.values,
            "the forecast of a fetched pair",
            "a file of a half is lost, renamed or another one's",
        )
        config = registry.fetch(loaded_pair.version).config
        assert config == "seed: 7\n", f"the configuration of a fetched pair is {config!r}."

    def test_an_alias_moves_and_is_remembered(self, registry: Registry, tmp_path: Path) -> None:
        self.registered(registry, tmp_path, 2)
        registry.move("fake", "production", 1, expected=None)
        self.expect_alias(registry, 1, "the first move")
        verdict = {"passed": True, "MAE": 1.5}
        entry = registry.move("fake", "production", 2, expected=1, reason="better", verdict=verdict)
        fields = (entry.action, entry.alias, entry.before, entry.after, entry.reason)
        assert fields == ("move", "production", 1, 2, "better"), (
            f"move gives the entry {fields} of action, alias, version before and after, reason."
        )
        assert entry.verdict == verdict, (
            f"move gives the verdict {entry.verdict}; the figures that it was decided on are "
            f"{verdict}."
        )
        digest = registry.resolve("fake", "2").digest
        assert entry.digest == digest, "the entry of a move has the digest of another pair."
        aliases = [p.aliases for p in registry.pairs("fake")]
        assert aliases == [("production",), ()], (
            f"pairs lists the aliases {aliases}, newest pair first, after 'production' moved to it."
        )
        actions = [("register", None, 1), ("register", None, 2), ("move", None, 1), ("move", 1, 2)]
        entries = self.expect_history(registry, actions, "two pairs and two moves")
        moves = registry.history("fake", "production")
        assert moves == entries[2:], (
            f"history('fake', 'production') gives {[e.action for e in moves]}; what concerns the "
            "alias are the two moves."
        )
        assert entry == moves[-1], "the entry that move gives is not the one in the history."
        assert entry.who, "an entry does not say who did it."
        assert entry.at > moves[0].at, f"a later move is at {entry.at}, the first at {moves[0].at}."

    def test_a_mover_who_expected_otherwise_is_told(
        self, registry: Registry, tmp_path: Path
    ) -> None:
        self.registered(registry, tmp_path, 3)
        registry.move("fake", "production", 1, expected=None)
        registry.move("fake", "production", 2, expected=1)
        for expected, what in ((1, "version 1, where it no longer is"), (None, "nowhere")):
            refusal(
                lambda expected=expected: registry.move(  # type: ignore[misc]
                    "fake", "production", 3, expected=expected
                ),
                RefusedError,
                f"a move from {what}, where somebody moved the alias first",
                "production",
                "2",
            )
        self.expect_alias(registry, 2, "a move that was refused")
        count = len(registry.history("fake", "production"))
        assert count == 2, f"two moves and two that were refused leave {count} entries, not 2."

    @pytest.mark.parametrize("alias", ["latest", "v1", "V12", "7", "", "a b", "LATEST", "x" * 300])
    def test_a_name_that_means_a_version_is_no_alias(
        self, registry: Registry, tmp_path: Path, alias: str
    ) -> None:
        registry.register(make_draft(tmp_path / "draft"), "r")
        refusal(
            lambda: registry.move("fake", alias, 1, expected=None),
            FrameworkError,
            f"the alias '{alias[:20]}', which means a version or cannot be written in a URL,",
        )

    def test_only_a_complete_pair_gets_an_alias(self, registry: Registry, tmp_path: Path) -> None:
        registry.register(make_draft(tmp_path / "draft"), "r")
        refusal(
            lambda: registry.move("fake", "production", 2, expected=None),
            RegistryError,
            "a move to a version that is not there",
            "2",
        )
        for reference in ("production", "9"):
            refusal(
                lambda reference=reference: registry.resolve("fake", reference),  # type: ignore[misc]
                RegistryError,
                f"the reference '{reference}', which means nothing,",
                reference,
            )

    def test_a_refusal_is_remembered_and_moves_nothing(
        self, registry: Registry, tmp_path: Path
    ) -> None:
        self.registered(registry, tmp_path, 2)
        registry.move("fake", "production", 1, expected=None)
        entry = registry.refuse("fake", "production", 2, "worse", {"passed": False})
        fields = (entry.action, entry.before, entry.after, entry.reason, entry.verdict)
        assert fields == ("refuse", 1, 2, "worse", {"passed": False}), (
            f"refuse gives the entry {fields} of action, version that stays and that was refused, "
            "reason, verdict."
        )
        self.expect_alias(registry, 1, "a refusal")
        last = registry.history("fake", "production")[-1]
        assert last == entry, f"the newest entry of the history is {last}, not the refusal."

    def test_pruning_keeps_what_an_alias_means_and_the_history(
        self, sparing: Registry, tmp_path: Path
    ) -> None:
        versions = self.registered(sparing, tmp_path, 4)
        sparing.register(make_draft(tmp_path / "other", "other"), "r")
        sparing.move("fake", "production", 2, expected=None)
        history = sparing.history("fake")
        pruned = [pair.version for pair in sparing.prune("fake")]
        assert 2 not in pruned, "prune removes a pair under an alias, which a server answers from."
        entries = [pair.version for pair in sparing.pairs("fake")]
        assert sorted([*pruned, *entries]) == [1, 2, 3, 4], (
            f"prune gives {pruned} as removed, and pairs lists {entries}; each of four is one "
            "or the other."
        )
        for pair in versions:
            if pair.version in pruned:
                refusal(
                    lambda pair=pair: sparing.resolve("fake", str(pair.version)),  # type: ignore[misc]
                    RegistryError,
                    "a pair that was pruned",
                    str(pair.version),
                )
            else:
                sparing.fetch(pair)
        assert sparing.history("fake")[: len(history)] == history, (
            "prune changes the history, which says forever what answered when."
        )
        assert [pair.name for pair in sparing.pairs("other")] == ["other"], (
            "prune('fake') removes a pair of another name."
        )
        number = sparing.register(make_draft(tmp_path / "next"), "r").version
        assert number == 5, (
            f"the pair after version 4 gets the number {number}; a number is never used again, "
            "also when its pair was pruned."
        )

    def test_parallel_registrations_get_numbers_of_their_own(
        self, registry: Registry, tmp_path: Path
    ) -> None:
        drafts = [make_draft(tmp_path / str(i)) for i in range(4)]
        registry.register(drafts[0], "r")
        numbers: list[object] = []

        def register(draft: PairDraft) -> None:
            try:
                numbers.append(registry.register(draft, "r").version)
            except Exception as error:  # noqa: BLE001  what a thread raises is told below
                numbers.append(error)

        threads = [threading.Thread(target=register, args=(draft,)) for draft in drafts[1:]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {2, 3, 4} == {*numbers}, (
            f"three registrations at once, after one, get {numbers}, not the numbers 2, 3 and 4: "
            "the number is chosen before a lock is held, or a lock is not waited for."
        )
        for version in registry.pairs("fake"):
            registry.fetch(version)
