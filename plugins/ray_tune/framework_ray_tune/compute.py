"""``compute=ray``: the folds of a backtest and the pieces of a batch scoring as tasks of a Ray
cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from framework.errors import FrameworkError, one_line
from framework.interfaces.compute import Compute, I, R, S, in_flight
from framework_ray_tune.cluster import connected, ray

#: How often a task is begun again whose worker process, or node, died.
_RETRIES = 2


class RayCompute(Compute):
    """``shared`` is put into the object store once; a worker process reads it from there for its
    first task. Items and results go through the object store too, and through no file.

    Tasks, not Ray Data: it takes its data set as a whole, and items are made while others are
    worked on.
    """

    def map(self, function: Callable[[S, I], R], shared: S, items: Iterable[I]) -> Iterator[R]:
        return self._results(function, shared, items, lambda calls: calls[0])

    def stream(self, function: Callable[[S, I], R], shared: S, items: Iterable[I]) -> Iterator[R]:
        return self._results(function, shared, items, lambda calls: ray.wait(calls)[0][0])

    def _results(
        self,
        function: Callable[[S, I], R],
        shared: S,
        items: Iterable[I],
        following: Callable[[list[Any]], Any],
    ) -> Iterator[R]:
        with connected(self.options):
            cpus = self.options.cpus_per_task
            task = ray.remote(num_cpus=cpus, max_retries=_RETRIES)(_apply)
            common = [ray.put((function, shared))]  # in a list, so that Ray hands it on as it is

            def most() -> int:
                """As many again wait as there is room for: a cluster that grows sees them."""
                return 2 * max(1, int(ray.cluster_resources().get("CPU", 1) // cpus))

            for call in in_flight(
                items,
                most,
                lambda item: task.remote(common, item),
                following,
                lambda call: ray.cancel(call, force=True),
            ):
                yield _result(call)


def _apply(common: list[Any], item: Any) -> Any:
    function, shared = _common(common[0])
    return function(shared, item)


@lru_cache(maxsize=1)
def _common(reference: Any) -> Any:
    """Read once a worker process."""
    return ray.get(reference)


def _result(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        # the caller knows what the function raises, not Ray's wrapper of it
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise FrameworkError(
            f"compute=ray: a task was lost, and {_RETRIES} tries after it: {one_line(error, 300)}. "
            "Most often memory is wanting: raise compute.cpus_per_task, so that fewer tasks share "
            "a node."
        ) from error
