"""``run=restore``: what ``run=backup`` wrote becomes the state folder, proven file by file.

A restore that was killed at any moment is begun again by the same command. How far it came stands
in the state folder: see :mod:`framework.runs.steps.restore_progress`.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from framework.errors import ConfigError, RefusedError, one_line
from framework.files import exclusive
from framework.interfaces.registry import Finding, Registry
from framework.plugins.run import Run
from framework.runs.steps.restore_progress import Progress, state_files
from framework.runs.steps.state_copy import archive_mode, file_hash, prove_backup, why_no_pairs


def restore(run: Run) -> dict[str, Any]:
    """Restore ``restore.input`` into an empty ``paths.state``, which may be another place than
    that of the backup.
    """
    state, source = run.config.paths.state.absolute(), run.options.input.absolute()
    if not source.exists():
        raise ConfigError(f"restore.input: {source} is not there.")
    with exclusive(state / ".restoring.lock", f"a restore into {state}", limit=0, remove=True):
        return _restore(run, state, source)


def _restore(run: Run, state: Path, source: Path) -> dict[str, Any]:
    progress = Progress(state, run.directory.absolute())
    if not (progress.was_begun or progress.has_ended):
        _refuse_others(state, progress.own, {})
    progress.begin()
    try:
        folder = _unpacked(source, progress.unpacked)
        files, backup = prove_backup(source, folder)
        is_placed = progress.is_placed(backup, files)
        if not is_placed:
            _refuse_others(state, progress.own, files)
    except BaseException:
        progress.forget()
        raise
    registry: Registry = run.make("registry")
    if not is_placed:
        registry.restore(folder, progress.mark)
        if (folder / "state").is_dir():
            _place(folder / "state", state, progress.part)
    progress.note_placed(backup)
    findings = registry.verify()
    progress.end(backup)
    return _result(run, source, state, len(files), registry, findings)


def _result(
    run: Run, source: Path, state: Path, files: int, registry: Registry, findings: list[Finding]
) -> dict[str, Any]:
    broken = [finding.text for finding in findings if not finding.repaired]
    if broken:
        raise RefusedError(f"{source} was restored, and is broken: {'; '.join(broken)}")
    run.say(f"restore: {files} files in {state}")
    body = {
        "state": str(state),
        "files": files,
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
    for path in state_files(state, own):
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


def _unpacked(source: Path, target: Path) -> Path:
    if source.is_dir():
        return source
    mode: Any = archive_mode(source, "r")
    if mode is None:
        raise ConfigError(f"restore.input: {source} is neither a folder nor a .tar, .tar.gz, .tgz.")
    try:
        with tarfile.open(source, mode) as stream:
            stream.extractall(target, filter="data")
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RefusedError(
            f"restore.input: {source} cannot be read whole: {one_line(error)}; nothing was "
            "restored."
        ) from error
    return target
