"""Differences of this environment from the one that a pair was trained in."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata


def differences(packages: Mapping[str, str]) -> list[str]:
    """One line for each that matters: another minor version of Python, another major version of a
    library of the pair, or none.
    """
    lines: list[str] = []
    for name, version in packages.items():
        if name == "python":
            current, parts = platform.python_version(), 2
        else:
            installed, parts = _installed(name), 1
            if installed is None:
                lines.append(f"{name} is not installed, the pair was trained with {version}")
                continue
            current = installed
        if current.split(".")[:parts] != version.split(".")[:parts]:
            lines.append(f"{name} is {current}, the pair was trained with {version}")
    return lines


@cache
def _installed(name: str) -> str | None:
    """Looking one up costs about two milliseconds, and a process has what it started with."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
