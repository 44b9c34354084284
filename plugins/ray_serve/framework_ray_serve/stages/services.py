"""FeastService, PreprocessingService, ModelService: what one replica of each does. Arrays come and
go; nothing blocks an event loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, Generic, TypeVar

import numpy as np
import ray

from framework.data.arrays import Float64
from framework.data.context import Context
from framework.data.schema import Schema
from framework.data.vocabulary import CPU
from framework.data.windows import Windows
from framework.errors import FrameworkError
from framework.interfaces.preprocessor import Preprocessor
from framework.interfaces.registry import PairVersion
from framework.models.gpus import GpuLoad, load_of, visible_gpus, warn_once
from framework.pairs.artifacts import open_half
from framework.pairs.loading import LoadedPair
from framework.pairs.pair import KnownTerms, Pair, make_windows
from framework.serving.deployment import Deployment
from framework.serving.http import logs
from framework.serving.http.refusal import Refusal
from framework.serving.memory import keep_freed_memory
from framework.serving.pipeline.batching import Batches
from framework.serving.pipeline.parts import attempt
from framework.serving.pipeline.pipeline import look_up
from framework.serving.pipeline.store_watch import store_trouble
from framework.serving.pipeline.validation import Lookup
from framework_ray_serve import RayServeOptions
from framework_ray_serve.scaling.presets import METRICS, batch, service
from framework_ray_serve.stages.loaded_pairs import LoadedPairs
from framework_ray_serve.stages.messages import Facts, Predicted, Preprocessed
from framework_ray_serve.stages.work import Work

log = logging.getLogger(__name__)

T = TypeVar("T")


class PairService(ABC, Generic[T]):
    """The common part of the three: a replica is ready when it holds its aliases' pairs."""

    async def __init__(
        self, deployment: Deployment, options: RayServeOptions, aliases: Sequence[str]
    ) -> None:
        keep_freed_memory()
        logs.configure(options.log)
        self.deployment = deployment
        self.held = LoadedPairs(self.open, keep=len(aliases) + 2)
        for alias in aliases:
            try:
                await self.held.get(await asyncio.to_thread(deployment.resolve, alias))
            except FrameworkError as error:
                if alias == deployment.reference:
                    raise
                log.warning("'%s' is not served: %s", alias, error)

    @abstractmethod
    def open(self, version: PairVersion) -> T:
        """Open the parts of a pair that this service needs, proven.

        Runs in a thread. Raises :class:`~framework.errors.FrameworkError`.
        """

    async def hold(self, version: PairVersion) -> None:
        """Be ready to answer from a pair."""
        await self.held.get(version)


class FeastService(PairService[Schema]):
    """The second stage. The store's client is here and nowhere else, on an event loop of its own: a
    store that blocks, blocks only that.
    """

    async def __init__(
        self, deployment: Deployment, options: RayServeOptions, aliases: Sequence[str]
    ) -> None:
        self._reads: list[float] = []
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="store", daemon=True).start()
        await super().__init__(deployment, options, aliases)

    def open(self, version: PairVersion) -> Schema:
        schema = read_schema(self.deployment.fetch(version).model)
        self.deployment.check(schema)
        return schema

    async def retrieve(
        self, version: PairVersion, lookup: Lookup
    ) -> tuple[Context | Refusal, float]:
        """A context, or the refusal that the client gets; seconds."""
        schema = await self.held.get(version)
        start = perf_counter()
        reading = look_up(self.deployment.strategy, self.deployment.features, schema, lookup)
        try:
            answer: Context | Refusal = await self._on_loop(reading)
        except Refusal as refusal:
            answer = refusal
        seconds = perf_counter() - start
        self._reads.append(seconds)
        return answer, seconds

    async def store_trouble(self) -> str | None:
        """Why no entity can be looked up now."""
        return await self._on_loop(
            store_trouble(self.deployment.strategy, self.deployment.features)
        )

    async def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Mean milliseconds of the reads since it was last asked, 0 without any."""
        reads, self._reads = self._reads, []
        return {METRICS["feast"]: 1000 * sum(reads) / len(reads) if reads else 0.0}


class PreprocessingService(PairService[tuple[Preprocessor, KnownTerms]]):
    """The third stage: needs the pair's first half only, and none of the model's libraries."""

    async def __init__(
        self, deployment: Deployment, options: RayServeOptions, aliases: Sequence[str]
    ) -> None:
        self._work = Work(service(options, "preprocessing").num_cpus or 1.0)
        await super().__init__(deployment, options, aliases)

    def open(self, version: PairVersion) -> tuple[Preprocessor, KnownTerms]:
        pair_files = self.deployment.fetch(version)
        terms = KnownTerms(read_schema(pair_files.preprocessor), None)
        return open_half(
            pair_files.preprocessor, "preprocessor", self.deployment.parts.plugins
        ), terms

    async def preprocess(self, version: PairVersion, context: Context) -> Preprocessed:
        preprocessor, terms = await self.held.get(version)

        def work() -> Windows:
            return contiguous(make_windows(preprocessor, terms.schema, terms.frequency, context))

        try:
            windows, seconds = await self._work.do(work)
        except (
            FrameworkError
        ):  # which windows are at fault is found out by ModelService, which has both halves
            return Preprocessed(None, {})
        return Preprocessed(windows, {"preprocess": seconds})

    async def record_autoscaling_stats(self) -> dict[str, float]:
        return {METRICS["preprocessing"]: self._work.cpu_percent()}


class ModelService(PairService[LoadedPair]):
    """The last stage, one deployment for each arm. It has both halves: a pair is proven by its
    golden batch, which needs both.
    """

    async def __init__(
        self, deployment: Deployment, options: RayServeOptions, aliases: Sequence[str]
    ) -> None:
        self._work, self._device = (
            Work(service(options, "model").num_cpus or 1.0),
            device_here(options),
        )
        self._gpu: str | None = None
        self._batches = Batches(self._predict_all, *batch(options), at_once=self._work.at_once)
        await super().__init__(deployment, options, aliases)

    def open(self, version: PairVersion) -> LoadedPair:
        pair = self.deployment.load(version, self._device)
        if pair.device != CPU:
            self._gpu = pair.device
            if isinstance(reason := load_of(pair.device), str):
                warn_once(reason, "autoscaling follows this replica's CPUs")
        elif self._device != CPU and visible_gpus():
            log.warning(
                "version %d: its model forecasts on the CPU only, the GPU of this replica stays "
                "idle; set serving.model.num_gpus=0",
                version.version,
            )
        return pair

    async def facts(self, version: PairVersion) -> Facts:
        entry = await self.held.get(version)
        pair = entry.pair
        return Facts(pair.schema, pair.calibration, pair.trained, entry.golden, entry.device)

    async def predict(self, version: PairVersion, preprocessed: Preprocessed) -> Predicted:
        if preprocessed.windows is None:
            return Predicted(None, {})
        pair = (await self.held.get(version)).pair
        values, seconds = await self._batches.ask(
            (version.digest, pair, preprocessed.windows), len(preprocessed.windows)
        )
        return Predicted(values, {**preprocessed.seconds, "predict": seconds})

    async def attempt(self, version: PairVersion, context: Context) -> Predicted:
        """Both of the last stages, where each window that cannot be done fails alone."""
        pair = (await self.held.get(version)).pair
        (values, failed), _ = await self._work.do(
            lambda: attempt(context, pair.schema, lambda part: pair.predict(pair.windows(part)))
        )
        return Predicted(values, {}, failed)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Report the load that autoscaling follows."""
        return {METRICS["model"]: load_percent(self._work.cpu_percent(), await self.gpu_load())}

    async def gpu_load(self) -> GpuLoad | str | None:
        """Return the load of the GPU, why it is not known, or None for a replica on the CPU."""
        return None if self._gpu is None else await asyncio.to_thread(load_of, self._gpu)

    async def _predict(self, pair: Pair, windows: Windows) -> tuple[Float64 | None, float]:
        try:
            return await self._work.do(lambda: pair.predict(windows))
        except FrameworkError:
            return None, 0.0

    async def _predict_all(
        self, questions: Sequence[tuple[str, Pair, Windows]]
    ) -> list[tuple[Float64 | None, float]]:
        """Requests of the same pair in one call of its model; when that fails, each by itself."""
        answers: list[tuple[Float64 | None, float]] = [(None, 0.0)] * len(questions)
        for digest in {digest for digest, _, _ in questions}:
            which = [i for i, (key, _, _) in enumerate(questions) if key == digest]
            pair, parts = questions[which[0]][1], [questions[i][2] for i in which]
            values, seconds = await self._predict(
                pair, parts[0] if len(parts) == 1 else joined(parts)
            )
            if values is None:
                for i in which if len(which) > 1 else ():
                    answers[i] = await self._predict(pair, questions[i][2])
                continue
            ends = np.cumsum([len(part) for part in parts])[:-1]
            for i, some in zip(which, np.split(values, ends), strict=True):
                answers[i] = (some, seconds)
        return answers


def load_percent(cpus: float, gpu: GpuLoad | str | None) -> float:
    """The load of a replica: that of the GPU that it forecasts on; that of its CPUs where it has
    none, or NVML does not say.

    The CPU waits for a GPU in a loop: it is busy however little the GPU has to do.
    """
    return gpu.busy if isinstance(gpu, GpuLoad) else cpus


def device_here(options: RayServeOptions) -> str:
    """Settle where this replica forecasts: as ``serving.device`` says, else on the GPU that Ray
    has given it, where the model can use one.
    """
    return options.device or ("auto" if ray.get_gpu_ids() else CPU)


def contiguous(windows: Windows) -> Windows:
    """Arrays that travel as raw buffers: of a slice, numpy would write the bytes into the
    message.
    """
    return replace(windows, target_past=np.ascontiguousarray(windows.target_past))


def joined(parts: Sequence[Windows]) -> Windows:
    """The windows of several requests, in order."""

    def of(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    entities = None if parts[0].entities is None else of("entities")
    return Windows(of("target_past"), of("past"), of("future"), of("static"), entities=entities)


def read_schema(directory: Any) -> Schema:
    return Schema.model_validate_json((directory / "schema.json").read_text())
