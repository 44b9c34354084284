"""The history as a hash chain: each entry's hash covers the one before, so that a changed, removed
or added entry shows.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from framework.interfaces.registry import HistoryEntry
from framework.pairs.manifest import canonical

#: What the first entry of a name follows.
GENESIS = ""


@dataclass(frozen=True, slots=True)
class Link:
    """An entry as it is stored: its place in the name's chain (from 1), the hash of the entry
    before, its own.
    """

    number: int
    entry: HistoryEntry
    previous: str
    hash: str


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def who() -> str:
    """``user@host``; the environment variable ``FRAMEWORK_USER`` overrules it, for CI that acts for
    somebody.
    """
    return os.environ.get("FRAMEWORK_USER") or f"{getpass.getuser()}@{socket.gethostname()}"


def link_hash(number: int, entry: HistoryEntry, previous: str) -> str:
    return hashlib.sha256(canonical([number, previous, asdict(entry)]).encode()).hexdigest()


def follow(number: int, previous: str, entry: HistoryEntry) -> Link:
    """``entry`` as the link after ``previous``, in the form that it will be read back in."""
    plain = HistoryEntry(**json.loads(json.dumps(asdict(entry), default=str)))
    return Link(number, plain, previous, link_hash(number, plain, previous))


def breaks(name: str, links: Iterable[Link], count: int, head: str) -> list[str]:
    """List what is wrong with the chain of ``name``, one line each; ``count`` and ``head`` are what
    its end was recorded as.
    """
    problems: list[str] = []
    number, previous = 0, GENESIS
    for link in links:
        label = f"history entry {link.number} of '{name}' ({link.entry.at}, {link.entry.action})"
        if link.number != number + 1:
            problems.append(
                f"history of '{name}': entries {number + 1} to {link.number - 1} are missing"
            )
        elif link.previous != previous:
            problems.append(f"{label} does not follow the entry before it")
        if link_hash(link.number, link.entry, link.previous) != link.hash:
            problems.append(f"{label} was changed after it was written")
        number, previous = link.number, link.hash
    if number != count:
        problems.append(f"history of '{name}': {count} entries were written, {number} are there")
    elif previous != head:
        problems.append(f"history of '{name}': its last entry is not the one that was written last")
    return problems
