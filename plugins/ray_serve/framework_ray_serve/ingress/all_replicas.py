"""The answers of all replicas of ForecastAPI when one of them is asked.

They are ``GET /metrics``, ``/admin/reload``, and Ray's own export.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve import metrics as exported
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from starlette.exceptions import HTTPException

from framework.serving.arms.follower import worst_outcome
from framework.serving.http.metric_registry import added_up
from framework.serving.http.metrics import Metrics
from framework.serving.http.refusal import Refusal
from framework.serving.service import Service

log = logging.getLogger(__name__)

#: Seconds for all replicas to say what they counted, to look at the registry and prove what they
#: find, and between two exports.
_PATIENCE, _LOOKING, _PERIOD = 5.0, 60.0, 5.0


class Replicated(Service):
    """The service of one of several replicas. What a replica counted ends with it, as with a
    restart: rates allow for it.
    """

    _siblings: DeploymentHandle[Any] | None = None
    _exporting: asyncio.Task[None] | None = None

    async def figures(self) -> bytes:
        """The one that is asked asks the others."""
        try:
            all_of_them = await self._everywhere("families", _PATIENCE)
        except (TimeoutError, RayError, RayServeException) as error:
            raise HTTPException(
                503,
                f"not all replicas of ForecastAPI say what they counted: {error}",
                {"retry-after": "1"},
            ) from error
        return self.metrics.render() if len(all_of_them) <= 1 else added_up(all_of_them)

    async def reload(self) -> dict[str, Any]:
        """The worst outcome for each alias, and that of each replica. Raises
        :class:`Refusal` when one does not answer.
        """
        try:
            answers = await self._everywhere("look", _LOOKING)
        except (TimeoutError, RayError, RayServeException) as error:
            raise Refusal(
                503,
                f"not all replicas of ForecastAPI have looked within {_LOOKING:g} s: {error}",
                retry_after=1,
            ) from error
        return {
            "aliases": worst_outcome([answer["aliases"] for answer in answers]),
            "workers": answers,
        }

    async def look(self) -> dict[str, Any]:
        """Look at the registry in this replica alone."""
        return {
            "replica": serve.get_replica_context().replica_id.unique_id,
            **await super().reload(),
        }

    async def _everywhere(self, method: str, seconds: float) -> list[Any]:
        if self._siblings is None:
            own = serve.get_replica_context()
            self._siblings = serve.get_deployment_handle(own.deployment, own.app_name)
        return await self._siblings.broadcast(method).results_async(timeout_s=seconds)

    def start(self) -> None:
        super().start()
        self._exporting = asyncio.get_running_loop().create_task(self._export())
        self._exporting.add_done_callback(_say_why)

    async def _export(self) -> None:
        export = Export(self.metrics)
        while True:
            await self.read_gpus()
            export()
            await asyncio.sleep(_PERIOD)

    async def close(self) -> None:
        if self._exporting is not None:
            self._exporting.cancel()
        await super().close()


def _say_why(ended: asyncio.Task[None]) -> None:
    if not ended.cancelled():
        log.error("Ray's export does not follow the figures any more", exc_info=ended.exception())


class Export:
    """Hands the figures to Ray, whose agent on each node exports them as ``ray_framework_…`` with
    the tags of Serve's own.

    Counters, gauges, and of histograms the counts and sums. Ray takes increments only.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._theirs: dict[str, Any] = {}
        self._told: dict[tuple[Any, ...], float] = {}

    def __call__(self) -> None:
        for family in self._metrics.families():
            if family.name.startswith("process_"):
                continue
            for sample in family.samples:
                if sample.name.endswith(("_created", "_bucket")):
                    continue
                kind = exported.Gauge if family.type == "gauge" else exported.Counter
                metric = self._theirs.get(sample.name)
                if metric is None:
                    metric = self._theirs[sample.name] = kind(
                        sample.name, family.documentation, tuple(sample.labels)
                    )
                if family.type == "gauge":
                    metric.set(sample.value, sample.labels)
                    continue
                key = (sample.name, *sample.labels.items())
                more = sample.value - self._told.get(key, 0.0)
                if more > 0:
                    metric.inc(more, sample.labels)
                    self._told[key] = sample.value
