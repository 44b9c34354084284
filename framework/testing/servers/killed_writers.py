"""Processes of a server that are killed while they answer, and what the ledger says of it."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from framework.interfaces.ledger import Ledger
from framework.monitoring.ledger_counts import ProcessCounts, read_counts
from framework.testing.servers.fake_server import make_row

#: Seconds until a killed process has another in its place, and until what waits is written.
_PATIENCE = 120.0
_BODY = {"rows": [make_row()]}


@dataclass(frozen=True, slots=True)
class Losses:
    """``answered``: forecasts. ``missing``: those of them that the ledger lacks. ``costly``: how
    many kills cost forecasts.
    """

    answered: int
    missing: int
    costly: int


def kill_writers(
    url: str, ledger: Ledger, state: Path, counts: Path, *, kills: int, seed: int
) -> Losses:
    """Kill one process after the other that writes a ledger, each after a random time of requests.

    Args:
        url: The server's, which starts another process for one that is killed.
        ledger: As the server keeps it.
        state: The folder of the server's state.
        counts: The folder of the files of counts.
        kills: How many.
        seed: Of the times, and of who is killed.

    Returns:
        The losses when nothing waits any more.

    Raises:
        AssertionError: The ledger says something else than what is lost, after any of the kills.
    """
    rng = random.Random(seed)  # noqa: S311
    answered, costly, loss = 0, 0, 0
    for number in range(kills):
        until = time.monotonic() + rng.uniform(0.2, 3.0)
        while time.monotonic() < until:
            answered += _is_answered(url)
        _replace_one(counts, rng)
        answered += _wait(lambda: _is_answered(url))
        size = _settled(ledger, state)
        before, loss = loss, ledger.counts("fake", state).missing
        costly += loss > before
        assert size + loss == answered, (number, size, loss, answered)
    return Losses(answered, loss, costly)


def _replace_one(counts: Path, rng: random.Random) -> None:
    """Kill a process, and wait until another is in its place."""
    before = {one.process for one in _alive(counts)}
    victim = rng.choice(sorted(before))
    os.kill(int(victim.split("-")[-2]), signal.SIGKILL)

    def is_replaced() -> bool:
        now = {one.process for one in _alive(counts)}
        return victim not in now and len(now) >= len(before)

    _wait(is_replaced)


def _is_answered(url: str) -> bool:
    try:
        return httpx.post(f"{url}/predict", json=_BODY, timeout=60).is_success
    except httpx.HTTPError:
        return False


def _alive(counts: Path) -> list[ProcessCounts]:
    return [one for one in read_counts(counts) if one.alive]


def _settled(ledger: Ledger, state: Path) -> int:
    """Wait until nothing waits, and count what the ledger has."""
    _wait(lambda: ledger.counts("fake", state).waiting == 0)
    return sum(
        len(set(table["request_id"].to_pylist()))
        for table in ledger.read("fake", state, ["request_id"], None)
    )


def _wait(is_so: Callable[[], bool]) -> bool:
    """Wait until something is so."""
    until = time.monotonic() + _PATIENCE
    while not is_so():
        assert time.monotonic() < until, "nothing has changed for two minutes"
        time.sleep(0.05)
    return True
