"""The ledger, MLflow and the files held against each other: MLflow is set as the ledger decided,
what is broken is told.
"""

from __future__ import annotations

from collections.abc import Callable

from framework.errors import FrameworkError
from framework.interfaces.registry import Finding, PairVersion, ProvenPair
from framework.pairs.manifest import HALVES
from framework_mlflow.keys import Keyring
from framework_mlflow.ledger.history import Link, breaks
from framework_mlflow.ledger.ledger import Ledger
from framework_mlflow.ledger.signed_entries import judge_entry, what_is_wrong, why_unproven
from framework_mlflow.ledger.transaction import LedgerReader, LedgerWriter, Upload
from framework_mlflow.options import Retention
from framework_mlflow.registry.mirror import (
    delete_abandoned,
    delete_removed,
    finish_pairs,
    mirror_aliases,
)
from framework_mlflow.registry.retention import give_up_uploads, why_given_up
from framework_mlflow.registry.take_up import unrecorded, why_unrecorded
from framework_mlflow.registry.version_numbers import void_leftovers, why_void
from framework_mlflow.store.setup import is_there
from framework_mlflow.store.store import COMPLETE, DIGEST, PAIR_ID, STATE, Store
from framework_mlflow.store.version_states import VersionState

States = Callable[[PairVersion], dict[str, VersionState]]


def _no_step(_: str) -> None:
    return None


class Verifier:
    """``states`` reads MLflow's versions of a pair, ``fetch`` proves it. ``place``: of the ledger,
    for people. ``keys``: those whose signatures are believed.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: Store,
        states: States,
        fetch: Callable[[PairVersion], ProvenPair],
        retention: Retention,
        place: str,
        keys: Keyring,
    ) -> None:
        self._ledger, self._store, self._states, self._fetch = ledger, store, states, fetch
        self._retention, self._place, self._keys = retention, place, keys

    def verify(self, name: str) -> list[Finding]:
        """Repairs are made under the lock and remembered; the pairs are proven after it, so that
        others need not wait.
        """
        self._store.open()
        with self._ledger.locked(name) as writer:
            given_up = give_up_uploads(writer, name, self._retention)
        repaired: list[str] = []
        voided: list[str] = []
        with self._ledger.locked(name) as writer:
            broken = contradictions(writer, name)
            unknown = unrecorded(self._store, writer, name)
            if unknown:
                broken.append(why_unrecorded(name, unknown, self._place))
            if not broken:  # the ledger is evidence only where it agrees with its history
                repaired = self._finished(writer, name, given_up)
                voided = self._voided(writer, name)
                repaired += [*self._tags(writer, name), *self._aliases(writer, name)]
            for text in repaired:
                writer.remember(name, "repair", reason=text)
            pairs = writer.pairs(name)
            if self._keys:
                broken += unproven(writer, name, self._keys)
        for pair in pairs:
            try:
                self._fetch(pair)
            except FrameworkError as error:
                under = f" (under {', '.join(pair.aliases)})" if pair.aliases else ""
                broken.append(f"{error}{under}")
        return [
            Finding(name, text, True) for text in (*map(why_given_up, given_up), *voided, *repaired)
        ] + [Finding(name, text, False) for text in broken]

    def _finished(self, writer: LedgerWriter, name: str, given_up: list[Upload]) -> list[str]:
        """Show what a killed process had committed and not shown yet; uploads are ``given_up`` here
        and told already.
        """
        names = finish_pairs(writer, self._store, name, _no_step)
        aliases = mirror_aliases(writer, self._store, name, _no_step)
        deleted = delete_removed(writer, self._store, name, _no_step)
        leftovers = delete_abandoned(writer, self._store, name, _no_step)
        ids = {upload.pair_id for upload in given_up}
        return [
            *(
                f"version {number} was registered, but MLflow did not show it as complete"
                for number in names
            ),
            *(
                f"alias '{alias}' was moved, but MLflow did not show it on both halves"
                for alias in aliases
            ),
            *(f"version {number} was removed, but not all of it was deleted" for number in deleted),
            *(
                f"{why_given_up(upload)}, but not all of it was deleted"
                for upload in leftovers
                if upload.pair_id not in ids
            ),
        ]

    def _voided(self, writer: LedgerWriter, name: str) -> list[str]:
        """Void what a killed registration left, and what was registered by hand."""
        highest, voided = void_leftovers(
            self._store, name, {pair.version for pair in writer.pairs(name)}
        )
        if highest > writer.level(name):
            writer.set_level(name, highest)
        for half, number in voided:
            writer.remember(name, "void", before=number, reason=why_void(half, number))
        return [why_void(half, number) for half, number in voided]

    def _tags(self, writer: LedgerWriter, name: str) -> list[str]:
        """Tags that somebody changed in MLflow."""
        problems: list[str] = []
        for pair in writer.pairs(name):
            expected = {PAIR_ID: pair.pair_id, DIGEST: pair.digest, STATE: COMPLETE}
            for half, state in self._states(pair).items():
                for tag, value in expected.items():
                    if state.tags.get(tag) != value and self._store.tag(
                        name, half, pair.version, tag, value
                    ):
                        problems.append(
                            f"{half} version {pair.version}: MLflow's tag {tag} was "
                            f"{state.tags.get(tag)}, {value} was registered"
                        )
        return problems

    def _aliases(self, writer: LedgerWriter, name: str) -> list[str]:
        """Aliases that somebody moved, made or deleted in MLflow, on one half or on both."""
        problems: list[str] = []
        decision = writer.aliases(name)
        for half in HALVES:
            actual = self._store.aliases(name, half)
            for alias, version in decision.items():
                if actual.get(alias) != version and self._store.set_alias(
                    name, half, alias, version
                ):
                    points = (
                        f"pointed at version {actual[alias]}" if alias in actual else "was gone"
                    )
                    problems.append(
                        f"{half}: MLflow's alias '{alias}' {points}, it means version "
                        f"{version}; run=promote moves it"
                    )
            for alias in sorted(set(actual) - set(decision)):
                if self._store.delete_alias(name, half, alias):
                    problems.append(
                        f"{half}: MLflow's alias '{alias}' (version {actual[alias]}) was set "
                        "by hand; run=alias sets one on both halves"
                    )
        return problems


def lost(store: Store, ledger: Ledger, name: str, place: str) -> list[Finding]:
    """List what MLflow shows as complete of a name that the ledger does not know: nothing is
    changed there.
    """
    if not is_there(store.uri):
        return []
    store.open()
    with ledger.reading() as reader:
        numbers = unrecorded(store, reader, name)
    return [Finding(name, why_unrecorded(name, numbers, place), repaired=False)] if numbers else []


def contradictions(reader: LedgerReader, name: str) -> list[str]:
    """List where the ledger contradicts its history, or the history itself."""
    pairs, links, aliases = reader.pairs(name), reader.links(name), reader.aliases(name)
    count, head = reader.chain_end(name)
    return [*breaks(name, links, count, head), *_against_history(name, pairs, aliases, links)]


def unproven(reader: LedgerReader, name: str, keys: Keyring) -> list[str]:
    """List the aliases that nobody who is trusted has moved, and entries that were signed and are
    not what was signed.
    """
    problems, newest = [], set()
    for alias in reader.aliases(name):
        pair, move = reader.under(name, alias), reader.last_move(name, alias)
        problem = pair and why_unproven(alias, pair, move, keys)
        problems += [problem] if problem else []
        newest.add(move.number if move else None)
    changed = [link for link in reader.links(name) if judge_entry(link, keys)[0] == "wrong"]
    return problems + [
        f"'{name}': {what_is_wrong(link, keys)}" for link in changed if link.number not in newest
    ]


def _against_history(
    name: str, pairs: list[PairVersion], aliases: dict[str, int], links: list[Link]
) -> list[str]:
    """Rows of the ledger that are not what its history says."""
    entries = [link.entry for link in links]
    registered = {entry.after: entry.digest for entry in entries if entry.action == "register"}
    problems = [
        f"'{name}' version {pair.version}: its digest is {pair.digest}, its registration "
        f"recorded {registered.get(pair.version)}"
        for pair in pairs
        if registered.get(pair.version) != pair.digest
    ]
    numbers = {pair.version for pair in pairs}
    problems += [
        f"'{name}' alias '{alias}' points at version {version}, which is no pair; run=promote or "
        "run=alias moves it"
        for alias, version in sorted(aliases.items())
        if version not in numbers
    ]
    targets = {entry.alias: entry.after for entry in entries if entry.action == "move"}
    problems += [
        f"'{name}' alias '{alias}' points at version {aliases.get(str(alias))}, its last "
        f"recorded move went to {targets.get(alias)}"
        for alias in sorted({*targets, *aliases}, key=str)
        if aliases.get(str(alias)) != targets.get(alias)
    ]
    return problems
