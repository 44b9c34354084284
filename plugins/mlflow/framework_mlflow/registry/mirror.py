"""MLflow's view of what the ledger decided: state tags and aliases, for its UI and for plain MLflow
clients.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from framework.pairs.manifest import HALVES
from framework_mlflow import artifacts
from framework_mlflow.ledger.transaction import LedgerWriter, Upload
from framework_mlflow.store.store import COMPLETE, STATE, Store

log = logging.getLogger(__name__)


def finish_pairs(
    writer: LedgerWriter, store: Store, name: str, step: Callable[[str], None]
) -> list[int]:
    """Tag the versions of pairs that are committed but not shown yet. Returns their numbers."""
    pending = writer.unmirrored_pairs(name)
    for pair in pending:
        for half in HALVES:
            if not store.tag(name, half, pair.version, STATE, COMPLETE):
                log.warning(
                    "%s: MLflow has no version %d of the %s half any more", name, pair.version, half
                )
            step(f"{half} shown")
        writer.pair_is_mirrored(name, pair.version)
    return [pair.version for pair in pending]


def mirror_aliases(
    writer: LedgerWriter, store: Store, name: str, step: Callable[[str], None]
) -> list[str]:
    """Point MLflow's aliases of both halves where the ledger says, for those that moved. Returns
    their names.
    """
    pending = writer.unmirrored_aliases(name)
    for alias, version in pending.items():
        for half in HALVES:
            if not store.set_alias(name, half, alias, version):
                log.warning(
                    "%s@%s: MLflow has no version %d of the %s half any more",
                    name,
                    alias,
                    version,
                    half,
                )
            step(f"{half} alias shown")
        writer.alias_is_mirrored(name, alias)
    return list(pending)


def delete_removed(
    writer: LedgerWriter, store: Store, name: str, step: Callable[[str], None]
) -> list[int]:
    """Delete what is left of pairs that are none any more: both versions, then the files. Returns
    their numbers.
    """
    removed = writer.removed(name)
    for version, sources in removed.items():
        for half in HALVES:
            store.delete_version(name, half, version)
            step(f"{half} deleted")
            artifacts.remove(sources[half], store.uri)
            step(f"{half} files deleted")
        writer.forget_removed(name, version)
    return list(removed)


def delete_abandoned(
    writer: LedgerWriter, store: Store, name: str, step: Callable[[str], None]
) -> list[Upload]:
    """Delete the files of uploads that were given up. Returns what they were."""
    abandoned = [upload for upload in writer.uploads(name) if upload.abandoned]
    for upload in abandoned:
        for half in HALVES:
            artifacts.remove(upload.sources[half], store.uri)
            step(f"{half} upload deleted")
        writer.forget_upload(upload.pair_id)
    return abandoned
