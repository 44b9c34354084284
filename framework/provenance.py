"""What a run must record to be repeated: versions of packages, state of the code, the machine's Python."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib import metadata
from typing import Any

_RECORDED = ("numpy", "pandas", "pyarrow", "hydra-core", "pydantic", "feast", "mlflow", "duckdb", "scikit-learn")


def versions(*more: str) -> dict[str, str]:
    """Installed versions of our distributions, of what numbers may depend on, and of ``more``; absent ones are left out."""
    ours = [d.name for d in metadata.distributions() if d.name.startswith("framework-")]
    found = {"python": platform.python_version()}
    for name in sorted({*ours, *_RECORDED, *more}):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any]:
    """``{"commit", "dirty"}`` of the working folder, empty outside a repository or without git."""
    git = shutil.which("git")
    if git is None:
        return {}
    answers = []
    for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        done = subprocess.run([git, *arguments], capture_output=True, text=True, check=False)  # noqa: S603  fixed arguments
        if done.returncode:
            return {}
        answers.append(done.stdout.strip())
    return {"commit": answers[0], "dirty": bool(answers[1])}


def requirements(*components: Any) -> tuple[str, ...]:
    """Pinned distributions that loading these fitted components needs: their own and what their classes name."""
    owners = metadata.packages_distributions()
    names = {"framework-core", "numpy"}
    for component in components:
        names.update(owners.get(type(component).__module__.split(".")[0], ())[:1])
        names.update(type(component).requirements)
    return tuple(f"{name}=={metadata.version(name)}" for name in sorted(names))
