"""Folders for the temporary files of libraries that give them names."""

from __future__ import annotations

import shutil
import tempfile
import uuid
import weakref
from contextlib import ExitStack, suppress
from pathlib import Path

from framework.data.scratch import Scratch
from framework.files import LockedError, exclusive

_PREFIX = ".scratch-"


class ScratchFolder:
    """An empty folder that is removed with this object. A killed process leaves it: the next one
    that makes a folder in the same place removes it, as its lock is free.
    """

    def __init__(self, scratch: Scratch) -> None:
        """Make the folder.

        Args:
            scratch: It is made beside these arrays, or among the temporary files of the system
                where they are in memory.
        """
        place = scratch.folder if scratch.is_mapped else None
        parent = Path(tempfile.gettempdir()) if place is None else place
        remove_left(parent)
        self.path = parent / f"{_PREFIX}{uuid.uuid4().hex}"
        stack = ExitStack()
        lock = exclusive(_lock(self.path), f"the folder {self.path}", limit=0, remove=True)
        stack.enter_context(lock)
        stack.callback(shutil.rmtree, self.path, ignore_errors=True)
        self.path.mkdir()
        self.close = weakref.finalize(self, stack.close)


def remove_left(parent: Path) -> None:
    """Remove the folders that killed processes left.

    Args:
        parent: Where they are.
    """
    for path in parent.glob(f"{_PREFIX}*.lock"):
        with suppress(LockedError, PermissionError), exclusive(path, "it", limit=0, remove=True):
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)


def _lock(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")
