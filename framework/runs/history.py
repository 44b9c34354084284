"""``run=history``: what happened to a name or to one alias, oldest first, and what was live
then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from framework.data.time import parse_time
from framework.interfaces.registry import HistoryEntry, Registry
from framework.plugins.run import Run
from framework.runs.steps.names import name_of


def history(run: Run) -> dict[str, Any]:
    """``at``: the entries up to that instant (a day alone is its first instant, UTC) and where each
    alias pointed then.
    """
    config = run.config
    registry: Registry = run.make("registry")
    name = name_of(run, registry)
    entries: Sequence[HistoryEntry] = registry.history(name, config.alias)
    if config.at is not None:
        at = parse_time(config.at, "at")
        entries = [entry for entry in entries if datetime.fromisoformat(entry.at) <= at]
        live = {
            alias: {"version": e.after, "since": e.at, "digest": e.digest}
            for alias, e in last_moves(entries).items()
        }
        return {"at": at.isoformat(), "live": live, "history": [asdict(entry) for entry in entries]}
    return {"history": [asdict(entry) for entry in entries]}


def last_moves(entries: Sequence[HistoryEntry]) -> dict[str, HistoryEntry]:
    """The last move of each alias."""
    return {
        entry.alias: entry
        for entry in entries
        if entry.action == "move" and entry.alias is not None
    }
