"""Threads of the numeric libraries: no more than the cores that a container may use.

OpenMP, OpenBLAS and what builds on them count the cores of the machine. A container's quota is none
of these, so that a process with two cores of sixty-four would start sixty-four threads for each
call.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from framework.runs.steps.control_groups import cpu_quota

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
