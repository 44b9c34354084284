"""Registry: keeps pairs, resolves references, proves what it hands out, moves aliases,
remembers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
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
        """What a response carries: ``{name, version, alias, digest}``."""
        return {"name": self.name, "version": self.version, "alias": alias, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of a registry's history: what was done to which pair, by whom, when (UTC), why, on
    what figures.
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


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a verdict. ``value`` must not exceed ``limit``."""

    check: str
    passed: bool
    value: float | None
    limit: float | None
    detail: str

    def as_dict(self) -> dict[str, object]:
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
    manifest.
    """

    version: PairVersion
    preprocessor: Path
    model: Path
    config: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in the registry that is not as it was left: one line, and whether it has been put
    right.
    """

    name: str
    text: str
    repaired: bool


class Registry(ABC):
    """The constructor stores its options and does nothing else."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def register(self, draft: PairDraft, run_id: str) -> PairVersion:
        """Register both halves under one new version number, or neither.

        After a crash at any step no reference resolves to the half that was left; its number is
        never used again.
        """

    @abstractmethod
    def resolve(self, name: str, reference: str) -> PairVersion:
        """The complete pair that an alias, a version number or ``latest`` means now.

        Raises :class:`~framework.errors.RegistryError` naming what there is.
        """

    @abstractmethod
    def fetch(self, version: PairVersion) -> ProvenPair:
        """Bring both halves to local disk and prove them.

        Raises :class:`~framework.errors.RefusedError` naming what differs, before anything of the
        artifacts is opened.
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
        """Point ``alias`` at a complete pair, both halves at once, if it still points at
        ``expected`` (None: nowhere).

        Raises :class:`~framework.errors.RefusedError` when somebody moved it first.
        """

    @abstractmethod
    def refuse(
        self, name: str, alias: str, version: int, reason: str, verdict: dict[str, Any]
    ) -> HistoryEntry:
        """Remember that a move was refused, and on what figures."""

    @abstractmethod
    def pairs(self, name: str | None = None) -> list[PairVersion]:
        """The complete pairs, newest first; of all names when ``name`` is None."""

    @abstractmethod
    def history(self, name: str, alias: str | None = None) -> list[HistoryEntry]:
        """What happened, oldest first; of one alias or of the whole name."""

    @abstractmethod
    def verify(self, name: str | None = None) -> list[Finding]:
        """Look at every pair, alias and history entry of ``name`` (None: of all) and put right what
        can be.

        What an interrupted operation left is finished or voided, what somebody changed behind the
        registry's back is set as the registry decided it. A pair that cannot be proven and a
        history that was changed are found, not repaired.
        """

    @abstractmethod
    def prune(self, name: str) -> list[PairVersion]:
        """Remove the pairs that the retention of the options does not keep, both halves with all
        they have; return them.

        A pair under an alias is always kept, and so is the history.
        """
