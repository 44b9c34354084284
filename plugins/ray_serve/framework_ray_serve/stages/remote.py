"""The stages as ForecastAPI sees them: calls to the other services, and what a client is told when
one is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from grpc.aio import AioRpcError
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle

from framework.data.context import Context
from framework.data.forecast import Forecast
from framework.errors import FrameworkError, one_line
from framework.interfaces.registry import PairVersion
from framework.models.gpus import GpuLoad
from framework.pairs.pair import KnownTerms
from framework.serving.http.metrics import ArmMetrics
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.parts import ok_windows, shape_of
from framework.serving.pipeline.pipeline import INLINE_BYTES, INLINE_WINDOWS, Ends
from framework.serving.pipeline.validation import Lookup
from framework_ray_serve import RayServeOptions
from framework_ray_serve.scaling.variants import key_of, name_of, timeout_of
from framework_ray_serve.stages.large_requests import StartedContext, join_pieces, put_together
from framework_ray_serve.stages.messages import Facts, Predicted
from framework_ray_serve.stages.quarantine import Quarantine

T = TypeVar("T")

#: Seconds for the replicas of a service to say how busy their GPUs are.
_LOADS = 2.0


class Lost(Exception):  # noqa: N818  not a defect: a request that nobody knows the end of
    """The replica that had a request is gone."""


class Stages:
    """Made on ForecastAPI's event loop; :meth:`wait` is called from other threads.

    ``handles`` by the keys of :mod:`.arms`: small requests travel in messages, in throughput mode
    by gRPC; large ones by reference, through the nodes' object stores. Without a ``quarantine``,
    what had a request when it died is :class:`Lost`.
    """

    def __init__(
        self,
        handles: Mapping[str, DeploymentHandle[Any]],
        options: RayServeOptions,
        quarantine: Quarantine | None,
    ) -> None:
        self._handles = {
            key: handle.options(request_serialization="pickle", response_serialization="pickle")
            for key, handle in handles.items()
        }
        self._by_reference = {
            key: handle.options(_by_reference=True) for key, handle in handles.items()
        }
        self._options, self._quarantine = options, quarantine
        self._loop = asyncio.get_running_loop()
        self._seconds = {key: timeout_of(options, key) for key in handles}
        self._patience = options.start_timeout_s
        self.chunk = options.chunk

    def unguarded(self) -> Stages:
        """The same services without the quarantine: for requests that nobody waits for."""
        return Stages(self._handles, self._options, None)

    def model_of(self, reference: str) -> str:
        """The key of an arm's ModelService."""
        key = key_of(reference)
        return key if key in self._handles else "model"

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it on the event loop. Raises what it raises."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def hold(self, model: str, version: PairVersion) -> Facts:
        """Every replica of every service holds the pair when this returns. Raises
        :class:`FrameworkError` when one cannot.
        """
        await asyncio.gather(
            *(self._hold_in(key, version) for key in ("feast", "preprocessing", model))
        )
        facts: Facts = await self._answer(self._by_reference, model, "facts", version)
        return facts

    async def _hold_in(self, key: str, version: PairVersion) -> None:
        handle = self._handles[key]
        try:
            async with asyncio.timeout(self._patience):
                await handle.hold.remote(version)  # waits for a replica where there is none yet
                await handle.broadcast("hold", version).results_async(timeout_s=self._patience)
        except TimeoutError:
            raise FrameworkError(
                f"{name_of(key)} does not hold version {version.version} after {self._patience:g} s"
            ) from None
        except RayTaskError as error:
            if isinstance(error.cause, FrameworkError):
                raise error.cause from None
            raise
        except (RayActorError, RayServeException) as error:
            raise FrameworkError(
                f"{name_of(key)} died while it opened the pair: {one_line(error, 200)}"
            ) from error

    async def retrieve(self, version: PairVersion, lookup: Lookup) -> tuple[Context, float]:
        """Raises :class:`Refusal`."""
        if self._quarantine is not None:
            self._quarantine.check(version, lookup)
        try:
            handles = self._by_reference if len(lookup.entities) > INLINE_WINDOWS else self._handles
            context, seconds = await self._answer(handles, "feast", "retrieve", version, lookup)
        except Lost:
            if self._quarantine is None:
                raise
            context, seconds = await self._quarantine.retrieve(version, lookup), 0.0
        if isinstance(context, Refusal):
            raise context
        return context, seconds

    async def store_trouble(self) -> str | None:
        """Return FeastService's report on its store, or the reason why there is none."""
        try:
            trouble: str | None = await self._answer(self._handles, "feast", "store_trouble")
        except (Refusal, Lost) as error:
            return str(error)
        return trouble

    async def gpu_loads(self, model: str) -> list[GpuLoad | str]:
        """Return the load of the GPU of each replica of a ModelService, or why it is not known."""
        try:
            loads = await self._handles[model].broadcast("gpu_load").results_async(timeout_s=_LOADS)
        except (TimeoutError, RayError, RayServeException) as error:
            return [f"{name_of(model)} does not say how busy its GPUs are ({one_line(error, 200)})"]
        return [load for load in loads if load is not None]

    async def forecast(self, model: str, version: PairVersion, context: Context) -> Predicted:
        """``context``: windows that are all ``ok``. Pieces of a large one are worked on at once,
        each in order. Raises :class:`Refusal`.
        """
        if len(context) <= self.chunk:
            return await self._piece(model, version, context)
        starts = range(0, len(context), self.chunk)
        parts = (
            context.take(np.arange(start, min(start + self.chunk, len(context))))
            for start in starts
        )
        return put_together(
            await asyncio.gather(*(self._piece(model, version, part) for part in parts))
        )

    async def _piece(self, model: str, version: PairVersion, part: Context) -> Predicted:
        if self._quarantine is not None:
            self._quarantine.check(version, part)
        try:
            handles = (
                self._by_reference
                if part.past.nbytes + part.known.nbytes > INLINE_BYTES
                else self._handles
            )
            windows = handles["preprocessing"].preprocess.remote(
                version, part
            )  # by reference, it goes on without coming back here
            predicted: Predicted = await self._answer(handles, model, "predict", version, windows)
            if predicted.values is None:
                predicted = await self._answer(handles, model, "attempt", version, part)
        except Lost:
            if self._quarantine is None:
                raise
            predicted = await self._quarantine.predict(version, part)
        return predicted

    async def _answer(
        self, handles: Mapping[str, DeploymentHandle[Any]], key: str, method: str, *arguments: Any
    ) -> Any:
        name, seconds = name_of(key), self._seconds[key]
        try:
            async with asyncio.timeout(seconds):
                return await getattr(handles[key], method).remote(*arguments)
        except TimeoutError:
            raise Refusal(
                503, f"{name} did not answer within {seconds:g} s", retry_after=1
            ) from None
        except BackPressureError:
            raise Refusal(
                503, f"too many requests wait for {name}; try again", retry_after=1
            ) from None
        except DeploymentUnavailableError:
            raise Refusal(503, f"{name} is not available", retry_after=5) from None
        except RayTaskError as error:
            if isinstance(error.cause, RayActorError | RayServeException):
                raise Lost(str(error.cause)) from error
            if isinstance(error.cause, FrameworkError):
                raise Refusal(503, f"{name}: {error.cause}", retry_after=1) from None
            raise
        except (RayActorError, RayServeException, AioRpcError) as error:
            raise Lost(str(error)) from error


class RemotePipeline(Ends):
    """The pipeline of a pair that is in the other services. Every call names the pair by its
    digest.
    """

    def __init__(
        self,
        model: str,
        version: PairVersion,
        facts: Facts,
        stages: Stages,
        metrics: ArmMetrics,
        max_rows: int,
        threads: Executor,
    ) -> None:
        super().__init__(
            KnownTerms(facts.schema, facts.calibration, facts.trained), metrics, max_rows, threads
        )
        self._model, self._version, self._stages = model, version, stages

    async def read_entities(self, lookup: Lookup) -> Context:
        self.check_levels(lookup.levels)
        size = self._stages.chunk
        if len(lookup.entities) <= size:
            return await self._read(lookup)
        forecasts: list[asyncio.Task[Predicted]] = []

        async def read(start: int) -> tuple[Context, asyncio.Task[Predicted]]:
            context = self.terms.admitted(
                await self._read(replace(lookup, entities=lookup.entities[start : start + size]))
            )
            forecasts.append(asyncio.create_task(self._predict(context)))
            return context, forecasts[-1]

        reads = [asyncio.create_task(read(start)) for start in range(0, len(lookup.entities), size)]
        try:
            return join_pieces(*zip(*await asyncio.gather(*reads), strict=True))
        except BaseException:
            for task in (*reads, *forecasts):
                task.cancel()
            raise

    async def _read(self, lookup: Lookup) -> Context:
        context, seconds = await self._stages.retrieve(self._version, lookup)
        self.metrics.observe["retrieve"](seconds)
        return context

    async def answer(self, context: Context) -> Forecast:
        if isinstance(context, StartedContext):
            predicted = await _gathered(context)
        else:
            context = self.terms.admitted(context)
            predicted = await self._predict(context)
        for stage, seconds in predicted.seconds.items():
            self.metrics.observe[stage](seconds)
        assert predicted.values is not None
        values, failed = predicted.values, predicted.failed
        if len(context) <= INLINE_WINDOWS:
            return self.finish(context, ok_windows(context), values, failed)
        return await self.in_thread(
            lambda: self.finish(context, ok_windows(context), values, failed)
        )

    async def _predict(self, context: Context) -> Predicted:
        """Of the windows that are ``ok``."""
        index = ok_windows(context)
        part = context if index is None else context.take(index)
        if not len(part):
            return Predicted(np.empty((0, *shape_of(self.terms.schema))), {})
        return await self._stages.forecast(self._model, self._version, part)


async def _gathered(context: StartedContext) -> Predicted:
    try:
        return put_together(await asyncio.gather(*context.pieces))
    except BaseException:
        for piece in context.pieces:
            piece.cancel()
        raise
