"""Pairs that MLflow has whole and the ledger does not know: the ledger is older than MLflow's
database, or was lost. Nothing of them is voided; each can be registered again after its proof.
"""

from __future__ import annotations

from collections.abc import Callable

from framework.errors import FrameworkError, RefusedError
from framework.interfaces.registry import Finding, PairVersion
from framework.pairs.manifest import HALVES
from framework_mlflow.ledger.history import now
from framework_mlflow.ledger.ledger import Ledger
from framework_mlflow.ledger.transaction import LedgerReader
from framework_mlflow.store.store import COMPLETE, DIGEST, PAIR_ID, RUN_ID, STATE, Store
from framework_mlflow.store.version_states import VersionState

States = Callable[[PairVersion], dict[str, VersionState]]


def unrecorded(store: Store, reader: LedgerReader, name: str) -> list[int]:
    """List the versions that MLflow has as complete, and that the ledger neither has nor removed.

    MLflow calls a version complete after the ledger's commit only.
    """
    known = {pair.version for pair in reader.pairs(name)}
    known |= {
        link.entry.before
        for link in reader.links(name)
        if link.entry.action == "remove" and link.entry.before is not None
    }
    complete = {
        number
        for half in HALVES
        for number, tags in store.versions(name, half).items()
        if tags.get(STATE) == COMPLETE
    }
    return sorted(complete - known)


def why_unrecorded(name: str, numbers: list[int], ledger: str) -> str:
    """Say what is wrong, and what next."""
    versions = ", ".join(map(str, numbers))
    return (
        f"MLflow has '{name}' version {versions} as complete, the ledger {ledger} does not know "
        "them: it is older than MLflow's database, was lost, or is another one. Bring the right "
        "one back, set registry.ledger, or register them again after their proof: run=verify "
        "verify.take_up=true"
    )


def take_up(
    ledger: Ledger,
    store: Store,
    name: str,
    states: States,
    proof: Callable[[PairVersion, dict[str, str]], str],
) -> list[Finding]:
    """Register what the ledger does not know again, the oldest first.

    Args:
        ledger: The ledger.
        store: MLflow.
        name: The name of the pairs.
        states: Reads MLflow's versions of a pair.
        proof: Proves the files of a pair by their sources; gives the run that made it.

    Returns:
        What was registered, and what could not be proven.
    """
    findings = []
    store.open()
    with ledger.locked(name) as writer:
        level = writer.level(name)
        for number in unrecorded(store, writer, name):
            try:
                pair, sources = _evidence(name, number, states)
                run_id = proof(pair, sources)
            except FrameworkError as error:
                text = f"'{name}' version {number} cannot be taken up: {error}"
                findings.append(Finding(name, text, repaired=False))
                continue
            pair = PairVersion(name, number, pair.pair_id, pair.digest, run_id, now())
            writer.add_pair(pair, sources)
            level = max(level, number)
            writer.set_level(name, level)
            reason = "taken up again from its manifest"
            writer.remember(name, "register", after=number, reason=reason, digest=pair.digest)
            findings.append(Finding(name, f"'{name}' version {number} was {reason}", repaired=True))
    return findings


def _evidence(name: str, number: int, states: States) -> tuple[PairVersion, dict[str, str]]:
    """Read what MLflow says of a pair, the same of both halves. Raises RefusedError."""
    versions = states(PairVersion(name, number, "", "", "", ""))
    tags = [(v.tags.get(PAIR_ID), v.tags.get(DIGEST), v.tags.get(STATE)) for v in versions.values()]
    if len(versions) != len(HALVES) or len(set(tags)) != 1 or None in tags[0]:
        raise RefusedError("its halves are not there, or not of one pair")
    pair_id, digest, _ = map(str, tags[0])
    run_id = versions[HALVES[0]].tags.get(RUN_ID, "")
    pair = PairVersion(name, number, pair_id, digest, run_id, "")
    return pair, {half: version.source for half, version in versions.items()}
