"""``run=backup``: a copy of the state folder and of what the registry keeps elsewhere, made while
others may write.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from framework.config.origins import CORE
from framework.errors import ConfigError
from framework.interfaces.registry import Registry
from framework.plugins.run import Run
from framework.runs.steps.state_copy import (
    FORMAT,
    LIST,
    archive_mode,
    copy_state,
    hashes,
    why_no_pairs,
)


def backup(run: Run) -> dict[str, Any]:
    """Write ``backup.output``, a folder or an archive, whole or not at all."""
    state, output = run.config.paths.state.absolute(), run.options.output.absolute()
    if output.exists():
        raise ConfigError(f"backup.output: {output} is there already; name another one.")
    if output.is_relative_to(state):
        raise ConfigError(f"backup.output: {output} lies in the state folder; name another place.")
    registry: Registry = run.make("registry")
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        (folder / "state").mkdir(parents=True)
        warnings = registry.backup(
            state,
            folder,
            lambda: copy_state(state, folder / "state", run.directory.absolute()),
        )
        warnings += why_no_pairs(registry)
        files = hashes(folder)
        size = sum((folder / name).stat().st_size for name in files)
        content = {
            "format": FORMAT,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "framework": metadata.version(CORE),
            "files": files,
        }
        (folder / LIST).write_text(json.dumps(content, indent=1))
        _finish(folder, output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for warning in warnings:
        run.say(f"backup: {warning}")
    run.say(f"backup: {len(files)} files, {size:,} bytes: {output}")
    body: dict[str, Any] = {"output": str(output), "files": len(files), "bytes": size}
    return {**body, "warnings": warnings} if warnings else body


def _finish(folder: Path, output: Path) -> None:
    mode: Any = archive_mode(output, "w")
    if mode is None:
        folder.rename(output)
        return
    archive = folder.with_suffix(".archive.tmp")
    try:
        with tarfile.open(archive, mode) as stream:
            stream.add(folder, arcname=".")
        archive.rename(output)
    finally:
        archive.unlink(missing_ok=True)
