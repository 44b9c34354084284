"""The threads of a replica, and how much of its CPUs they take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TypeVar

import psutil

R = TypeVar("R")


class Work:
    """Threads for what computes, two at least so that a slow request does not hold up all others,
    and how much of the CPUs it takes.
    """

    def __init__(self, cpus: float) -> None:
        self._cpus, self.at_once = cpus, max(2, round(cpus))
        self._threads = ThreadPoolExecutor(self.at_once, thread_name_prefix="work")
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call only begins the measurement

    async def do(self, work: Callable[[], R]) -> tuple[R, float]:
        """Run the work; return its result and the seconds it took. Raises the error of the work."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._timed, work)

    def _timed(self, work: Callable[[], R]) -> tuple[R, float]:
        start = perf_counter()
        return work(), perf_counter() - start

    def cpu_percent(self) -> float:
        """Of the CPUs that the replica is given, since the last call."""
        return float(self._process.cpu_percent()) / self._cpus
