"""``compute=processes``: several processes of this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from framework.errors import FrameworkError
from framework.interfaces.compute import Compute, I, R, S, in_flight

#: Each says to one numeric library how many threads it has.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
#: Seconds after which an idle worker ends.
_IDLE = 300


class ProcessesCompute(Compute):
    """loky's processes. ``shared`` is written once; its arrays are mapped by every worker, so they
    are in memory once. A worker gets its items, and gives its results, through a pipe.
    """

    def together(self, count: int) -> int:
        return min(self._room(), count)

    @property
    def shares_memory(self) -> bool:
        return True

    def disk(self, size: int) -> int:
        return size

    def map(self, function: Callable[[S, I], R], shared: S, items: Iterable[I]) -> Iterator[R]:
        return self._results(function, shared, items, _first)

    def stream(self, function: Callable[[S, I], R], shared: S, items: Iterable[I]) -> Iterator[R]:
        return self._results(function, shared, items, _any)

    def _room(self) -> int:
        import joblib

        options = self.options
        room: int = options.workers or max(1, joblib.cpu_count() // options.threads)
        return room

    def _results(
        self,
        function: Callable[[S, I], R],
        shared: S,
        items: Iterable[I],
        following: Callable[[list[Future[R]]], Future[R]],
    ) -> Iterator[R]:
        import joblib
        from joblib.externals.loky import get_reusable_executor
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        rest = iter(items)
        first = list(islice(rest, self._room()))  # no more workers than items
        workers = len(first)
        if not workers:
            return
        threads = dict.fromkeys(_THREADS, str(self.options.threads))
        with tempfile.TemporaryDirectory(prefix="framework-compute-") as folder:
            path = Path(folder) / "shared"
            joblib.dump(shared, path)
            executor = get_reusable_executor(workers, timeout=_IDLE, env=threads)
            is_over = False
            try:
                for call in in_flight(
                    chain(_emptied(first), rest),
                    lambda: 2 * workers,
                    lambda item: executor.submit(_apply, function, path, item),
                    following,
                ):
                    yield call.result()
                is_over = True
            except TerminatedWorkerError as error:
                raise FrameworkError(
                    "compute=processes: a worker process was killed, most often for want of "
                    "memory; lower compute.workers."
                ) from error
            finally:
                if not is_over:
                    executor.shutdown(kill_workers=True)


def _first(calls: list[Future[Any]]) -> Future[Any]:
    return calls[0]


def _any(calls: list[Future[Any]]) -> Future[Any]:
    wait(calls, return_when=FIRST_COMPLETED)
    return next(call for call in calls if call.done())


def _emptied(items: list[I]) -> Iterator[I]:
    """Give the items, and keep none that has been given."""
    while items:
        yield items.pop(0)


def _apply(function: Callable[[Any, Any], Any], path: Path, item: Any) -> Any:
    """Work on one item. A library that asks joblib for workers gets threads: processes of each
    worker would be too many.
    """
    import joblib

    with joblib.parallel_config("threading"):
        return function(_shared(path), item)


@lru_cache(maxsize=1)
def _shared(path: Path) -> Any:
    """Read once a worker. The file is this run's own, so its pickle is as trusted as the process
    that wrote it.
    """
    import joblib

    return joblib.load(path, mmap_mode="r")


class LocalCompute(Compute):
    @property
    def shares_memory(self) -> bool:
        return True

    def map(self, function: Callable[[S, I], R], shared: S, items: Iterable[I]) -> Iterator[R]:
        return (function(shared, item) for item in items)
