"""Python's garbage collector, set for a process that imports large libraries and ends soon."""

from __future__ import annotations

import atexit
import gc

#: New objects before the collector looks at the young, and looks before those that are older.
#: Imports make a million objects that stay. By Python's own 700, 10, 10 it looks through them again
#: and again: a second of each command.
_SELDOM = (100_000, 20, 100)


def collect_seldom() -> None:
    """Let the collector run seldom, and not at the end of the process.

    At the end Python would look through all objects three times, for a second, before it gives
    their memory back. Reference counts still close what is open, and ``atexit`` calls what is
    registered.
    """
    gc.set_threshold(*_SELDOM)
    atexit.unregister(gc.freeze)  # the command line may run more than once in a process
    atexit.register(gc.freeze)
