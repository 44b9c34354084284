"""The manifest of a pair: every byte of both halves, and the proof that they are there."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from framework.data.schema import Schema
from framework.errors import RefusedError

MANIFEST = "pair.json"

#: A registry may sign the manifest; the signature lies beside it.
SIGNATURE = "pair.sig"

#: The number of the form of a pair. One without a number has the form 1.
FORMAT = 1

HALVES = ("preprocessor", "model")


#: Fits into a core's cache: what was read is hashed from there.
_BLOCK = 1 << 16


def canonical(value: Any) -> str:
    """Write a value so that equal values have one text.

    Args:
        value: Plain containers and values.

    Returns:
        JSON with sorted keys and no white space.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def hash_files(directory: Path) -> dict[str, str]:
    """Hash every file below a directory, the manifest itself and its signature left out.

    Args:
        directory: The directory.

    Returns:
        ``{relative path: sha256}``.
    """
    digests: dict[str, str] = {}
    block = memoryview(bytearray(_BLOCK))
    folders = [("", str(directory))]
    while folders:
        prefix, folder = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append((f"{prefix}{entry.name}/", entry.path))
                elif prefix or entry.name not in (MANIFEST, SIGNATURE):
                    digests[prefix + entry.name] = _sha256(entry.path, block)
    return digests


def _sha256(path: str, block: memoryview) -> str:
    """Of a file, read through ``block``: new memory for what is read would cost more than the
    hashing. By system calls: most files are small, and Python's own open looks at each for longer
    than the hashing takes. A pipe is not waited for: it has nothing.
    """
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        while count := os.readv(descriptor, [block]):
            digest.update(block[:count])
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def digest_of(body: Mapping[str, Any]) -> str:
    """Hash a manifest.

    Args:
        body: The manifest, with or without its digest.

    Returns:
        The SHA-256 of all that is not the digest.
    """
    return hashlib.sha256(
        canonical({k: v for k, v in body.items() if k != "digest"}).encode()
    ).hexdigest()


def _hash_without(digest: str, text: bytes) -> str:
    """Hash the text of a manifest that has this digest, the digest left out. Where the result is
    the digest, the text is that of :func:`write_manifest`: it need not be written again to be
    hashed, as :func:`digest_of` does.
    """
    entry = f"{canonical({'digest': digest})[1:-1]},".encode()
    return hashlib.sha256(text.replace(entry, b"", 1)).hexdigest()


def environment(requirements: tuple[str, ...]) -> dict[str, str]:
    """List the versions that a forecast may depend on.

    Args:
        requirements: Pinned distributions, ``name==version``.

    Returns:
        Python, numpy and each distribution, as they are installed.
    """
    packages = {r.split("==")[0] for r in requirements} | {"numpy"}
    return {
        "python": platform.python_version(),
        **{p: metadata.version(p) for p in sorted(packages)},
    }


def make_manifest(
    artifacts: Mapping[str, Path],
    *,
    pair_id: str,
    run_id: str,
    schema: Schema,
    config: str,
    requirements: tuple[str, ...],
) -> dict[str, Any]:
    """Make the manifest of two finished artifact directories.

    Args:
        artifacts: The directory of each half.
        pair_id: The id of the pair.
        run_id: The run that made it.
        schema: What the pair was trained on.
        config: The composed config, YAML.
        requirements: Pinned distributions that loading it needs.

    Returns:
        The manifest with its digest.
    """
    body: dict[str, Any] = {
        "format": FORMAT,
        "pair_id": pair_id,
        "run_id": run_id,
        "schema": schema.model_dump(mode="json"),
        "config": config,
        "environment": environment(requirements),
        "files": {half: hash_files(artifacts[half]) for half in HALVES},
    }
    return {**body, "digest": digest_of(body)}


def write_manifest(artifacts: Mapping[str, Path], manifest: Mapping[str, Any]) -> None:
    """Write a manifest into both artifact directories.

    Args:
        artifacts: The directory of each half.
        manifest: What :func:`make_manifest` made.
    """
    text = canonical(manifest).encode()
    for half in HALVES:
        (artifacts[half] / MANIFEST).write_bytes(text)


def prove(
    artifacts: Mapping[str, Path], digest: str, ignore: Collection[str] = ()
) -> dict[str, Any]:
    """Check every byte of both artifact directories against the manifest and its digest.

    Nothing of the artifacts but the manifests is parsed.

    Args:
        artifacts: The directory of each half.
        digest: The digest that the registry recorded.
        ignore: Files that the registry's own tools leave there and nobody opens.

    Returns:
        The manifest.

    Raises:
        RefusedError: Something differs; the message names the first thing.
    """
    texts: dict[str, bytes] = {}
    for half in HALVES:
        path = artifacts[half] / MANIFEST
        if not path.is_file():
            raise RefusedError(f"{half} half: {path} is missing; the pair cannot be proven.")
        texts[half] = path.read_bytes()
    if texts["preprocessor"] != texts["model"]:
        raise RefusedError(
            f"the manifests of {artifacts['preprocessor']} and {artifacts['model']} differ: "
            "they are not a pair."
        )
    try:
        manifest: dict[str, Any] = json.loads(texts["model"].decode())
    except ValueError as error:
        raise RefusedError(f"{artifacts['model'] / MANIFEST} is not JSON ({error}).") from error
    if manifest.get("digest") != digest:
        actual = str(manifest.get("digest"))[:12]
        raise RefusedError(
            f"the manifest's digest is {actual}, the registry recorded {digest[:12]}: a "
            "manifest of another pair."
        )
    if _hash_without(digest, texts["model"]) != digest and digest_of(manifest) != digest:
        raise RefusedError(
            f"the manifest of pair {manifest.get('pair_id')} was changed: its content does "
            f"not give {digest[:12]}."
        )
    if manifest.get("format", 1) > FORMAT:
        raise RefusedError(
            f"the pair has the form {manifest['format']}, this version reads {FORMAT}; a later "
            "version registered it, install that one."
        )
    for half in HALVES:
        _compare(half, manifest["files"][half], hash_files(artifacts[half]), ignore)
    return manifest


def prove_half(half: str, artifact: Path, ignore: Collection[str] = ()) -> None:
    """Check one artifact directory against the manifest in it, for a reader that has only this half
    and no registry.

    Args:
        half: ``preprocessor`` or ``model``.
        artifact: The directory.
        ignore: Files that nobody opens.

    Raises:
        RefusedError: Something differs; the message names the first thing.
    """
    path = artifact / MANIFEST
    if not path.is_file():
        raise RefusedError(f"{half} half: {path} is missing; it cannot be proven.")
    manifest = json.loads(path.read_text())
    if digest_of(manifest) != manifest.get("digest"):
        raise RefusedError(
            f"the manifest {path} was changed: its content does not give its digest."
        )
    _compare(half, manifest["files"][half], hash_files(artifact), ignore)


def _compare(
    half: str, expected: Mapping[str, str], actual: Mapping[str, str], ignore: Collection[str]
) -> None:
    for path in sorted({*expected, *actual} - set(ignore)):
        if path not in actual:
            raise RefusedError(f"{half} half: file {path} is missing.")
        if path not in expected:
            raise RefusedError(f"{half} half: file {path} was added.")
        if expected[path] != actual[path]:
            raise RefusedError(
                f"{half} half: file {path} was changed (sha256 {actual[path][:12]}, "
                f"{expected[path][:12]} recorded)."
            )
