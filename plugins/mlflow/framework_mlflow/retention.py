"""Which pairs are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from framework.interfaces.values import HistoryEntry, PairVersion
from framework_mlflow import Retention

#: After every time there is.
_STILL = "9999"


def superfluous(pairs: Sequence[PairVersion], history: Sequence[HistoryEntry], retention: Retention) -> list[PairVersion]:
    """Those of ``pairs`` (newest first) that are under no alias, not among the newest, and had no alias within the days to keep."""
    since = (datetime.now(UTC) - timedelta(days=retention.days)).isoformat()
    live = {number for alias in {e.alias for e in history if e.alias} for number in _live_since(history, alias, since)}
    return [pair for i, pair in enumerate(pairs) if i >= retention.last and not pair.aliases and pair.version not in live]


def _live_since(history: Sequence[HistoryEntry], alias: str, since: str) -> set[int]:
    """The versions that the alias pointed at, at ``since`` or later."""
    moves = [entry for entry in history if entry.alias == alias and entry.action == "move" and entry.after is not None]
    ends = [*(entry.at for entry in moves[1:]), _STILL]
    return {entry.after for entry, end in zip(moves, ends, strict=False) if end >= since and entry.after is not None}
