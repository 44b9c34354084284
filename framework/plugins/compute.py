"""``compute=processes``: several processes of this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from framework.errors import FrameworkError
from framework.interfaces.compute import Compute, I, R, S


class ProcessesCompute(Compute):
    """joblib's processes. ``shared`` is written once; its arrays are mapped by every worker, so
    they are in memory once.
    """

    def together(self, count: int) -> int:
        import joblib

        options = self.options
        room: int = max(1, joblib.cpu_count() // options.threads)
        return min(options.workers or room, count)

    def map(self, function: Callable[[S, I], R], shared: S, items: Sequence[I]) -> Iterator[R]:
        import joblib
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        if not items:
            return
        options = self.options
        workers = self.together(len(items))
        with tempfile.TemporaryDirectory(prefix="framework-compute-") as folder:
            path = Path(folder) / "shared"
            joblib.dump(shared, path)
            with joblib.parallel_config(
                "loky", n_jobs=workers, inner_max_num_threads=options.threads
            ):
                results = joblib.Parallel(return_as="generator")(
                    joblib.delayed(_apply)(function, path, item) for item in items
                )
                try:
                    yield from results
                except TerminatedWorkerError as error:
                    raise FrameworkError(
                        "compute=processes: a worker process was killed, most often for "
                        "want of memory; lower compute.workers."
                    ) from error
                finally:
                    results.close()


def _apply(function: Callable[[Any, Any], Any], path: Path, item: Any) -> Any:
    return function(_shared(path), item)


@lru_cache(maxsize=1)
def _shared(path: Path) -> Any:
    """Read once a worker. The file is this run's own, so its pickle is as trusted as the process
    that wrote it.
    """
    import joblib

    return joblib.load(path, mmap_mode="r")


class LocalCompute(Compute):
    def map(self, function: Callable[[S, I], R], shared: S, items: Sequence[I]) -> Iterator[R]:
        return (function(shared, item) for item in items)
