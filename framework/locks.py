"""One process at a time: a file that the kernel locks, so that whoever holds it may be killed and leaves nothing behind."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock ``path``, in the order of asking; its folder is made. ``waiting`` is called when somebody else holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            # A library may have put a handler under Python's that lets system calls go on after Ctrl-C (polars does): this wait must end.
            signal.siginterrupt(signal.SIGINT, True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
