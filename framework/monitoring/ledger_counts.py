"""Counts of a process: forecasts offered, accounted for and lost, in a file that outlives it."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_NUMBERS = struct.Struct("<QQQ")
#: The places of the counts.
OFFERED, ACCOUNTED, LOST = 0, 1, 2


class Counts:
    """The counts of this process, which hold a lock while it lives.

    Args:
        path: The file, in a folder that exists.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)  # a reader may have it for a moment
        os.pwrite(self._file, _NUMBERS.pack(0, 0, 0), 0)

    def write(self, place: int, number: int) -> None:
        """Write one of the counts, by a system call.

        Args:
            place: Which one.
            number: Its value.

        Raises:
            OSError: The disk refused.
        """
        os.pwrite(self._file, number.to_bytes(8, "little"), 8 * place)

    def close(self) -> None:
        """Let go of the file: the process no longer writes."""
        os.close(self._file)


@dataclass(frozen=True, slots=True)
class ProcessCounts:
    """The forecasts of a process: how many were ``offered``, ``accounted`` for and ``lost``, and
    whether it is ``alive``. ``path``: the file.
    """

    path: Path
    offered: int
    accounted: int
    lost: int
    alive: bool

    @property
    def process(self) -> str:
        """The name of the process."""
        return self.path.name


def read_counts(folder: Path) -> Iterator[ProcessCounts]:
    """Read the counts of all processes, in the order of their names.

    Args:
        folder: Of the files. One that goes meanwhile is left out: somebody else has settled it.

    Returns:
        The counts of each.
    """
    for path in sorted(folder.glob("*")):
        try:
            with path.open("rb") as file:
                content = file.read(_NUMBERS.size).ljust(_NUMBERS.size, b"\0")
                alive = not _is_free(file.fileno())
        except FileNotFoundError:
            continue
        offered, accounted, lost = _NUMBERS.unpack(content)
        yield ProcessCounts(path, offered, accounted, lost, alive)


def _is_free(file: int) -> bool:
    """Say whether nobody holds the lock of a file of counts."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
