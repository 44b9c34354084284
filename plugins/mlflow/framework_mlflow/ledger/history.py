"""The history as a hash chain: each entry's hash covers the one before, so that a changed, removed
or added entry shows. A key may sign an entry, so that who moved an alias is proven, not only said.
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
from typing import Any

from framework.interfaces.registry import HistoryEntry
from framework.pairs.manifest import canonical

#: What the first entry of a name follows.
GENESIS = ""

#: Where a CI service says which job runs: the variable by which it is known, and the job's address.
_CI = {
    "GITHUB_ACTIONS": "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
    "GITLAB_CI": "{CI_JOB_URL}",
    "JENKINS_URL": "{BUILD_URL}",
}


@dataclass(frozen=True, slots=True)
class EntrySignature:
    """A signature of an entry, in base64, and the name of its key."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Link:
    """An entry as it is stored: its place in the name's chain (from 1), the hash of the entry
    before, its own; its signature, where a key signed it.
    """

    number: int
    entry: HistoryEntry
    previous: str
    hash: str
    signature: EntrySignature | None = None


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def who() -> str:
    """Say who acts: what the environment variable ``FRAMEWORK_USER`` says, else the address of the
    CI job, else ``user@host``.
    """
    user = os.environ.get("FRAMEWORK_USER")
    if user:
        return user
    for variable, address in _CI.items():
        if os.environ.get(variable):
            try:
                return address.format_map(os.environ)
            except KeyError:
                continue
    return f"{getpass.getuser()}@{socket.gethostname()}"


def entry_text(number: int, entry: HistoryEntry, previous: str) -> bytes:
    """Write an entry and its place in the chain as they are hashed and signed: all of it, but for
    what is known of its signature.
    """
    fields: dict[str, Any] = asdict(entry)
    del fields["signature"]
    return canonical([number, previous, fields]).encode()


def link_hash(number: int, entry: HistoryEntry, previous: str) -> str:
    return hashlib.sha256(entry_text(number, entry, previous)).hexdigest()


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
