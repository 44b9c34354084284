"""The progress of a restore, as files in the state folder: it can be begun again after a kill.

``.restoring/`` is there from before the first file is placed until all is verified. In it,
``mark`` names this restore, and ``placed`` names the backup once every file is in its place: from
then on nothing is placed again, because verifying may have changed what lies there. ``.restored``
says what the folder held when the restore ended: the same command changes nothing there.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from framework.files import atomic_write

_WORK, _ENDED = ".restoring", ".restored"
#: Below the state folder: the records of commands, of a restore that was refused among them.
_RECORDS = "runs"
#: What the lock of a database leaves. It says nothing once its holder has ended.
_LOCK = ".lock"


class Progress:
    """``directory``: where the run that restores has its own records."""

    def __init__(self, state: Path, directory: Path) -> None:
        self._state, self._work, self._ended = state, state / _WORK, state / _ENDED
        #: Whether another process began to restore here, and was killed.
        self.was_begun = self._work.exists()
        #: Whether a restore has ended here.
        self.has_ended = self._ended.exists()
        self.own = (directory, state / _RECORDS, self._work, self._ended)

    @property
    def unpacked(self) -> Path:
        """The folder that an archive is unpacked in."""
        return self._work / "unpacked"

    @property
    def part(self) -> Path:
        """A file that is being copied."""
        return self._work / "part"

    @property
    def mark(self) -> str:
        """The name of this restore, the same when it is begun again."""
        return (self._work / "mark").read_text()

    def begin(self) -> None:
        """Make the folder of a restore, which stays until it has ended."""
        self._work.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.unpacked, ignore_errors=True)
        if not (self._work / "mark").exists():
            with atomic_write(self._work / "mark", durable=True) as stream:
                stream.write(uuid.uuid4().hex.encode())

    def is_placed(self, backup: str, files: Mapping[str, str]) -> bool:
        """Say whether all of a backup is in its place.

        Args:
            backup: The backup's digest.
            files: Its list.

        Returns:
            Whether nothing has to be placed: a restore of it ended here and nothing was changed
            since, or one was killed after the last file.
        """
        if self._read(self._ended) == {"backup": backup, "files": self._stamps()}:
            return True
        names = [name.removeprefix("state/") for name in files if name.startswith("state/")]
        return self._read(self._work / "placed") == {"backup": backup} and all(
            (self._state / name).is_file() for name in names
        )

    def note_placed(self, backup: str) -> None:
        """Note that every file is in its place."""
        _write(self._work / "placed", {"backup": backup})

    def end(self, backup: str) -> None:
        """Note what the folder holds, and that no restore is under way."""
        _write(self._ended, {"backup": backup, "files": self._stamps()})
        shutil.rmtree(self._work)

    def forget(self) -> None:
        """Leave the folder as it was, where nothing has been placed."""
        if not self.was_begun:
            shutil.rmtree(self._work, ignore_errors=True)

    def _stamps(self) -> dict[str, list[int]]:
        """The inode, time and size of every file of the folder."""
        stats = {path: path.stat() for path in state_files(self._state, self.own)}
        return {
            path.relative_to(self._state).as_posix(): [s.st_ino, s.st_mtime_ns, s.st_size]
            for path, s in stats.items()
        }

    @staticmethod
    def _read(file: Path) -> Any:
        try:
            return json.loads(file.read_text())
        except (FileNotFoundError, ValueError):
            return None


def state_files(state: Path, own: tuple[Path, ...]) -> Iterator[Path]:
    """List the files of a state folder in order, locks and what lies below ``own`` left out."""
    for path in sorted(state.rglob("*")):
        if (
            path.is_file()
            and path.suffix != _LOCK
            and not any(path.is_relative_to(folder) for folder in own)
        ):
            yield path


def _write(file: Path, content: Any) -> None:
    with atomic_write(file, durable=True) as stream:
        stream.write(json.dumps(content).encode())
