"""Pairs on disk: the data directory of each half, the manifest that binds them, and the proof that nothing differs.

A registry keeps two artifact directories, one per half, each with the file ``pair.json``: the manifest. It lists the
SHA-256 of every other file of both artifacts beside schema, config and run id; its own digest covers all of that. Both
halves carry the same manifest, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.conformal import INTERVALS, Calibration
from framework.errors import FrameworkError, RefusedError
from framework.golden import Golden
from framework.interfaces.values import Schema
from framework.pair import Pair
from framework.plugins import Plugins

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "pair.json"
BACKTEST = "backtest.parquet"
DATA = "data.json"
TRAINED = "series.json"
FEATURES = "features.json"
HALVES = ("preprocessor", "model")
#: Fits into a core's cache: what was read is hashed from there.
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a pair is trusted by later: the golden batch before it answers, the backtest (its long table) before it is promoted, the
    fingerprints of source and panel (:mod:`framework.fingerprint`) when it is rebuilt.
    """

    golden: Golden
    backtest: pd.DataFrame
    data: dict[str, dict[str, str]]


def canonical(value: Any) -> str:
    """One text for equal values: JSON with sorted keys and no white space."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def write_half(directory: Path, kind: str, name: str, component: Any, schema: Schema) -> None:
    """Write the data directory of one half: ``component.json``, ``schema.json`` and the component's own files in ``state/``."""
    state = directory / "state"
    state.mkdir(parents=True)
    component.save(state)
    (directory / "schema.json").write_text(schema.model_dump_json(indent=1))
    (directory / "component.json").write_text(canonical({"kind": kind, "name": name}))


def write_pair(directory: Path, pair: Pair, names: Mapping[str, str], evidence: Evidence) -> None:
    """Write both data directories, ``preprocessor/`` and ``model/``; ``names`` are the components' names.

    Both halves name the arrays between them (``features.json``), so that each can be asked on its own. The evidence goes with the model.
    """
    write_half(directory / "preprocessor", "preprocessor", names["preprocessor"], pair.preprocessor, pair.schema)
    write_half(directory / "model", "model", names["model"], pair.model, pair.schema)
    names_between = {part: list(getattr(pair.preprocessor, f"{part}_names")) for part in ("past", "future", "static")}
    for half in HALVES:
        (directory / half / FEATURES).write_text(canonical(names_between))
    (directory / "model" / "golden.json").write_text(evidence.golden.to_json())
    evidence.backtest.to_parquet(directory / "model" / BACKTEST, index=False)
    (directory / "model" / DATA).write_text(canonical(evidence.data))
    if pair.calibration is not None:
        pair.calibration.save(directory / "model" / INTERVALS)
    if pair.trained is not None:
        (directory / "model" / TRAINED).write_text(canonical(sorted(pair.trained)))


def open_half(directory: Path, kind: str, plugins: Plugins) -> Any:
    """The fitted component of one data directory."""
    written = json.loads((directory / "component.json").read_text())
    if written["kind"] != kind:
        raise RefusedError(f"{directory}: holds a {written['kind']}, a {kind} was expected.")
    with _opening(directory):
        return plugins.load(kind, written["name"]).load(directory / "state")


@contextmanager
def _opening(directory: Path) -> Iterator[None]:
    """Every byte is proven by now: what cannot be read was written in another form, by an earlier version of the framework or a plugin."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        said = f"{type(error).__name__}: {error}"
        raise RefusedError(f"{directory}: written by another version, this one cannot read it ({said}); train again.") from error


def open_pair(preprocessor: Path, model: Path, plugins: Plugins) -> Pair:
    """Open proven data directories. The schemas of both halves must be equal."""
    texts = [(d / "schema.json").read_text() for d in (preprocessor, model)]
    if texts[0] != texts[1]:
        raise RefusedError(f"the schemas of {preprocessor} and {model} differ: they are not a pair.")
    with _opening(preprocessor):
        schema = Schema.model_validate_json(texts[0])
    with _opening(model / INTERVALS):
        calibration = Calibration.load(model / INTERVALS) if (model / INTERVALS).is_file() else None
    listed = model / TRAINED
    trained = frozenset(map(tuple, json.loads(listed.read_text()))) if listed.is_file() else None
    return Pair(schema, open_half(preprocessor, "preprocessor", plugins), open_half(model, "model", plugins), calibration, trained)


def hash_files(directory: Path) -> dict[str, str]:
    """``{relative path: sha256}`` of every file below, the manifest itself left out."""
    found: dict[str, str] = {}
    block = memoryview(bytearray(_BLOCK))
    folders = [("", str(directory))]
    while folders:
        prefix, folder = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append((f"{prefix}{entry.name}/", entry.path))
                elif prefix or entry.name != MANIFEST:
                    found[prefix + entry.name] = _sha256(entry.path, block)
    return found


def _sha256(path: str, block: memoryview) -> str:
    """Of a file, read through ``block``: new memory for what is read would cost more than the hashing."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as stream:
        while count := stream.readinto(block):
            digest.update(block[:count])
    return digest.hexdigest()


def digest_of(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical({k: v for k, v in body.items() if k != "digest"}).encode()).hexdigest()


def environment(requirements: tuple[str, ...]) -> dict[str, str]:
    """Versions that a forecast may depend on."""
    packages = {r.split("==")[0] for r in requirements} | {"numpy"}
    return {"python": platform.python_version(), **{p: metadata.version(p) for p in sorted(packages)}}


def make_manifest(
    artifacts: Mapping[str, Path], *, pair_id: str, run_id: str, schema: Schema, config: str, requirements: tuple[str, ...]
) -> dict[str, Any]:
    """The manifest of two finished artifact directories, by half."""
    body: dict[str, Any] = {
        "pair_id": pair_id,
        "run_id": run_id,
        "schema": schema.model_dump(mode="json"),
        "config": config,
        "environment": environment(requirements),
        "files": {half: hash_files(artifacts[half]) for half in HALVES},
    }
    return {**body, "digest": digest_of(body)}


def write_manifest(artifacts: Mapping[str, Path], manifest: Mapping[str, Any]) -> None:
    text = canonical(manifest)
    for half in HALVES:
        (artifacts[half] / MANIFEST).write_text(text)


def prove(artifacts: Mapping[str, Path], digest: str, ignore: Collection[str] = ()) -> dict[str, Any]:
    """Check every byte of both artifact directories against the manifest and its digest; return the manifest.

    Nothing of the artifacts but the manifests is parsed. ``ignore``: files that the registry's own tools leave there and nobody opens.
    Raises :class:`RefusedError` naming the first thing that differs.
    """
    texts: dict[str, str] = {}
    for half in HALVES:
        path = artifacts[half] / MANIFEST
        if not path.is_file():
            raise RefusedError(f"{half} half: {path} is missing; the pair cannot be proven.")
        texts[half] = path.read_text()
    if texts["preprocessor"] != texts["model"]:
        raise RefusedError(f"the manifests of {artifacts['preprocessor']} and {artifacts['model']} differ: they are not a pair.")
    try:
        manifest: dict[str, Any] = json.loads(texts["model"])
    except ValueError as error:
        raise RefusedError(f"{artifacts['model'] / MANIFEST} is not JSON ({error}).") from error
    if manifest.get("digest") != digest:
        found = str(manifest.get("digest"))[:12]
        raise RefusedError(f"the manifest's digest is {found}, the registry recorded {digest[:12]}: a manifest of another pair.")
    if digest_of(manifest) != digest:
        raise RefusedError(f"the manifest of pair {manifest.get('pair_id')} was changed: its content does not give {digest[:12]}.")
    for half in HALVES:
        _compare(half, manifest["files"][half], hash_files(artifacts[half]), ignore)
    return manifest


def prove_half(half: str, artifact: Path, ignore: Collection[str] = ()) -> None:
    """Check one artifact directory against the manifest in it, for a reader that has only this half and no registry."""
    path = artifact / MANIFEST
    if not path.is_file():
        raise RefusedError(f"{half} half: {path} is missing; it cannot be proven.")
    manifest = json.loads(path.read_text())
    if digest_of(manifest) != manifest.get("digest"):
        raise RefusedError(f"the manifest {path} was changed: its content does not give its digest.")
    _compare(half, manifest["files"][half], hash_files(artifact), ignore)


def _compare(half: str, recorded: Mapping[str, str], found: Mapping[str, str], ignore: Collection[str]) -> None:
    for path in sorted({*recorded, *found} - set(ignore)):
        if path not in found:
            raise RefusedError(f"{half} half: file {path} is missing.")
        if path not in recorded:
            raise RefusedError(f"{half} half: file {path} was added.")
        if recorded[path] != found[path]:
            raise RefusedError(f"{half} half: file {path} was changed (sha256 {found[path][:12]}, {recorded[path][:12]} recorded).")


def replay(pair: Pair, golden: Golden) -> None:
    """Forecast the golden batch again. Raises :class:`RefusedError` when an answer differs beyond the tolerance."""
    difference = golden.difference(pair.answer(golden.context))
    if difference > golden.tolerance:
        raise RefusedError(
            f"pair '{pair.schema.name}': the golden batch differs by {difference:.3g} (relative), {golden.tolerance:g} allowed: "
            "this environment does not answer as training did."
        )


def golden_of(directory: Path) -> Golden:
    """The golden batch that travels in the model's data directory."""
    path = directory / "golden.json"
    if not path.is_file():
        raise FrameworkError(f"{path} is missing; register the pair again.")
    return Golden.from_json(path.read_text())
