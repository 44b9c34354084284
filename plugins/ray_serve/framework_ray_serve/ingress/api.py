"""ForecastAPI: the HTTP application that every backend has, in front of the other services, or with
all stages in itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

from prometheus_client.metrics_core import Metric
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from framework.data.vocabulary import CPU
from framework.errors import FrameworkError, RefusedError
from framework.interfaces.registry import PairVersion
from framework.models.gpus import GpuLoad
from framework.serving.app.app import create_app
from framework.serving.arms.arms import Arm
from framework.serving.deployment import Deployment, alias_of
from framework.serving.http import logs
from framework.serving.http.asgi import App, Scope, Send
from framework.serving.http.bodies import Receive
from framework.serving.http.refusal import Refusal
from framework.serving.observers import Observers
from framework.serving.options import CanaryOptions, ShadowOptions
from framework.serving.pipeline.rendering import Renderer
from framework.serving.pipeline.validation import Entities
from framework.serving.service import Service
from framework.serving.shadow import Shadows, shadows_of
from framework_ray_serve import RayServeOptions
from framework_ray_serve.ingress.all_replicas import Replicated
from framework_ray_serve.ingress.shadow import RemoteShadow
from framework_ray_serve.stages.quarantine import Quarantine
from framework_ray_serve.stages.remote import Lost, RemotePipeline, Stages
from framework_ray_serve.stages.services import device_here

log = logging.getLogger(__name__)


class RayService(Replicated):
    """A service whose pairs are elsewhere."""

    def __init__(
        self,
        deployment: Deployment,
        options: RayServeOptions,
        stages: Stages,
        *,
        shadow: bool = False,
        observers: Observers | None = None,
    ) -> None:
        self._stages = stages
        super().__init__(deployment, options, shadow=shadow, observers=observers)

    def open(self, reference: str, version: PairVersion) -> Arm:
        """Every replica holds and has proven the pair; its golden batch goes through the services
        as a request does.
        """
        stages, model = self._stages, self._stages.model_of(reference)
        try:
            facts = stages.wait(stages.hold(model, version))
            golden = facts.golden
            replayed = stages.wait(stages.forecast(model, version, golden.context))
        except (Refusal, Lost) as error:
            raise FrameworkError(
                f"version {version.version}: its golden batch was not answered: {error}"
            ) from error
        metrics = self.metrics.of_arm(reference, version)
        render = Renderer(version, alias_of(reference), facts.schema.entity_keys)
        pipeline = RemotePipeline(
            model, version, facts, stages, metrics, self.options.max_rows, self.threads
        )
        assert replayed.values is not None
        forecast = pipeline.assemble(golden.context, None, replayed.values, replayed.failed)
        if not golden.difference(forecast) <= golden.allowed(facts.device):
            raise RefusedError(
                f"version {version.version}: its golden batch, sent through the services, "
                "is not what training recorded."
            )
        render(forecast)
        return Arm(
            reference,
            version,
            facts.schema,
            facts.golden,
            pipeline,
            render,
            Entities(facts.schema, self.options.max_rows),
            facts.device,
        )

    async def store_trouble(self) -> str | None:
        return await self._stages.store_trouble()

    def gpu_loads(self, arm: Arm) -> list[GpuLoad | str]:
        stages = self._stages
        if arm.device == CPU:
            return []
        return stages.wait(stages.gpu_loads(stages.model_of(arm.name)))


class _Ingress:
    async def __init__(
        self, deployment: Deployment, options: RayServeOptions, **handles: DeploymentHandle[Any]
    ) -> None:
        logs.configure(options.log)
        if not handles:
            options = options.model_copy(update={"device": device_here(options)})
            self._service: Replicated = await asyncio.to_thread(Replicated, deployment, options)
            self._shadows = shadows_of(self._service)
            return
        self._quarantine = Quarantine(deployment, options, _tell)
        stages = Stages(handles, options, self._quarantine)
        self._service = await asyncio.to_thread(RayService, deployment, options, stages)
        own_options = options.model_copy(
            update={"split": None, "shadow": ShadowOptions(), "canary": CanaryOptions()}
        )
        unguarded = stages.unguarded()

        def make(alias: str) -> Service:
            return RayService(
                replace(deployment, reference=alias),
                own_options,
                unguarded,
                shadow=True,
                observers=self._service.observers,
            )

        self._shadows = Shadows(
            [
                RemoteShadow(alias, options.shadow, self._service.metrics, make)
                for alias in options.shadow.aliases
            ]
        )

    async def families(self) -> list[Metric]:
        """Return the metrics that this replica counted."""
        await self._service.read_gpus()
        return self._service.metrics.families()

    async def look(self) -> dict[str, Any]:
        """Look at the registry now, in this replica."""
        return await self._service.look()

    def remember(self, deadly: bytes) -> None:
        """A request that ended a process of another replica's quarantine."""
        self._quarantine.remember(deadly)

    def __serve_build_asgi_app__(self) -> App:
        return _behind_proxy(create_app(self._service, self._shadows))


async def _tell(deadly: bytes) -> None:
    context = serve.get_replica_context()
    every = serve.get_deployment_handle(context.deployment, context.app_name)
    try:
        await every.broadcast("remember", deadly).results_async(timeout_s=5)
    except (RayActorError, RayServeException, TimeoutError) as error:
        log.warning("not every replica of ForecastAPI knows of a deadly request: %s", error)


def _behind_proxy(app: App) -> App:
    """The application as if it had the address for itself.

    Its paths begin behind the route prefix, and of the header ``X-Request-ID``, which Ray Serve's
    proxy writes, too, there is one.
    """

    async def adapted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        root = scope.get("root_path")
        if root:
            scope = {**scope, "path": scope["path"].removeprefix(root) or "/", "root_path": ""}
        id_header = (b"x-request-id", dict(scope["headers"]).get(b"x-request-id"))

        async def once(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    header for header in message["headers"] if header != id_header
                ]
            await send(message)

        await app(scope, receive, once)

    return adapted


ForecastAPI = serve.ingress()(_Ingress)
