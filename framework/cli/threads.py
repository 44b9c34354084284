"""Threads of the numeric libraries: no more than the cores that a container may use.

OpenMP, OpenBLAS and what builds on them count the cores of the machine. A container's quota is none
of these, so that a process with two cores of sixty-four would start sixty-four threads for each
call.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

_VARIABLE = "OMP_NUM_THREADS"


def limit_threads(environ: MutableMapping[str, str], root: Path = Path("/")) -> None:
    """Set ``OMP_NUM_THREADS`` where a quota is below the cores, unless it is set.

    Args:
        environ: Of this process, before the libraries are loaded.
        root: Where ``proc`` and ``sys`` are.
    """
    quota = cpu_quota(root)
    if _VARIABLE not in environ and quota is not None and quota < len(os.sched_getaffinity(0)):
        environ[_VARIABLE] = str(quota)


def cpu_quota(root: Path = Path("/")) -> int | None:
    """Return the whole cores that the control groups of this process allow, at least 1; None for
    any number.
    """
    groups = _read(root / "proc/self/cgroup")
    quotas = [
        quota
        for line in (groups or "").splitlines()
        for quota in _quotas(root / "sys/fs/cgroup", *line.split(":", 2)[1:])
    ]
    return max(1, -(-min(quotas) // 1_000_000)) if quotas else None


def _quotas(base: Path, controllers: str, group: str) -> list[int]:
    """Millionths of a core that a group and those above it allow."""
    second = not controllers
    if not second and "cpu" not in controllers.split(","):
        return []
    place = base if second else base / "cpu"
    own = place / group.strip("/")
    quotas = []
    for folder in (own, *own.parents):
        if not folder.is_relative_to(place):
            break
        if second:
            parts = (_read(folder / "cpu.max") or "max 0").split()
        else:
            parts = [_read(folder / f"cpu.cfs_{name}_us") or "-1" for name in ("quota", "period")]
        if parts[0].strip().isdigit() and int(parts[1]) > 0:
            quotas.append(int(parts[0]) * 1_000_000 // int(parts[1]))
    return quotas


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
