"""Threads that numeric libraries may start in this process."""

from __future__ import annotations

import os


def thread_limit() -> int:
    """Count the threads that OpenMP takes by itself: those of ``OMP_NUM_THREADS``, which
    ``compute``, Ray and a container's quota set, else one for each core that the process may use.

    Returns:
        One or more.
    """
    limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(1, int(limit)) if limit.isdigit() else len(os.sched_getaffinity(0))
