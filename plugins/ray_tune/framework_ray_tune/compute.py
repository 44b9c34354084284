"""``compute=ray``: the folds of a backtest as tasks of a Ray cluster, the pieces of a batch scoring
through Ray Data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from framework.errors import FrameworkError
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

    def stream(self, function: Callable[[S, I], R], shared: S, items: Sequence[I]) -> Iterator[R]:
        """Ray Data's ``map_batches`` over actors: as many as the cluster has CPUs for, one made
        anew where one died.

        The items are the data set, not the rows behind them: ``read_parquet`` cuts where a file's
        row groups end, which would make the pieces, and what a killed run left of them, depend on
        how a file was written.
        """
        if not items:
            return
        with connected(self.options):
            import ray.data

            _quiet(ray.data.DataContext.get_current())
            reference = ray.put((function, shared))
            cpus = self.options.cpus_per_task
            actors = max(1, min(len(items), int(ray.cluster_resources().get("CPU", 1) // cpus)))
            packed = [{"item": ray.cloudpickle.dumps(item)} for item in items]
            results = ray.data.from_items(packed, override_num_blocks=len(items)).map_batches(
                _Worker,
                batch_size=1,
                num_cpus=cpus,
                concurrency=(1, actors),
                fn_constructor_args=([reference],),  # in a list, so that Ray hands it on as it is
            )
            for row in results.iter_rows():
                result = ray.cloudpickle.loads(row["result"])
                if isinstance(result, FrameworkError):
                    raise result
                yield result


class _Worker:
    """Holds the function and what is shared, for one item after another."""

    def __init__(self, references: list[Any]) -> None:
        self._function, self._shared = ray.get(references[0])

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        results: list[bytes] = []
        for item in batch["item"]:
            try:
                result = self._function(self._shared, ray.cloudpickle.loads(item))
            except FrameworkError as error:  # a value, so that the caller gets it as it was raised
                result = error
            results.append(ray.cloudpickle.dumps(result))
        return {"result": results}


def _quiet(context: Any) -> None:
    """The run says how far it is; Ray Data's bars and notes are in the way of that."""
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _apply(function: Callable[[Any, Any], Any], shared: Any, item: Any) -> Any:
    return function(shared, item)


def _get(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        # the caller knows what the function raises, not Ray's wrapper of it
        raise error.cause from error
