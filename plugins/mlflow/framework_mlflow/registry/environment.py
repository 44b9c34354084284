"""Whether this environment can answer as the one that a pair was trained in."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata


def differences(recorded: Mapping[str, str]) -> list[str]:
    """One line for each that matters: another minor version of Python, another major version of a
    library of the pair, or none.
    """
    found: list[str] = []
    for name, version in recorded.items():
        if name == "python":
            here, parts = platform.python_version(), 2
        else:
            installed, parts = _installed(name), 1
            if installed is None:
                found.append(f"{name} is not installed, the pair was trained with {version}")
                continue
            here = installed
        if here.split(".")[:parts] != version.split(".")[:parts]:
            found.append(f"{name} is {here}, the pair was trained with {version}")
    return found


@cache
def _installed(name: str) -> str | None:
    """Looking one up costs about two milliseconds, and a process has what it started with."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
