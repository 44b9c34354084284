"""The facts that a run must record to be repeated: versions of packages, state of the code, the
machine's Python.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from typing import Any

from framework.interfaces.plugin import ENTRY_POINTS

#: The name in a line of a distribution's requirements.
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def versions(*more: str) -> dict[str, str]:
    """Look up the installed versions of what numbers may depend on.

    Args:
        more: Further distributions.

    Returns:
        Python's version, and by distribution those of the core, of all plugins, of what these
        require, and of ``more``. What is not installed is left out.
    """
    packages = {"framework-core", *_plugins().values()}
    required = {
        match[0]
        for package in packages
        for line in _requirements(package)
        if (match := _NAME.match(line))
    }
    known = {"python": platform.python_version()}
    for name in sorted({*packages, *required, *more}):
        try:
            known[name] = _version(name)
        except metadata.PackageNotFoundError:
            continue
    return known


@cache
def _requirements(package: str) -> Sequence[str]:
    """The lines of a distribution's requirements, none where it is not installed."""
    try:
        return tuple(metadata.requires(package) or ())
    except metadata.PackageNotFoundError:
        return ()


def git_state() -> dict[str, Any]:
    """Describe the state of the code in the working folder.

    Returns:
        ``{"commit", "dirty"}``; empty outside a repository or without git.
    """
    git = shutil.which("git")
    if git is None:
        return {}
    answers = []
    for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        # without locks of its own: a killed one would stand in the way of everybody's git
        command = [git, "--no-optional-locks", *arguments]
        process = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  fixed arguments
        if process.returncode:
            return {}
        answers.append(process.stdout.strip())
    return {"commit": answers[0], "dirty": bool(answers[1])}


def requirements(*components: Any) -> tuple[str, ...]:
    """List the pinned distributions that loading fitted components needs: their own and what they
    name, and those of the models inside them.

    Args:
        components: The fitted components.

    Returns:
        ``name==version``, sorted.
    """
    owners = {"framework": "framework-core", **_plugins()}
    names = {"framework-core", "numpy"}
    inner = [part for component in components for part in getattr(component, "parts", ())]
    for component in (*components, *inner):
        package = type(component).__module__.split(".")[0]
        names.update([owners[package]] if package in owners else _distributions(package))
        names.update(component.requirements)
    return tuple(f"{name}=={_version(name)}" for name in sorted(names))


@cache
def _version(name: str) -> str:
    """The version that is installed, as first read: what this process has imported. Reading them
    all costs a fifth of a second.
    """
    return metadata.version(name)


@cache
def _plugins() -> Mapping[str, str]:
    """Distributions of the plugins that are installed, by their top-level package."""
    entries = metadata.entry_points(group=ENTRY_POINTS)
    return {
        entry.module.split(".")[0]: entry.dist.name for entry in entries if entry.dist is not None
    }


def _distributions(package: str) -> list[str]:
    """The one that a package which is no plugin's comes from, none for one that is not installed.
    Looks through all: half a second.
    """
    return metadata.packages_distributions().get(package, [])[:1]
