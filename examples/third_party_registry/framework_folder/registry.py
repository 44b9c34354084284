"""Pairs in a folder, and a history that decides what there is.

Below the folder: ``NAME/history.jsonl`` and ``NAME/VERSION/{preprocessor,model,version.json}``. A
pair is there from its entry ``register`` to its entry ``void``, and an alias points where its last
entry ``move`` says: each change is one line, so a crash leaves what was or what is.
"""

import getpass
import json
import re
import shutil
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from framework.errors import ConfigError, RefusedError, RegistryError, suggest
from framework.files import atomic_write, exclusive
from framework.interfaces.registry import (
    Finding,
    HistoryEntry,
    PairDraft,
    PairVersion,
    ProvenPair,
    Registry,
)
from framework.pairs.manifest import HALVES, make_manifest, prove, write_manifest

_ALIAS = re.compile(r"(?!(latest|v\d+|\d+)$)[a-z0-9][\w.-]{0,99}", re.IGNORECASE)


class FolderRegistry(Registry):
    def register(self, draft: PairDraft, run_id: str) -> PairVersion:
        name = draft.schema.name
        with self._locked(name):
            number = self._next(name)
            pair = PairVersion(name, number, uuid4().hex, "", run_id, self._now())
            new = self._place(name) / f".new-{number}"
            shutil.rmtree(new, ignore_errors=True)  # a killed registration left it
            artifacts = {half: new / half for half in HALVES}
            for half in HALVES:
                shutil.copytree(getattr(draft, half), artifacts[half])
            manifest = make_manifest(
                artifacts,
                pair_id=pair.pair_id,
                run_id=run_id,
                schema=draft.schema,
                config=draft.config,
                requirements=draft.requirements,
            )
            write_manifest(artifacts, manifest)
            pair = replace(pair, digest=manifest["digest"])
            (new / "version.json").write_text(json.dumps(asdict(pair)))
            new.rename(self._place(name) / str(number))
            self._remember("register", name, after=number, digest=pair.digest)
            return pair

    def resolve(self, name: str, reference: str) -> PairVersion:
        pairs = {str(pair.version): pair for pair in self.pairs(name)}
        if not pairs:
            names = sorted({pair.name for pair in self.pairs()})
            raise RegistryError(
                f"there is no pair of the name '{name}';{suggest(name, names)} Names: "
                f"{', '.join(names) or 'none'}."
            )
        number = reference.removeprefix("v")
        if reference == "latest":
            number = max(pairs, key=int)
        elif not number.isdecimal():
            number = str(self._aliases(name).get(reference))
        if number not in pairs:
            raise RegistryError(
                f"'{name}' has no alias or version '{reference}'; it has the aliases "
                f"{self._aliases(name) or 'none'} and the versions {', '.join(pairs)}."
            )
        return pairs[number]

    def fetch(self, version: PairVersion) -> ProvenPair:
        place = self._place(version.name) / str(version.version)
        artifacts = {half: place / half for half in HALVES}
        manifest = prove(artifacts, version.digest)
        return ProvenPair(
            version,
            artifacts["preprocessor"],
            artifacts["model"],
            manifest["config"],
            manifest["environment"],
        )

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
        if not _ALIAS.fullmatch(alias):
            raise ConfigError(f"alias '{alias[:50]}' means a version or is no word; take another.")
        with self._locked(name):
            pair, before = self.resolve(name, str(to)), self._aliases(name).get(alias)
            if before != expected:
                raise RefusedError(
                    f"'{name}': alias '{alias}' is at version {before}, not at {expected}: "
                    "somebody moved it first; look at run=history."
                )
            return self._remember(
                "move", name, alias, before, to, reason, verdict, digest=pair.digest
            )

    def refuse(
        self, name: str, alias: str, version: int, reason: str, verdict: dict[str, Any]
    ) -> HistoryEntry:
        with self._locked(name):
            pair, before = self.resolve(name, str(version)), self._aliases(name).get(alias)
            return self._remember(
                "refuse", name, alias, before, version, reason, verdict, digest=pair.digest
            )

    def pairs(self, name: str | None = None) -> list[PairVersion]:
        pairs = []
        for each in self._names() if name is None else [name]:
            aliases = self._aliases(each)
            for number in self._versions(each):
                path = self._place(each) / str(number) / "version.json"
                fields = json.loads(path.read_text())
                fields["aliases"] = tuple(a for a, to in aliases.items() if to == number)
                pairs.append(PairVersion(**fields))
        return sorted(pairs, key=lambda pair: (pair.created, pair.version), reverse=True)

    def history(self, name: str, alias: str | None = None) -> list[HistoryEntry]:
        path = self._place(name) / "history.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        entries = [HistoryEntry(**json.loads(line)) for line in lines]
        return [entry for entry in entries if alias in (None, entry.alias)]

    def verify(self, name: str | None = None) -> list[Finding]:
        findings = []
        for each in self._names() if name is None else [name]:
            with self._locked(each):
                for number in self._folders(each):
                    if number not in self._versions(each):
                        shutil.rmtree(self._place(each) / str(number))
                        text = f"version {number} was left by a killed process; it is removed"
                        findings.append(Finding(each, text, repaired=True))
                for pair in self.pairs(each):
                    try:
                        self.fetch(pair)
                    except RefusedError as error:
                        findings.append(Finding(each, f"version {pair.version}: {error}", False))
        return findings

    def prune(self, name: str) -> list[PairVersion]:
        with self._locked(name):
            pairs = [pair for pair in self.pairs(name)[self.options.keep :] if not pair.aliases]
            for pair in pairs:
                self._remember("void", name, after=pair.version, digest=pair.digest)
                shutil.rmtree(self._place(name) / str(pair.version))
            return pairs

    def _place(self, name: str) -> Path:
        if "/" in name or name.startswith("."):
            raise RegistryError(f"'{name}' is no name of a folder; take another panel.name.")
        folder: Path = self.options.folder
        return folder / name

    def _names(self) -> list[str]:
        folder = self.options.folder
        return (
            sorted(path.name for path in folder.iterdir() if path.is_dir())
            if folder.is_dir()
            else []
        )

    def _next(self, name: str) -> int:
        """Choose a number that no pair of the name has had."""
        former = (entry.after or 0 for entry in self.history(name))
        return 1 + max((*self._folders(name), *former), default=0)

    def _folders(self, name: str) -> list[int]:
        return [int(p.name) for p in self._place(name).glob("*") if p.name.isdecimal()]

    def _versions(self, name: str) -> set[int]:
        entries = self.history(name)
        gone = {entry.after for entry in entries if entry.action == "void"}
        return {e.after for e in entries if e.action == "register" and e.after} - gone

    def _aliases(self, name: str) -> dict[str, int]:
        moves = [entry for entry in self.history(name) if entry.action == "move"]
        return {str(entry.alias): entry.after or 0 for entry in moves}

    def _locked(self, name: str) -> AbstractContextManager[None]:
        return exclusive(self._place(name) / ".lock", f"the pairs of '{name}'")

    def _now(self) -> str:
        return datetime.now(UTC).isoformat()

    def _remember(
        self,
        action: str,
        name: str,
        alias: str | None = None,
        before: int | None = None,
        after: int | None = None,
        reason: str | None = None,
        verdict: dict[str, Any] | None = None,
        digest: str | None = None,
    ) -> HistoryEntry:
        entry = HistoryEntry(
            self._now(),
            getpass.getuser(),
            action,
            name,
            alias,
            before,
            after,
            reason,
            verdict,
            digest,
        )
        path = self._place(name) / "history.jsonl"
        text = path.read_text() if path.is_file() else ""
        with atomic_write(path, durable=True) as stream:
            stream.write((text + json.dumps(asdict(entry)) + "\n").encode())
        return entry
