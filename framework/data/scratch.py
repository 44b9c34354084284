"""Places for the arrays of many rows: memory, or files that the system may take out of it."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from framework.data.arrays import Flags
from framework.errors import ConfigError

Array = npt.NDArray[Any]
#: Rows that are copied or made at a time.
BLOCK = 500_000


@dataclass(frozen=True, slots=True)
class Scratch:
    """A place for arrays. With a ``folder`` their bytes are in files there, mapped into memory: the
    system writes them out when it needs the memory, and reads them again when they are used.

    No file has a name, so that nothing is left when the process ends, however it ends. The disk has
    room for an array before it is written, so that a full disk is an error and no crash. Arrays of
    texts, and those of a folder that this machine does not have, are in memory.
    """

    folder: Path | None = None

    @property
    def is_mapped(self) -> bool:
        """Say whether arrays are in files."""
        return self.folder is not None and self.folder.is_dir()

    def empty(self, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
        """Make an array, to be filled.

        Args:
            shape: Its shape.
            dtype: Its type.

        Returns:
            The array.

        Raises:
            ConfigError: The disk has no room for it.
        """
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        if not size or kind.hasobject or not self.is_mapped:
            return np.empty(tuple(shape), dtype=kind)
        with self._file() as file:
            _reserve(self.folder, file, size)
            return _mapped(file, shape, kind)

    def columns(self, array: Array, places: Sequence[int]) -> Array:
        """Copy columns of an array, block by block.

        Args:
            array: ``[rows, columns]``.
            places: Which columns.

        Returns:
            ``[rows, places]``.
        """
        out = self.empty((len(array), len(places)), array.dtype)
        for rows in blocks(len(array)):
            out[rows] = array[rows][:, list(places)]
        return out

    def picker(self, keep: Flags) -> Callable[[Array], Array]:
        """Prepare to take rows out of arrays.

        Args:
            keep: ``[rows]``: which ones.

        Returns:
            A function of an array ``[rows, ...]``, which copies these rows of it.
        """
        if not self.is_mapped:
            places = np.flatnonzero(keep)
            return lambda array: array.take(places, axis=0)
        count = int(np.count_nonzero(keep))

        def pick(array: Array) -> Array:
            out, end = self.empty((count, *array.shape[1:]), array.dtype), 0
            for rows in blocks(len(keep)):
                part = array[rows][keep[rows]]
                out[end : end + len(part)] = part
                end += len(part)
            return out

        return pick

    def _file(self) -> IO[bytes]:
        """Open a file without a name."""
        return tempfile.TemporaryFile(dir=self.folder, buffering=0)


#: Every array in memory.
IN_MEMORY = Scratch()


class Pieces:
    """An array that comes piece by piece, along its first axis."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._kept: list[Array] = []
        self._file: IO[bytes] | None = None
        self._rows = 0

    def add(self, piece: Array) -> None:
        """Append a piece.

        Args:
            piece: ``[rows, ...]``, of the type and the width of the others.

        Raises:
            ConfigError: The disk has no room for it.
        """
        self._rows += len(piece)
        if piece.dtype.hasobject or not self._scratch.is_mapped:
            self._kept.append(piece)
            return
        if self._file is None:
            self._file = self._scratch._file()
        self._kept = [piece[:0]]  # the type and the width
        try:
            np.ascontiguousarray(piece).tofile(self._file)
        except OSError as error:
            raise _full(self._scratch.folder, piece.nbytes) from error

    def whole(self) -> Array:
        """Join the pieces; they are gone then.

        Returns:
            The array.
        """
        pieces, file = self._kept, self._file
        self._kept, self._file = [], None
        if file is None:
            return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        with file:
            shape = (self._rows, *pieces[0].shape[1:])
            if not math.prod(shape):
                return np.empty(shape, dtype=pieces[0].dtype)
            return _mapped(file, shape, pieces[0].dtype)


def blocks(count: int) -> Iterator[slice]:
    """Divide rows.

    Args:
        count: How many rows there are.

    Yields:
        Slices of :data:`BLOCK` rows, in order.
    """
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count))


def _reserve(folder: Path | None, file: IO[bytes], size: int) -> None:
    """Take the room on the disk: a page that has none when it is written would end the process."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        raise _full(folder, size) from error


def _mapped(file: IO[bytes], shape: Sequence[int], kind: np.dtype[Any]) -> Array:
    """Map the whole file; the mapping outlives it."""
    size = math.prod(shape) * kind.itemsize
    return np.ndarray(tuple(shape), dtype=kind, buffer=mmap.mmap(file.fileno(), size))


def _full(folder: Path | None, size: int) -> ConfigError:
    return ConfigError(
        f"paths.state: the disk of {folder} has no room for {size / 2**20:.0f} MB of the panel; "
        "make room, or set paths.state to a folder of a larger disk."
    )
