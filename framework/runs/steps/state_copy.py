"""A copy of the state folder that is consistent while others write in it.

What says how far something has come is copied before what it speaks of: the copy may know less than
it has, never more. The registry copies its own databases first.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from framework.errors import ConfigError, DataError, RefusedError
from framework.files import copy_database
from framework.interfaces.registry import Registry

#: The list of what a backup holds, and the number of its form.
LIST, FORMAT = "backup.json", 1
#: Names of archives, and what Python's tarfile calls them.
_ARCHIVES = {".tar": "", ".tar.gz": "gz", ".tgz": "gz"}
_SQLITE = b"SQLite format 3\0"
#: What SQLite keeps beside a database, locks, and what is being written.
_PASSING = re.compile(r".*(-wal|-shm|-journal|\.lock|\.tmp)|\.(?!hydra$).*")
#: Folders that say how far something has come: an ingestion, and a server's ledger.
_FIRST = ("ingest", "counts")
#: Looks at a folder in which files come and go, and tries to copy a file that changes.
_PASSES = 20

Stamp = tuple[int, int, int]


def copy_state(state: Path, target: Path, without: Path) -> None:
    """Copy a state folder. Links are followed: the copy stands alone.

    Args:
        state: The folder.
        target: The copy. A file that is there already stays as it is.
        without: A folder below ``state`` that is left out.

    Raises:
        DataError: A file changes all the time, or a link leads nowhere.
        OSError: A file or a folder cannot be read.
    """
    stamps: dict[Path, Stamp | None] = {
        path.relative_to(target): None for path in target.rglob("*") if path.is_file()
    }
    for _ in range(_PASSES):
        vanished = False
        for path in sorted(_files(state, without), key=_order):
            name = path.relative_to(state)
            if name in stamps and stamps[name] is None:
                continue
            try:
                stamp = _stamp(path)
                if stamps.get(name) != stamp:
                    stamps[name] = _copy(path, target / name)
            except FileNotFoundError:
                if path.is_symlink():
                    raise DataError(
                        f"{path}: it is a link to what is not there; mend or remove it."
                    ) from None
                vanished = True  # replaced by another, which the next look finds
        if not vanished:
            return
    raise DataError(f"{state}: its files come and go all the time; try again when less is written.")


def archive_mode(path: Path, access: str) -> str | None:
    """Give tarfile's mode for an archive that is read (``r``) or written (``w``); None for a
    folder.
    """
    return next(
        (f"{access}:{kind}" for end, kind in _ARCHIVES.items() if path.name.endswith(end)), None
    )


def why_no_pairs(registry: Registry) -> list[str]:
    """Warn of a registry without a pair: another place than the one that was used looks so."""
    if registry.pairs():
        return []
    return ["the registry has no pair; see whether paths.state and registry name the right place"]


def hashes(folder: Path) -> dict[str, str]:
    """Hash every file below a folder: ``{relative path: sha256}``."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digests[path.relative_to(folder).as_posix()] = file_hash(path)
    return digests


def prove_backup(source: Path, folder: Path) -> tuple[dict[str, str], str]:
    """Prove every file of a backup by its list.

    Args:
        source: The backup, for people.
        folder: Where its files are.

    Returns:
        The list, ``{relative path: sha256}``, and the digest of the backup.

    Raises:
        ConfigError: It is no backup, or one of a later version.
        RefusedError: A file is not as it was written.
    """
    try:
        text = (folder / LIST).read_bytes()
        content = json.loads(text)
        number, files = content["format"], content["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"restore.input: {source} is no backup: it has no readable {LIST}."
        ) from error
    if number != FORMAT:
        raise ConfigError(
            f"restore.input: {source} has the form {number} of a backup, this version reads "
            f"{FORMAT}; use the version that wrote it ({content.get('framework')})."
        )
    actual = {name: digest for name, digest in hashes(folder).items() if name != LIST}
    for name in sorted({*files, *actual}):
        if files.get(name) != actual.get(name):
            what = "is missing" if name not in actual else "was changed or added"
            raise RefusedError(f"restore.input: {source}: {name} {what}; nothing was restored.")
    return actual, hashlib.sha256(text).hexdigest()


def file_hash(path: Path) -> str:
    """Hash the bytes of a file with SHA-256."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(state: Path, without: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(state, onerror=_unreadable, followlinks=True):
        place = Path(folder)
        folders[:] = [
            name
            for name in folders
            if not _PASSING.fullmatch(name)
            and place / name != without
            and not _leads_back(place, place / name)
        ]
        yield from (place / name for name in names if not _PASSING.fullmatch(name))


def _unreadable(error: OSError) -> None:
    """Raise what keeps a folder from being read, unless it went away meanwhile."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _leads_back(parent: Path, folder: Path) -> bool:
    """Say whether a folder is a link to one that it lies in."""
    return folder.is_symlink() and parent.resolve().is_relative_to(folder.resolve())


def _order(path: Path) -> tuple[bool, str]:
    return not any(part in _FIRST for part in path.parent.parts), str(path)


def _stamp(path: Path) -> Stamp:
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _copy(path: Path, target: Path) -> Stamp:
    """Copy a file that does not change meanwhile; give its stamp."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with path.open("rb") as stream:
        if stream.read(len(_SQLITE)) == _SQLITE:
            target.unlink(missing_ok=True)
            stamp = _stamp(path)
            copy_database(path, target)
            return stamp
    for _ in range(_PASSES):
        stamp = _stamp(path)
        shutil.copyfile(path, target)
        if _stamp(path) == stamp:
            return stamp
    raise DataError(f"{path}: it changes all the time; try again when less is written.")
