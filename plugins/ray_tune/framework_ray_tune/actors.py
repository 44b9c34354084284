"""Ray Tune's worker processes: which of Ray's they are, and what becomes of a search when one is
gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from ray.air._internal import usage
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution import tune_controller

from framework.errors import one_line
from framework_ray_tune.cluster import ray


@contextmanager
def managed_actors(tell: Callable[[str | None], None], same_environment: bool) -> Iterator[None]:
    """A search that runs inside ends a trial whose worker is gone; ``tell`` has the cause while Ray
    Tune's callbacks hear of it, then None.

    Ray Tune (2.60) takes an ``OutOfMemoryError`` for neither the actor's nor the task's and gives
    up the whole search. It gives its actors the driver's environment variables, so that Ray starts
    new processes for them; where workers have the ``same_environment`` anyway, because their Ray
    was started here, those that are there and have imported everything are taken. It has no seam
    for its actor manager.
    """
    plain: dict[Any, Any] = {}

    class Manager(RayActorManager):
        def add_actor(self, cls: Any, *arguments: Any, **named: Any) -> Any:
            if same_environment:
                if cls not in plain:
                    plain[cls] = ray.remote(cls.__ray_metadata__.modified_class)
                cls = plain[cls]
            return super().add_actor(cls, *arguments, **named)

        def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
            if isinstance(exception, OutOfMemoryError):
                exception = RayActorError(
                    error_msg=f"out of memory: {str(exception).partition('Object store')[0]}"
                )
            tell(one_line(exception))
            super()._actor_task_failed(tracked_actor_task, exception)
            tell(None)

    # Before the first trial it also counts, for its telemetry, which of the callbacks are those of
    # Weights & Biases, MLflow and Comet, and imports all of these to know: seconds. A Ray that has
    # no such function is as quick without.
    uncounted = mock.patch.object(usage, "tag_callbacks", create=True, return_value=False)
    with mock.patch.object(tune_controller, "RayActorManager", Manager), uncounted:
        yield
