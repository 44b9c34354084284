"""Do a run's work at the times of a cron expression, until a signal ends it."""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from framework.errors import DataError, RegistryError, one_line
from framework.files import LockedError
from framework.plugins.run import Run

#: At most so many seconds are slept at once, so that a clock that is set is followed.
_NAP = 30.0


def by_schedule(
    run: Run, work: Callable[[Run], dict[str, Any]], empty: dict[str, Any]
) -> dict[str, Any]:
    """Do the work once, or by ``run.options.schedule`` until SIGTERM or SIGINT.

    A signal lets the work at hand end. What cannot be read, written or reached at one time is tried
    again at the next.

    Args:
        run: Its options have a ``schedule``, a cron expression in UTC or None.
        work: What is done.
        empty: The result where nothing was done.

    Returns:
        The result of the work; by a schedule that of the last time, and how often it was ``done``
        and ``failed``.
    """
    schedule = run.options.schedule
    if schedule is None:
        return work(run)
    from cronsim import CronSim

    result, successes, failed = empty, 0, 0
    with _stop_signals() as receiver:
        while True:
            due = next(CronSim(schedule, datetime.now(UTC)))
            run.say(f"{run.config.run}: next at {due:%Y-%m-%dT%H:%M:%SZ}")
            if _stopped_before(due, receiver):
                return {**result, "done": successes, "failed": failed}
            try:
                result = work(run)
            except (DataError, RegistryError, LockedError, OSError) as error:
                failed += 1
                run.say(f"{run.config.run}: failed, to be tried again: {one_line(error)}")
            else:
                successes += 1


@contextmanager
def _stop_signals() -> Iterator[socket.socket]:
    """A socket that becomes readable with the first SIGTERM or SIGINT, which do nothing else."""
    receiver, sender = socket.socketpair()
    with receiver, sender:
        before = {
            number: signal.signal(number, lambda *_: sender.send(b"!"))
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield receiver
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _stopped_before(due: datetime, receiver: socket.socket) -> bool:
    """Wait until ``due``, or until told to stop."""
    while True:
        seconds = (due - datetime.now(UTC)).total_seconds()
        if select.select([receiver], [], [], min(max(seconds, 0.0), _NAP))[0]:
            return True
        if seconds <= _NAP:
            return False
