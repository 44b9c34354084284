"""The trainable of a worker: one configuration after another, one fold a step."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

from ray import tune

from framework.errors import one_line
from framework.interfaces.tuner import Evaluation, Objective
from framework_ray_tune.cluster import ray
from framework_ray_tune.deadline import Overdue, deadline

#: Keys of a result. An error is a result too, so that the worker lives on and takes the next
#: configuration.
VALUE, FOLD, ERROR, NODE = "objective", "fold", "trial_error", "node"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class FoldTrainable(tune.Trainable):
    """Kept from trial to trial (``reuse_actors``): the objective with its panel is read from the
    object store once a worker.
    """

    def setup(
        self,
        config: dict[str, Any],
        objective: Objective | None = None,
        seconds: float | None = None,
        cpus: float = 1,
    ) -> None:
        """``cpus``: the trial's; the numeric libraries, not yet loaded in this process, take as
        many threads.
        """
        assert objective is not None
        os.environ.update(dict.fromkeys(_THREADS, str(max(1, int(cpus)))))
        self._objective, self._limit = objective, seconds
        node = ray.get_runtime_context().get_node_id()
        self._node = f"{socket.gethostname()} {node[:8]}"
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._values: dict[str, Any] = config["values"]
        self._evaluation: Evaluation | None = None
        self._fold = 0
        self._spent = 0.0

    def step(self) -> dict[str, Any]:
        started = time.monotonic()
        try:
            with deadline(None if self._limit is None else self._limit - self._spent):
                if self._evaluation is None:
                    self._evaluation = self._objective.evaluation(self._values)
                value = self._evaluation.fold(self._fold)
        except Overdue:
            return self._failed(f"time-out: more than {self._limit:g} s, in fold {self._fold + 1}")
        except Exception as error:  # noqa: BLE001  whatever a fit raises is this trial's result
            return self._failed(f"{type(error).__name__}: {one_line(error)}")
        self._fold += 1
        self._spent += time.monotonic() - started
        return {
            VALUE: value,
            FOLD: self._fold,
            NODE: self._node,
            "done": self._fold == self._objective.folds,
        }

    def _failed(self, why: str) -> dict[str, Any]:
        return {VALUE: float("nan"), ERROR: why, NODE: self._node, "done": True}
