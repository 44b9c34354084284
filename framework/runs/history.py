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

#: What is said of a move whose signature is not one of a trusted key.
_UNPROVEN = {"unsigned": "is not signed", "unknown": "is signed by a key that is not listed"}


def history(run: Run) -> dict[str, Any]:
    """``at``: the entries up to that instant (a day alone is its first instant, UTC) and where each
    alias pointed then.
    """
    config = run.config
    registry: Registry = run.make("registry")
    name = name_of(run, registry)
    entries: Sequence[HistoryEntry] = registry.history(name, config.alias)
    warnings = _doubts(entries)
    for warning in warnings:
        run.say(f"history: {warning}")
    body: dict[str, Any] = {"warnings": warnings} if warnings else {}
    if config.at is not None:
        at = parse_time(config.at, "at")
        entries = [entry for entry in entries if datetime.fromisoformat(entry.at) <= at]
        live = {
            alias: {"version": e.after, "since": e.at, "digest": e.digest}
            for alias, e in last_moves(entries).items()
        }
        body |= {"at": at.isoformat(), "live": live}
    return {**body, "history": [asdict(entry) for entry in entries]}


def _doubts(entries: Sequence[HistoryEntry]) -> list[str]:
    """Name every entry that is not what was signed, and the newest move of each alias that nobody
    who is trusted has signed.
    """
    newest = [id(entry) for entry in last_moves(entries).values()]
    doubts = []
    for entry in entries:
        status = (entry.signature or {}).get("status")
        label = f"{entry.action} of '{entry.name}' at {entry.at} by {entry.who}"
        if status == "wrong":
            doubts.append(f"{label}: the signature is not of this entry, somebody changed it")
        elif status in _UNPROVEN and id(entry) in newest:
            doubts.append(
                f"{label}: the newest move of alias '{entry.alias}' {_UNPROVEN[status]}; with "
                "registry.trust no load follows it"
            )
    return doubts


def last_moves(entries: Sequence[HistoryEntry]) -> dict[str, HistoryEntry]:
    """The last move of each alias."""
    return {
        entry.alias: entry
        for entry in entries
        if entry.action == "move" and entry.alias is not None
    }
