"""What Ray Tune makes of a worker that is gone: also when Ray itself ended it, because its node ran out of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution import tune_controller


@contextmanager
def lost_workers(tell: Callable[[str | None], None]) -> Iterator[None]:
    """A search that runs inside ends a trial whose worker is gone; ``tell`` has the cause while Ray Tune's callbacks hear of it, then None.

    Ray Tune (2.60) takes an ``OutOfMemoryError`` for neither the actor's nor the task's and gives up the whole search, and it has no
    seam for its actor manager.
    """

    class Manager(RayActorManager):
        def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
            if isinstance(exception, OutOfMemoryError):
                exception = RayActorError(error_msg=f"out of memory: {str(exception).partition('Object store')[0]}")
            tell(" ".join(str(exception).split()))
            super()._actor_task_failed(tracked_actor_task, exception)
            tell(None)

    before, tune_controller.RayActorManager = tune_controller.RayActorManager, Manager
    try:
        yield
    finally:
        tune_controller.RayActorManager = before
