"""The pairs that are kept, and the uploads that will never be one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from framework.interfaces.registry import HistoryEntry, PairVersion
from framework_mlflow.ledger.transaction import LedgerWriter, Upload
from framework_mlflow.options import Retention

#: After every time there is.
_STILL = "9999"


def superfluous(
    pairs: Sequence[PairVersion], history: Sequence[HistoryEntry], retention: Retention
) -> list[PairVersion]:
    """Find the ``pairs`` (newest first) that are under no alias, not among the newest, and had no
    alias within the days to keep.
    """
    since = (datetime.now(UTC) - timedelta(days=retention.days)).isoformat()
    live = {
        number
        for alias in {e.alias for e in history if e.alias}
        for number in _live_since(history, alias, since)
    }
    return [
        pair
        for i, pair in enumerate(pairs)
        if i >= retention.last and not pair.aliases and pair.version not in live
    ]


def give_up_uploads(writer: LedgerWriter, name: str, retention: Retention) -> list[Upload]:
    """Mark those that are too old to be under way, and remember it;
    :func:`framework_mlflow.registry.mirror.delete_abandoned` deletes their files.

    A registration that is under way after all finds its upload given up when it wants to complete
    its pair, and fails instead.
    """
    before = (datetime.now(UTC) - timedelta(hours=retention.upload_hours)).isoformat(
        timespec="microseconds"
    )
    overdue = [
        upload for upload in writer.uploads(name) if not upload.abandoned and upload.begun <= before
    ]
    for upload in overdue:
        writer.abandon_upload(upload.pair_id)
        writer.remember(name, "remove", reason=why_given_up(upload))
    return overdue


def why_given_up(upload: Upload) -> str:
    return (
        f"upload {upload.pair_id}: the registration that {upload.who} began at {upload.begun} "
        "never completed its pair"
    )


def _live_since(history: Sequence[HistoryEntry], alias: str, since: str) -> set[int]:
    """The versions that the alias pointed at, at ``since`` or later."""
    moves = [
        entry
        for entry in history
        if entry.alias == alias and entry.action == "move" and entry.after is not None
    ]
    ends = [*(entry.at for entry in moves[1:]), _STILL]
    return {
        entry.after
        for entry, end in zip(moves, ends, strict=False)
        if end >= since and entry.after is not None
    }
