"""What the benchmarks of Ray Serve share: a feature store that is an array, and a Ray with
applications on the pair of serving_pair.py. Reading costs nothing, and the four services do all
that they do with a real store.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from serving_pair import FEATURES, OnePair, no_ledger

from framework.data.arrays import Float64
from framework.data.context import Context
from framework.data.schema import Schema
from framework.data.vocabulary import OK
from framework.features.views import FeatureSet
from framework.serving.deployment import Deployment

ORIGIN, STEPS = np.datetime64("2013-04-30", "us"), 7


class Store:
    """The feature store: the last steps of as many entities as are asked for, from memory."""

    max_context_length = None

    def __init__(self, rows: Float64) -> None:
        self._rows = rows

    async def context(
        self,
        features: FeatureSet,
        schema: Schema,
        entities: Sequence[dict[str, str]],
        at: datetime | None,
    ) -> Context:
        n = len(entities)
        static = np.array(
            [[entity[key] for key in schema.static] for entity in entities], dtype=object
        )
        rows, known = self._rows[np.arange(n) % len(self._rows)], np.empty((n, STEPS, 0))
        return Context(np.repeat(ORIGIN, n), rows, known, static, [OK] * n, [None] * n)

    async def close(self) -> None:
        pass


class Parts(OnePair):
    """The parts of the deployment; ``rows``: of the store, ``[entities, steps, columns]``."""

    def __init__(self, directory: Path, rows: Float64) -> None:
        super().__init__(directory)
        self._rows = rows

    def __reduce__(self) -> tuple[Any, ...]:
        return Parts, (self.directory, self._rows)

    def make(self, group: str) -> Any:
        if group == "retrieval":
            return Store(self._rows)
        return no_ledger() if group == "ledger" else self


def serve_until_stopped(
    directory: Path,
    rows: Float64,
    given: dict[str, Any],
    applications: Callable[[Deployment, Any], Iterable[tuple[str, str, Any]]],
) -> None:
    """Start a Ray with applications; serve until SIGTERM. Prints the port.

    Args:
        directory: Of the pair.
        rows: Of the store.
        given: Options of ``serving=ray``.
        applications: Makes name, route and application of each, of a deployment and the options.
    """
    from framework_ray_serve import RayServeOptions
    from framework_ray_serve.cluster.cluster import prepare, serving

    options = RayServeOptions.model_validate(
        {"address": None, "num_cpus": 32, "dashboard": False, "port": 0, **given}
    )
    prepare(options)
    deployment = Deployment(
        Parts(directory, rows), "benchmark", "production", FEATURES, "memory", directory / "state"
    )
    out = sys.stdout
    with redirect_stdout(sys.stderr), serving(options) as cluster:  # Ray writes warnings to stdout
        from ray import serve

        quiet = {"log_level": "WARNING", "enable_access_log": False}
        for name, route, application in applications(deployment, options):
            serve.run(application, name=name, route_prefix=route, logging_config=quiet)
        print(cluster.url.rpartition(":")[2], file=out, flush=True)
        signal.sigwait({signal.SIGTERM})
