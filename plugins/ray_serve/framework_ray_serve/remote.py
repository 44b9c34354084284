"""The stages as ForecastAPI sees them: calls to the other services, and what a client is told when one is away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

import numpy as np
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle

from framework.errors import FrameworkError
from framework.interfaces.values import Context, Forecast, PairVersion
from framework.pair import KnownTerms
from framework.serving.deployment import Deployment
from framework.serving.metrics import ArmMetrics
from framework.serving.payload import Lookup
from framework.serving.pipeline import Ends, ok_windows, shape_of
from framework.serving.refusal import Refusal
from framework_ray_serve import RayServeOptions
from framework_ray_serve.presets import NAMES, service
from framework_ray_serve.quarantine import Quarantine
from framework_ray_serve.services import Facts, Predicted

T = TypeVar("T")


class _Lost(Exception):  # noqa: N818  not a defect: a request that nobody knows the end of
    """The replica that had a request is gone."""


class Stages:
    """Made on ForecastAPI's event loop; :meth:`wait` and :meth:`hold` are called from other threads."""

    def __init__(self, handles: dict[str, DeploymentHandle[Any]], deployment: Deployment, options: RayServeOptions) -> None:
        self._feast, self._preprocessing, self._model = handles["feast"], handles["preprocessing"], handles["model"]
        self._loop = asyncio.get_running_loop()
        self._chunk = options.chunk
        self._seconds = {key: service(options, key).timeout_s or 20.0 for key in handles}
        self._patience = options.start_timeout_s
        self._quarantine = Quarantine(deployment, options)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it on the event loop. Raises what it raises."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(self._patience)

    def hold(self, version: PairVersion) -> Facts:
        """Every replica of every service holds the pair when this returns. Raises :class:`FrameworkError` when one cannot."""
        return self.wait(self._hold(version))

    async def _hold(self, version: PairVersion) -> Facts:
        handles = (self._feast, self._preprocessing, self._model)
        try:
            await asyncio.gather(*(handle.hold.remote(version) for handle in handles))  # waits for a replica where there is none yet
            await asyncio.gather(*(handle.broadcast("hold", version).results_async(timeout_s=self._patience) for handle in handles))
            facts: Facts = await self._model.facts.remote(version)
        except RayTaskError as error:
            if isinstance(error.cause, FrameworkError):
                raise error.cause from None
            raise
        except (RayActorError, RayServeException) as error:
            raise FrameworkError(f"a service died while it opened the pair: {' '.join(str(error).split())[:200]}") from error
        return facts

    async def retrieve(self, version: PairVersion, lookup: Lookup) -> tuple[Context, float]:
        """Raises :class:`Refusal`."""
        try:
            found, seconds = await self._ask("feast", self._feast.retrieve.remote(version, lookup))
        except _Lost:  # a read changes nothing: it is made again, once
            try:
                found, seconds = await self._ask("feast", self._feast.retrieve.remote(version, lookup))
            except _Lost:
                raise Refusal(503, f"{NAMES['feast']} is starting again", retry_after=1) from None
        if isinstance(found, Refusal):
            raise found
        return found, seconds

    async def forecast(self, version: PairVersion, context: Context) -> Predicted:
        """``context``: windows that are all ``ok``. Pieces of a large one are worked on at once, each in order. Raises :class:`Refusal`."""
        self._quarantine.check(version, context)
        if len(context) <= self._chunk:
            return await self._piece(version, context)
        starts = range(0, len(context), self._chunk)
        parts = [context.take(np.arange(start, min(start + self._chunk, len(context)))) for start in starts]
        pieces = await asyncio.gather(*(self._piece(version, part) for part in parts))
        failed = {start + i: why for start, piece in zip(starts, pieces, strict=True) for i, why in piece.failed.items()}
        stages = {stage for piece in pieces for stage in piece.seconds}
        seconds = {stage: sum(piece.seconds.get(stage, 0.0) for piece in pieces) for stage in stages}
        return Predicted(np.concatenate([piece.values for piece in pieces if piece.values is not None]), seconds, failed)

    async def _piece(self, version: PairVersion, part: Context) -> Predicted:
        try:
            windows = self._preprocessing.preprocess.remote(version, part)  # goes on to the next service without coming back here
            predicted: Predicted = await self._ask("model", self._model.predict.remote(version, windows))
            if predicted.values is None:
                predicted = await self._ask("model", self._model.attempt.remote(version, part))
        except _Lost:
            predicted = await self._quarantine.attempt(version, part)
        return predicted

    async def _ask(self, key: str, response: Any) -> Any:
        name, seconds = NAMES[key], self._seconds[key]
        try:
            async with asyncio.timeout(seconds):
                return await response
        except TimeoutError:
            raise Refusal(503, f"{name} did not answer within {seconds:g} s", retry_after=1) from None
        except BackPressureError:
            raise Refusal(503, f"too many requests wait for {name}; try again", retry_after=1) from None
        except DeploymentUnavailableError:
            raise Refusal(503, f"{name} is not available", retry_after=5) from None
        except RayTaskError as error:
            if isinstance(error.cause, RayActorError | RayServeException):
                raise _Lost from error
            if isinstance(error.cause, FrameworkError):
                raise Refusal(503, f"{name}: {error.cause}", retry_after=1) from None
            raise
        except (RayActorError, RayServeException) as error:
            raise _Lost from error


class RemotePipeline(Ends):
    """The pipeline of a pair that is in the other services. Every call names the pair by its digest."""

    def __init__(self, facts: Facts, version: PairVersion, stages: Stages, metrics: ArmMetrics, max_rows: int, threads: Executor) -> None:
        super().__init__(KnownTerms(facts.schema, facts.calibration, facts.trained), metrics, max_rows, threads)
        self._version, self._stages = version, stages

    async def read_entities(self, lookup: Lookup) -> Context:
        self.check_levels(lookup.levels)
        context, seconds = await self._stages.retrieve(self._version, lookup)
        self.metrics.observe["retrieve"](seconds)
        return context

    async def answer(self, context: Context) -> Forecast:
        context = self.terms.admitted(context)
        index = ok_windows(context)
        part = context if index is None else context.take(index)
        predicted = (
            await self._stages.forecast(self._version, part) if len(part) else Predicted(np.empty((0, *shape_of(self.terms.schema))), {})
        )
        for stage, seconds in predicted.seconds.items():
            self.metrics.observe[stage](seconds)
        assert predicted.values is not None
        return self.finish(context, index, predicted.values, predicted.failed)
