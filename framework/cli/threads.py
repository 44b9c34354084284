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
#: Threads of OpenMP that wait sleep instead of spinning. On two cores that were busy with other
#: work, XGBoost took 9 to 12 s spinning for what it does in 0.4 to 1.2 s like this.
_WAITING = ("OMP_WAIT_POLICY", "PASSIVE")


def limit_threads(environ: MutableMapping[str, str], root: Path = Path("/")) -> None:
    """Let OpenMP's threads wait without spinning, and set ``OMP_NUM_THREADS`` where a quota is
    below the cores; what is set already stays.

    Args:
        environ: Of this process, before the libraries are loaded.
        root: Where ``proc`` and ``sys`` are.
    """
    environ.setdefault(*_WAITING)
    quota = cpu_quota(root)
    if _VARIABLE not in environ and quota is not None and quota < len(os.sched_getaffinity(0)):
        environ[_VARIABLE] = str(quota)
