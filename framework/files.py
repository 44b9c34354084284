"""Files that survive a kill: written whole or not at all, and changed by one process at a time.

A lock is a file that the kernel locks, so that a killed holder leaves nothing behind. Every wait
for a lock of the product goes through :func:`exclusive`, or has a limit of its own where a database
keeps the lock. Who holds a lock stands in its file, for those who wait.
"""

from __future__ import annotations

import fcntl
import glob
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import BinaryIO

from framework.errors import FrameworkError

log = logging.getLogger(__name__)

#: Seconds that a wait may take: what is done under most locks takes seconds.
PATIENCE = 120.0
#: The same where a whole ingestion may be in front.
LONG_PATIENCE = 3600.0
#: Seconds after which a wait is told.
_QUIET = 2.0
#: Seconds after which a wait looks for signals.
_PIECE = 0.2
#: The locks of this process: device and inode of the file; process and thread that have it.
_owners: dict[tuple[int, int], tuple[int, int]] = {}


class LockedError(FrameworkError):
    """A lock was not free within the limit of the wait."""


@contextmanager
def atomic_write(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """Write a file whole or not at all. Its folder is made.

    The content is written beside ``path`` and renamed when the block ends, so that a reader sees
    the old file or the new one. A block that raises leaves the old file. A killed process leaves at
    most a hidden ``.NAME.….tmp``.

    Args:
        path: The file. An existing one is replaced.
        durable: Whether the file survives a crash of the machine from the end of the block on; this
            waits for the disk.

    Yields:
        The stream to write to.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with beside.open("wb") as stream:
            yield stream
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    if durable:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_remains(path: Path) -> None:
    """Remove what killed writers of a file left. Call it where nobody writes the file, under its
    lock.

    Args:
        path: The file.
    """
    for remains in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        remains.unlink(missing_ok=True)


@contextmanager
def exclusive(
    path: Path,
    what: str,
    *,
    limit: float | None = None,
    say: Callable[[str], None] | None = None,
    remove: bool = False,
) -> Iterator[None]:
    """Hold the lock ``path``, in the order of asking. Its folder is made.

    Args:
        path: The lock file. What it holds is who has the lock, or had it last.
        what: What the lock is for, as the subject of a message: ``the ledger``.
        limit: Seconds to wait, :data:`PATIENCE` by default; 0 refuses at once.
        say: Called at once when somebody else holds the lock; a log line after two seconds
            otherwise.
        remove: Delete the file afterwards: for a lock beside a file of the user.

    Yields:
        Nothing, while the lock is held.

    Raises:
        LockedError: The limit has passed; the message says who holds the lock.
        RuntimeError: This thread holds the lock already and would wait for itself.
    """
    file = _locked(path, what, PATIENCE if limit is None else limit, say)
    try:
        key = _key(file)
        _owners[key] = _thread()
        _write(file, json.dumps(_self()))
        try:
            yield
        finally:
            del _owners[key]
            _write(file, "")
            if remove:
                path.unlink(missing_ok=True)
    finally:
        os.close(file)


def holder(path: Path) -> str:
    """Say in words who holds a lock.

    Args:
        path: The lock file.

    Returns:
        Process, machine, command, since when; ``another process`` when the file does not say.
    """
    try:
        owner = json.loads(path.read_text())
        place = "" if owner["host"] == socket.gethostname() else f" on {owner['host']}"
        return f"process {owner['pid']}{place} ({owner['command']}) since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def this_process() -> str:
    """Say what this process was started for: its run and experiment alone, as other overrides may
    hold secrets.

    Returns:
        One line.
    """
    program, *arguments = sys.argv or [""]
    name = "framework" if Path(program).stem in ("__main__", "framework") else Path(program).name
    selection = (a for a in arguments if a.startswith(("run=", "+experiment=")))
    return " ".join([name or "python", *selection])


def _self() -> dict[str, object]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": this_process(),
        "since": since,
    }


def _locked(path: Path, what: str, limit: float, say: Callable[[str], None] | None) -> int:
    """An open file that has the lock and is still the one at ``path``."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _wait(file, path, what, limit, say)
        except BaseException:
            os.close(file)
            raise
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        os.close(file)  # its holder has removed it: others meet at a new one


def _wait(
    file: int, path: Path, what: str, limit: float, say: Callable[[str], None] | None
) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    except BlockingIOError:
        if limit <= 0:
            raise LockedError(f"{what} is held by {holder(path)}.") from None
        if _owners.get(_key(file)) == _thread():
            raise RuntimeError(
                f"{path}: this thread holds the lock already; it would wait for itself"
            ) from None
    if say is not None:
        say(f"{what} is held by {holder(path)}; waiting for it to end")
    turn, quiet = _Turn(file), min(_QUIET, limit)
    if turn.came(quiet):
        return
    if say is None:
        log.warning("%s is held by %s; waiting for up to %g s", what, holder(path), limit)
    if not turn.came(limit - quiet):
        raise LockedError(
            f"{what} is held by {holder(path)}; it was not free within {limit:g} s. Let "
            "that process end, or end it, and try again."
        )


class _Turn:
    """A place in the kernel's queue for a lock, which alone is in the order of asking.

    A thread takes it: nothing else ends a wait in that queue after a time. Closing the file gives
    the place up: the lock is let go as soon as it comes.
    """

    def __init__(self, file: int) -> None:
        self._file = os.dup(file)  # the same lock, which lasts until both are closed
        self._answer: Future[None] = Future()
        threading.Thread(target=self._queue, name="lock", daemon=True).start()

    def _queue(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._answer.set_result(None)
        except OSError as error:
            self._answer.set_exception(error)
        os.close(self._file)

    def came(self, seconds: float) -> bool:
        """Wait for the lock; say whether it came within ``seconds``. Raises OSError when it cannot
        be had.

        The wait is cut into pieces: a library may have put a handler under Python's that lets
        system calls go on after Ctrl-C (polars does).
        """
        end = monotonic() + seconds
        while not self._answer.done():
            time_left = end - monotonic()
            if time_left <= 0:
                return False
            wait([self._answer], timeout=min(time_left, _PIECE))
        self._answer.result()
        return True


def _key(file: int) -> tuple[int, int]:
    status = os.fstat(file)
    return status.st_dev, status.st_ino


def _thread() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def _write(file: int, text: str) -> None:
    """Replace what the lock file says. A full disk takes the message, not the lock."""
    with suppress(OSError):
        os.ftruncate(file, 0)
        os.pwrite(file, text.encode(), 0)


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database as it is at one moment, while others may write it.

    Args:
        source: The database's file.
        target: The copy, which must not exist. Its folder is made.

    Raises:
        sqlite3.Error: The database cannot be read, or the copy not written.
        LockedError: Somebody has written it for longer than :data:`PATIENCE`.
    """
    import sqlite3

    def progress(status: int, *_: int) -> None:
        """Python's own backup would wait for ever."""
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise LockedError(
                f"the database {source} is locked; it was not free within {PATIENCE:g} s. Let the "
                "process that writes it end, and try again."
            )

    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as original,
        closing(sqlite3.connect(target)) as copy,
    ):
        original.execute(f"PRAGMA busy_timeout = {int(PATIENCE * 1000)}")
        original.backup(copy, progress=progress)
        copy.execute("PRAGMA journal_mode = DELETE")  # all of it is in one file
