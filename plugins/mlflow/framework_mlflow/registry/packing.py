"""The files of a pair before they are stored: both halves, what attests them, manifest and
signatures.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from framework.interfaces.registry import PairDraft
from framework.pairs.artifacts import read_fingerprints
from framework.pairs.attestations import write_attestations
from framework.pairs.manifest import HALVES, make_manifest, write_manifest
from framework.pairs.provenance import versions
from framework_mlflow import artifacts
from framework_mlflow.keys import SigningKey
from framework_mlflow.signature import sign


def pack(
    draft: PairDraft,
    folder: Path,
    pair_id: str,
    run_id: str,
    key: SigningKey | None,
    saved: Callable[[], None],
) -> tuple[dict[str, Path], str]:
    """Write both halves as they are stored.

    Args:
        draft: The pair on local disk.
        folder: Where they are written.
        pair_id: The id of the pair.
        run_id: The run that made it.
        key: What signs it, None: nothing does.
        saved: Called when the halves are there and the manifest is not.

    Returns:
        The directory of each half, and the digest of the manifest.
    """
    halves = artifacts.save(draft, folder)
    saved()
    write_attestations(
        halves,
        name=draft.schema.name,
        pair_id=pair_id,
        run_id=run_id,
        config=draft.config,
        data=read_fingerprints(draft.model),
        versions=versions(*(line.split("==")[0] for line in draft.requirements)),
    )
    manifest = make_manifest(
        halves,
        pair_id=pair_id,
        run_id=run_id,
        schema=draft.schema,
        config=draft.config,
        requirements=draft.requirements,
    )
    write_manifest(halves, manifest)
    if key is not None:
        for half in HALVES:
            sign(halves[half], f"{draft.schema.name}_{half}", key)
    return halves, str(manifest["digest"])
