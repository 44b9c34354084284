"""Registry: keeps pairs, resolves references, proves what it hands out, moves aliases,
remembers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from framework.data.schema import Schema


@dataclass(frozen=True, slots=True)
class PairVersion:
    """One registered pair. ``digest`` covers every byte of both artifacts, the schema, the config
    and the run id.
    """

    name: str
    version: int
    pair_id: str
    digest: str
    run_id: str
    created: str  # ISO 8601, UTC
    aliases: tuple[str, ...] = ()

    def stamp(self, alias: str | None = None) -> dict[str, Any]:
        """Make what a response carries of this pair.

        Args:
            alias: The alias that the pair was found by, if any.

        Returns:
            ``{name, version, alias, digest}``.
        """
        return {"name": self.name, "version": self.version, "alias": alias, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of a registry's history: what was done to which pair, by whom, when (UTC), why, on
    what figures.

    ``signature``: where it is signed, or must be: ``{"key", "status"}``, the name of the key (null:
    none) and what is known of it: ``trusted``, ``retired``, ``unsigned``, ``unknown`` (of a key
    that is not listed), ``wrong`` (not of this entry) or ``unchecked`` (no key is listed).
    """

    at: str
    who: str
    action: str  # "register", "move", "refuse", "void", "repair"
    name: str
    alias: str | None
    before: int | None
    after: int | None
    reason: str | None
    verdict: dict[str, Any] | None
    digest: str | None
    signature: dict[str, str | None] | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a verdict. ``value`` must not exceed ``limit``."""

    check: str
    passed: bool
    value: float | None
    limit: float | None
    detail: str

    def as_dict(self) -> dict[str, object]:
        """Return the fields by name, as JSON holds them.

        Returns:
            ``{check, passed, value, limit, detail}``.
        """
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PairDraft:
    """A pair on local disk, not yet registered: one data directory per half, as
    :mod:`framework.pairs.artifacts` writes them.
    """

    preprocessor: Path
    model: Path
    schema: Schema
    config: str  # the composed config, YAML
    requirements: tuple[str, ...]  # pinned, "name==version"


@dataclass(frozen=True, slots=True)
class ProvenPair:
    """Local data directories of both halves whose every byte has been checked against the pair's
    manifest. ``environment``: the versions that the manifest lists, by distribution.
    ``retired_key``: the name of the key that signed it, where that is one of a signer of old.
    """

    version: PairVersion
    preprocessor: Path
    model: Path
    config: str
    environment: Mapping[str, str] = field(default_factory=dict)
    retired_key: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in the registry that is not as it was left: one line, and whether it has been put
    right.
    """

    name: str
    text: str
    repaired: bool


class Registry(ABC):
    """Keeps pairs and their history. The constructor stores its options and does nothing else."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def check_options(self) -> None:  # noqa: B027  others have nothing to check
        """Refuse options with which :meth:`register` could not work; a training calls it first.

        Raises:
            ConfigError: An option is wrong; the message names its key.
        """

    @abstractmethod
    def register(self, draft: PairDraft, run_id: str) -> PairVersion:
        """Register both halves under one new version number, or neither.

        After a crash at any step no reference resolves to the half that was left; its number is
        never used again.

        Args:
            draft: The pair on local disk.
            run_id: The run that made it, as its tracker calls it.

        Returns:
            The registered pair.
        """

    @abstractmethod
    def resolve(self, name: str, reference: str) -> PairVersion:
        """Find the complete pair that a reference means now.

        Args:
            name: The pair's name.
            reference: An alias, a version number, or ``latest`` for the newest complete pair.

        Returns:
            The pair.

        Raises:
            RegistryError: There is no such pair; the message names what there is.
            RefusedError: Nobody who is trusted has pointed the alias at it.
        """

    @abstractmethod
    def fetch(self, version: PairVersion) -> ProvenPair:
        """Bring both halves to local disk and prove them.

        Args:
            version: A pair that :meth:`resolve` or :meth:`pairs` gave.

        Returns:
            The directories of both halves.

        Raises:
            RefusedError: A byte differs from the pair's manifest; the message names what. Nothing
                of the artifacts has been opened then.
        """

    @abstractmethod
    def move(
        self,
        name: str,
        alias: str,
        to: int,
        *,
        expected: int | None,
        reason: str | None = None,
        verdict: dict[str, Any] | None = None,
    ) -> HistoryEntry:
        """Point an alias at a complete pair, both halves at once.

        Args:
            name: The pair's name.
            alias: The alias, which need not exist.
            to: The version that it is to point at.
            expected: The version that it points at now, None: nowhere.
            reason: Why, for the history.
            verdict: The figures it was decided on, for the history.

        Returns:
            The entry of the history.

        Raises:
            RefusedError: The alias does not point at ``expected``: somebody moved it first.
        """

    @abstractmethod
    def refuse(
        self, name: str, alias: str, version: int, reason: str, verdict: dict[str, Any]
    ) -> HistoryEntry:
        """Remember that a move was refused, and on what figures.

        Args:
            name: The pair's name.
            alias: The alias that stays as it is.
            version: The version that it was not moved to.
            reason: Why.
            verdict: The figures it was decided on.

        Returns:
            The entry of the history.
        """

    @abstractmethod
    def pairs(self, name: str | None = None) -> list[PairVersion]:
        """List the complete pairs.

        Args:
            name: Only pairs of this name; None: of all names.

        Returns:
            The pairs, newest first.
        """

    @abstractmethod
    def history(self, name: str, alias: str | None = None) -> list[HistoryEntry]:
        """List what happened to a name.

        Args:
            name: The pair's name.
            alias: Only what concerns this alias; None: everything.

        Returns:
            The entries, oldest first.
        """

    @abstractmethod
    def verify(self, name: str | None = None) -> list[Finding]:
        """Look at every pair, alias and history entry, and put right what can be.

        What an interrupted operation left is finished or voided. What somebody changed behind the
        registry's back is set as the registry decided it. A pair that cannot be proven and a
        history that was changed are found, not repaired.

        Args:
            name: Only what belongs to this name; None: everything.

        Returns:
            What was not as it was left.
        """

    def backup(self, state: Path, folder: Path, copy_files: Callable[[], None]) -> list[str]:
        """Write a copy of the registry as it is at one moment, while others may change it.

        Args:
            state: The state folder. What lies in it goes to ``folder/state``, under the same name.
            folder: The backup. What lies elsewhere goes to ``folder/registry``.
            copy_files: Copies the other files of the state folder. Call it when the registry's
                databases have been copied.

        Returns:
            What is not in the backup, one line each.

        Raises:
            RegistryError: Something cannot be copied, or a pair was removed meanwhile.
        """
        copy_files()
        return []

    def restore(self, folder: Path, mark: str) -> None:  # noqa: B027  others have nothing elsewhere
        """Bring back what :meth:`backup` wrote to ``folder/registry``.

        Args:
            folder: The backup, every file of which has been proven.
            mark: The name of this restore. It is the same when a restore that was killed is begun
                again, which then finds its own work and no obstacle.

        Raises:
            RegistryError: There is something already where it would be written.
        """

    def upgrade(self) -> list[str]:
        """Bring what an earlier version wrote into the form of this one.

        Returns:
            What was changed, one line each.
        """
        return []

    def take_up(self, name: str | None = None) -> list[Finding]:
        """Register pairs again that were registered and whose record was lost, each after its
        proof.

        Args:
            name: Only pairs of this name; None: of all names.

        Returns:
            What was taken up, and what could not be proven.
        """
        return []

    @abstractmethod
    def prune(self, name: str) -> list[PairVersion]:
        """Remove the pairs that the retention of the options does not keep, both halves with all
        they have.

        A pair under an alias is always kept, and so is the history.

        Args:
            name: The pairs' name.

        Returns:
            The pairs that were removed.
        """
