"""``run=restore``: what ``run=backup`` wrote becomes the state folder, proven file by file."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from framework.errors import ConfigError, RefusedError, one_line
from framework.interfaces.registry import Registry
from framework.plugins.run import Run
from framework.runs.steps.state_copy import (
    FORMAT,
    LIST,
    archive_mode,
    file_hash,
    hashes,
    why_no_pairs,
)

#: There while a restore is under way, or was when its process ended.
_WORK = ".restoring"
#: Below the state folder: the records of commands, of a restore that was refused among them.
_RECORDS = "runs"


def restore(run: Run) -> dict[str, Any]:
    """Restore ``restore.input`` into an empty ``paths.state``, which may be another place than
    that of the backup.
    """
    state, source = run.config.paths.state.absolute(), run.options.input.absolute()
    if not source.exists():
        raise ConfigError(f"restore.input: {source} is not there.")
    work = state / _WORK
    interrupted = work.exists()
    own = (run.directory.absolute(), state / _RECORDS)
    if not interrupted:
        _refuse_others(state, own, {})
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        folder = _unpacked(source, work)
        files = _proven(source, folder)
        if interrupted:
            _refuse_others(state, (*own, work), files)
    except BaseException:
        if not interrupted:
            shutil.rmtree(work, ignore_errors=True)
        raise
    registry: Registry = run.make("registry")
    registry.restore(folder)
    if (folder / "state").is_dir():
        _place(folder / "state", state, work / ".part")
    shutil.rmtree(work)
    findings = registry.verify()
    broken = [finding.text for finding in findings if not finding.repaired]
    if broken:
        raise RefusedError(f"{source} was restored, and is broken: {'; '.join(broken)}")
    run.say(f"restore: {len(files)} files in {state}")
    body = {
        "state": str(state),
        "files": len(files),
        "pairs": len(registry.pairs()),
        "findings": [finding.text for finding in findings],
    }
    warnings = why_no_pairs(registry)
    for warning in warnings:
        run.say(f"restore: {warning}")
    return {**body, "warnings": warnings} if warnings else body


def _refuse_others(state: Path, own: tuple[Path, ...], files: Mapping[str, str]) -> None:
    """Raise ConfigError when the state folder holds a file that is neither below ``own`` nor, with
    the same bytes, in the backup's list ``files``.
    """
    for path in sorted(state.rglob("*")):
        if not path.is_file() or any(path.is_relative_to(folder) for folder in own):
            continue
        name = path.relative_to(state)
        if files.get(f"state/{name.as_posix()}") != file_hash(path):
            raise ConfigError(
                f"paths.state: {state} is not empty (it has {name}); move it away, or name "
                "another folder."
            )


def _place(folder: Path, state: Path, part: Path) -> None:
    """Copy every file whole or not at all, so that an interrupted restore can tell its own files
    from those that came later.
    """

    def copy(original: str, target: str) -> None:
        shutil.copy2(original, part)
        os.replace(part, target)

    shutil.copytree(folder, state, dirs_exist_ok=True, copy_function=copy)


def _unpacked(source: Path, work: Path) -> Path:
    if source.is_dir():
        return source
    mode: Any = archive_mode(source, "r")
    if mode is None:
        raise ConfigError(f"restore.input: {source} is neither a folder nor a .tar, .tar.gz, .tgz.")
    try:
        with tarfile.open(source, mode) as stream:
            stream.extractall(work, filter="data")
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RefusedError(
            f"restore.input: {source} cannot be read whole: {one_line(error)}; nothing was "
            "restored."
        ) from error
    return work


def _proven(source: Path, folder: Path) -> dict[str, str]:
    """The list of the backup. Raises RefusedError unless every file is as it was written."""
    try:
        content = json.loads((folder / LIST).read_text())
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
    return actual
