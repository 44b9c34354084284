"""``compute=ray``: the folds of a backtest as tasks of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from framework.interfaces.compute import Compute, I, R, S
from framework_ray_tune.cluster import connected, ray


class RayCompute(Compute):
    """``shared`` is put into the object store once; a worker reads it from there."""

    def map(self, function: Callable[[S, I], R], shared: S, items: Sequence[I]) -> Iterator[R]:
        with connected(self.options):
            task = ray.remote(num_cpus=self.options.cpus_per_task, max_retries=2)(_apply)
            reference = ray.put(shared)
            pending = [task.remote(function, reference, item) for item in items]
            try:
                for result in pending:
                    yield _get(result)
            finally:
                for result in pending:
                    ray.cancel(result, force=True)


def _apply(function: Callable[[Any, Any], Any], shared: Any, item: Any) -> Any:
    return function(shared, item)


def _get(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error  # the caller knows what the function raises, not Ray's wrapper of it
