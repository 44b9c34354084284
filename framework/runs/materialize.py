"""``run=materialize``: the newest features become readable for serving, once or by a schedule."""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from framework.errors import DataError
from framework.plugins.run import Run
from framework.runs.steps.prepare_data import materialize as once

#: At most so many seconds are slept at once, so that a clock that is set is followed.
_NAP = 30.0


def materialize(run: Run) -> dict[str, Any]:
    """Once, or with ``schedule`` at the times of a cron expression (UTC) until SIGTERM or SIGINT; a
    signal lets the work at hand end.
    """
    schedule = run.options.schedule
    return once(run) if schedule is None else _scheduled(run, schedule)


def _scheduled(run: Run, schedule: str) -> dict[str, Any]:
    """What cannot be read or reached at one time is tried again at the next."""
    from cronsim import CronSim

    rows: dict[str, int] = {}
    done = failed = 0
    with _stop_signals() as told:
        while True:
            due = next(CronSim(schedule, datetime.now(UTC)))
            run.say(f"materialize: next at {due:%Y-%m-%dT%H:%M:%SZ}")
            if _stopped_before(due, told):
                return {"rows": rows, "done": done, "failed": failed}
            try:
                rows = once(run)["rows"]
            except DataError as error:
                failed += 1
                run.say(f"materialize: failed, to be tried again: {error}")
            else:
                done += 1


@contextmanager
def _stop_signals() -> Iterator[socket.socket]:
    """A socket that becomes readable with the first SIGTERM or SIGINT, which do nothing else."""
    told, tell = socket.socketpair()
    with told, tell:
        before = {
            number: signal.signal(number, lambda *_: tell.send(b"!"))
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield told
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _stopped_before(due: datetime, told: socket.socket) -> bool:
    """Wait until ``due``, or until told to stop."""
    while True:
        left = (due - datetime.now(UTC)).total_seconds()
        if select.select([told], [], [], min(max(left, 0.0), _NAP))[0]:
            return True
        if left <= _NAP:
            return False
