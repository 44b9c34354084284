"""``GET /metrics`` over all replicas of ForecastAPI, on whichever nodes they are: the one that is asked asks the others."""

from __future__ import annotations

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from starlette.exceptions import HTTPException

from framework.serving.metrics import added_up
from framework.serving.service import Service

#: Seconds for all to answer.
_PATIENCE = 5.0


class Replicated(Service):
    """The service of one of several replicas. What a replica counted ends with it, as a restart's does: rates allow for it."""

    _siblings: DeploymentHandle | None = None

    async def figures(self) -> bytes:
        if self._siblings is None:
            own = serve.get_replica_context()
            self._siblings = serve.get_deployment_handle(own.deployment, own.app_name)
        try:
            all_of_them = await self._siblings.broadcast("families").results_async(timeout_s=_PATIENCE)
        except (TimeoutError, RayError, RayServeException) as error:
            raise HTTPException(503, f"not all replicas of ForecastAPI say what they counted: {error}", {"retry-after": "1"}) from error
        return self.metrics.render() if len(all_of_them) <= 1 else added_up(all_of_them)
