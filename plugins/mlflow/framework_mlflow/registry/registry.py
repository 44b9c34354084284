"""``registry=mlflow``: what there is, the ledger decides; MLflow keeps the halves, and shows what
the ledger decided.
"""

from __future__ import annotations

import logging
import re
import tempfile
import uuid
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from framework.errors import ConfigError, FrameworkError, RefusedError, RegistryError
from framework.interfaces.registry import (
    Finding,
    HistoryEntry,
    PairDraft,
    PairVersion,
    ProvenPair,
    Registry,
)
from framework_mlflow import paths
from framework_mlflow.home import home_of
from framework_mlflow.key_files import read_keyring, read_signing_key
from framework_mlflow.keys import Keyring, SigningKey
from framework_mlflow.ledger.history import breaks, now
from framework_mlflow.ledger.ledger import Ledger
from framework_mlflow.ledger.signed_entries import check_signer, why_unproven, with_verdict
from framework_mlflow.ledger.tables import FORMAT
from framework_mlflow.ledger.transaction import LedgerWriter
from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry.backup import RegistryCopy
from framework_mlflow.registry.mirror import (
    delete_abandoned,
    delete_removed,
    finish_pairs,
    mirror_aliases,
)
from framework_mlflow.registry.packing import pack
from framework_mlflow.registry.proof import Prover
from framework_mlflow.registry.references import check_alias, why_absent
from framework_mlflow.registry.retention import give_up_uploads, superfluous, why_given_up
from framework_mlflow.registry.take_up import take_up, unrecorded, why_unrecorded
from framework_mlflow.registry.verify import Verifier, lost
from framework_mlflow.registry.version_numbers import create_versions, why_void
from framework_mlflow.store import listing
from framework_mlflow.store.setup import is_there
from framework_mlflow.store.store import DIGEST, PAIR_ID, Store
from framework_mlflow.store.version_states import VersionState

log = logging.getLogger(__name__)


def _no_step(name: str) -> None:
    """Called at each step of an operation; tests replace it to stop a process there."""


class MlflowRegistry(Registry):
    """See :class:`framework_mlflow.MlflowOptions`. An operation on a name first finishes what an
    interrupted one left.
    """

    options: MlflowOptions
    step: Callable[[str], None] = staticmethod(_no_step)

    @cached_property
    def _places(self) -> MlflowOptions:
        return paths.check(self.options)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self._places.ledger, home_of(self._places), lambda: self._signing_key)

    @cached_property
    def store(self) -> Store:
        options = self._places
        return Store(
            options.tracking_uri, options.artifact_location, options.experiment, self.ledger
        )

    @cached_property
    def _keys(self) -> Keyring:
        return read_keyring(self.options.trust, self.options.retired, "registry")

    @cached_property
    def _signing_key(self) -> SigningKey | None:
        sign = self.options.sign
        if sign.key is None:
            return None
        key = read_signing_key(sign.key.get_secret_value(), sign.certificate, "registry.sign")
        if key.signer.key in self._keys.retired:
            raise ConfigError(
                "registry.sign.key: registry.retired lists this key; sign with one that "
                "registry.trust lists."
            )
        return key

    def check_options(self) -> None:
        self._places  # noqa: B018
        self._signing_key  # noqa: B018

    def register(self, draft: PairDraft, run_id: str) -> PairVersion:
        name, pair_id = draft.schema.name, uuid.uuid4().hex
        key = self._signing_key
        with tempfile.TemporaryDirectory(prefix="framework-pair-") as work:
            saved, digest = pack(
                draft, Path(work), pair_id, run_id, key, lambda: self.step("saved")
            )
            mlflow_run, sources = self.store.place(run_id, pair_id)
            with self.ledger.locked(name) as writer:
                writer.announce_upload(name, pair_id, sources)
            self.step("announced")
            self.store.upload(mlflow_run, pair_id, saved)
        self.step("uploaded")
        self.store.ensure_models(name)
        with self.ledger.locked(name) as writer:
            self._finish(writer, name)
            self.step("locked")
            unknown = unrecorded(self.store, writer, name)
            if unknown:
                raise RegistryError(why_unrecorded(name, unknown, paths.shown(self._places.ledger)))
            if not writer.claim_upload(pair_id):
                raise RegistryError(
                    f"'{name}': the upload of this pair took more than "
                    f"{self.options.retention.upload_hours:g} hours and was given up by "
                    "run=prune or run=verify; register it again, or raise "
                    "registry.retention.upload_hours."
                )
            tags = {PAIR_ID: pair_id, DIGEST: digest}
            number, voided = create_versions(
                self.store, name, writer.level(name), sources, mlflow_run, tags, self.step
            )
            for half, leftover in voided:
                writer.remember(name, "void", before=leftover, reason=why_void(half, leftover))
            pair = PairVersion(name, number, pair_id, digest, run_id, now())
            writer.add_pair(pair, sources)
            writer.remember(name, "register", after=number, digest=digest)
            self.step("before commit")
        self.step("committed")
        self._mirror(name)
        return pair

    def resolve(self, name: str, reference: str) -> PairVersion:
        number = int(reference.removeprefix("v")) if re.fullmatch(r"v?\d+", reference) else None
        if reference == "latest":
            pair = self.ledger.newest(name)
        elif number is not None:
            pair = self.ledger.numbered(name, number)
        elif self._keys:
            pair = self._under_signed_move(name, reference)
        else:
            pair = self.ledger.under(name, reference)
        if pair is None:
            with self.ledger.reading() as reader:
                raise RegistryError(why_absent(reader, name, reference, number))
        return pair

    def _under_signed_move(self, name: str, alias: str) -> PairVersion | None:
        pair, last = self.ledger.pointed_at(name, alias)
        if pair is None:
            return None
        problem = why_unproven(alias, pair, last, self._keys)
        if problem is not None:
            raise RefusedError(f"{problem}.")
        return pair

    @cached_property
    def _prover(self) -> Prover:
        return Prover(self._places, self.ledger, lambda: self.store.client, self._keys)

    def fetch(self, version: PairVersion) -> ProvenPair:
        return self._prover.fetch(version)

    def read_states(self, version: PairVersion) -> dict[str, VersionState]:
        """MLflow's two versions of a pair, by half, without those that are gone."""
        return self._prover.read_states(version)

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
        check_alias(alias)
        check_signer(self._signing_key, self._keys)
        with self.ledger.locked(name) as writer:
            pair = next((p for p in writer.pairs(name) if p.version == to), None)
            if pair is None:
                raise RegistryError(
                    f"'{name}' has no complete pair of version {to}; run=pairs lists them."
                )
            current = writer.aliases(name).get(alias)
            if current != expected:
                points, believed_target = (
                    f"version {v}" if v is not None else "nothing" for v in (current, expected)
                )
                text = f"alias '{alias}' of '{name}' points at {points}, not at {believed_target}"
                raise RefusedError(f"{text}: somebody moved it first; look and try again.")
            writer.set_alias(name, alias, to)
            entry = writer.remember(
                name,
                "move",
                alias=alias,
                before=current,
                after=to,
                reason=reason,
                verdict=verdict,
                digest=pair.digest,
            )
            self.step("before commit")
        self.step("committed")
        self._mirror(name)
        return entry

    def _mirror(self, name: str) -> None:
        """Show the ledger's decision in MLflow. It has been taken: a failure here is finished by
        the next operation.
        """
        try:
            self.store.open()
            with self.ledger.locked(name) as writer:
                self._finish(writer, name)
        except FrameworkError as error:
            log.warning(
                "%s is committed, but MLflow does not show it yet; the next operation or "
                "run=verify does that: %s",
                name,
                error,
            )

    def _finish(self, writer: LedgerWriter, name: str) -> None:
        finish_pairs(writer, self.store, name, self.step)
        mirror_aliases(writer, self.store, name, self.step)
        delete_removed(writer, self.store, name, self.step)
        delete_abandoned(writer, self.store, name, self.step)

    def refuse(
        self, name: str, alias: str, version: int, reason: str, verdict: dict[str, Any]
    ) -> HistoryEntry:
        with self.ledger.locked(name) as writer:
            digest = next((p.digest for p in writer.pairs(name) if p.version == version), None)
            current = writer.aliases(name).get(alias)
            return writer.remember(
                name,
                "refuse",
                alias=alias,
                before=current,
                after=version,
                reason=reason,
                verdict=verdict,
                digest=digest,
            )

    def pairs(self, name: str | None = None) -> list[PairVersion]:
        with self.ledger.reading() as reader:
            return reader.pairs(name)

    def history(self, name: str, alias: str | None = None) -> list[HistoryEntry]:
        with self.ledger.reading() as reader:
            links, (count, head) = reader.links(name), reader.chain_end(name)
        for broken in breaks(name, links, count, head):
            log.warning("%s; do not rely on it, run=verify has the whole account", broken)
        links = [link for link in links if alias is None or link.entry.alias == alias]
        return [with_verdict(link, self._keys) for link in links]

    def verify(self, name: str | None = None) -> list[Finding]:
        self._keys  # noqa: B018  a key that cannot be read is no fault of any pair
        with self.ledger.reading() as reader:
            known = reader.names()
        place = paths.shown(self._places.ledger)
        verifier = Verifier(
            self.ledger,
            self.store,
            self.read_states,
            self.fetch,
            self.options.retention,
            place,
            self._keys,
        )
        findings = []
        for each in self._names(name):
            findings += (
                verifier.verify(each)
                if each in known
                else lost(self.store, self.ledger, each, place)
            )
        if is_there(self._places.tracking_uri):
            findings += [
                Finding("", f"MLflow's run {run} was left by a process that ended", repaired=True)
                for run in listing.end_killed_runs(self.store)
            ]
        return findings

    def _names(self, name: str | None) -> list[str]:
        """The name, or all that the ledger or MLflow has."""
        if name is not None:
            return [name]
        with self.ledger.reading() as reader:
            known = {*reader.names()}
        if is_there(self._places.tracking_uri):
            known.update(listing.names(self.store))
        return sorted(known)

    def take_up(self, name: str | None = None) -> list[Finding]:
        return [
            finding
            for each in self._names(name)
            for finding in take_up(
                self.ledger, self.store, each, self.read_states, self._prover.prove_files
            )
        ]

    def backup(self, state: Path, folder: Path, copy_files: Callable[[], None]) -> list[str]:
        return RegistryCopy(self._places, self.ledger).write(state, folder, copy_files)

    def upgrade(self) -> list[str]:
        places = self._places
        if not (is_there(places.ledger) and is_there(places.tracking_uri)):
            return []
        self.store.open()
        paths = self.store.moved
        lines = [f"MLflow: {paths} paths lead into its own folder now"] if paths else []
        with self.ledger.locked("upgrade") as writer:
            number, count = writer.format(), writer.upgrade()
        if count:
            lines.append(f"ledger: the files of {count} pairs are recorded relative to its folder")
        if number != FORMAT:
            lines.append(f"ledger: form {number} is form {FORMAT} now")
        return lines

    def restore(self, folder: Path, mark: str) -> None:
        RegistryCopy(self._places, self.ledger).read(folder, mark)

    def prune(self, name: str) -> list[PairVersion]:
        self.store.open()
        with self.ledger.locked(name) as writer:
            self._finish(writer, name)
            removed = superfluous(
                writer.pairs(name),
                [link.entry for link in writer.links(name)],
                self.options.retention,
            )
            for pair in removed:
                writer.remove_pair(name, pair.version)
                writer.remember(
                    name,
                    "remove",
                    before=pair.version,
                    reason=f"retention {self.options.retention}",
                    digest=pair.digest,
                )
            for upload in give_up_uploads(writer, name, self.options.retention):
                log.info("%s", why_given_up(upload))
            self.step("before commit")
        self.step("committed")
        self._mirror(name)
        return removed
