"""Counts of a process: forecasts offered, accounted for and lost, in a file that outlives it."""

from __future__ import annotations

import fcntl
import os
import struct
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
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
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


def read_counts(path: Path) -> tuple[int, int, int, bool]:
    """Read the counts of a process.

    Args:
        path: The file.

    Returns:
        How many forecasts were offered, accounted for, and lost, and whether the process is alive.
    """
    with path.open("rb") as file:
        content = file.read(_NUMBERS.size).ljust(_NUMBERS.size, b"\0")
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return *_NUMBERS.unpack(content), True
    return *_NUMBERS.unpack(content), False
