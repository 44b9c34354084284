"""A limit in seconds on work in a worker process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: How long after the limit a worker is ended whose native code does not come back to Python.
GRACE = 5.0


class Overdue(BaseException):
    """The time is over. It may be raised inside of any component, and passes all of them."""


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raises :class:`Overdue` in the block when ``seconds`` are over; ends the process when it
    cannot be raised. Main thread only.
    """
    if seconds is None:
        yield
        return
    if seconds <= 0:
        raise Overdue

    def expired(number: int, frame: FrameType | None) -> None:
        raise Overdue

    watchdog = threading.Timer(seconds + GRACE, os._exit, [70])
    watchdog.daemon = True
    previous = signal.signal(signal.SIGALRM, expired)
    watchdog.start()
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        watchdog.cancel()
