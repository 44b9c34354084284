"""``run=restore``: what ``run=backup`` wrote becomes the state folder, proven file by file."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

from framework.errors import ConfigError, RefusedError
from framework.interfaces.registry import Registry
from framework.plugins.run import Run
from framework.runs.steps.state_copy import FORMAT, LIST, archive_mode, hashes

#: There while a restore is under way, or was when its process ended.
_WORK = ".restoring"


def restore(run: Run) -> dict[str, Any]:
    """Restore ``restore.input`` into an empty ``paths.state``, which may be another place than
    that of the backup.
    """
    state, source = run.config.paths.state.absolute(), run.options.input.absolute()
    if not source.exists():
        raise ConfigError(f"restore.input: {source} is not there.")
    work = state / _WORK
    own = run.directory.absolute()
    if not work.exists():
        others = [p for p in state.rglob("*") if p.is_file() and not p.is_relative_to(own)]
        if others:
            raise ConfigError(
                f"paths.state: {state} is not empty (it has {others[0].relative_to(state)}); move "
                "it away, or name another folder."
            )
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    folder = _unpacked(source, work)
    files = _proven(source, folder)
    registry: Registry = run.make("registry")
    registry.restore(folder)
    if (folder / "state").is_dir():
        shutil.copytree(folder / "state", state, dirs_exist_ok=True)
    shutil.rmtree(work)
    findings = registry.verify()
    broken = [finding.text for finding in findings if not finding.repaired]
    if broken:
        raise RefusedError(f"{source} was restored, and is broken: {'; '.join(broken)}")
    run.say(f"restore: {len(files)} files in {state}")
    return {
        "state": str(state),
        "files": len(files),
        "pairs": len(registry.pairs()),
        "findings": [finding.text for finding in findings],
    }


def _unpacked(source: Path, work: Path) -> Path:
    if source.is_dir():
        return source
    if archive_mode(source) is None:
        raise ConfigError(f"restore.input: {source} is neither a folder nor a .tar, .tar.gz, .tgz.")
    try:
        with tarfile.open(source) as stream:
            stream.extractall(work, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise RefusedError(f"restore.input: {source} cannot be read whole: {error}.") from error
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
