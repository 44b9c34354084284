"""FeastService, PreprocessingService, ModelService: what one replica of each does. Arrays come and
go; nothing blocks an event loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, Generic, TypeVar

import numpy as np
import psutil

from framework.data.arrays import Float64
from framework.data.context import Context
from framework.data.schema import Schema
from framework.data.windows import Windows
from framework.errors import FrameworkError
from framework.interfaces.preprocessor import Preprocessor
from framework.interfaces.registry import PairVersion
from framework.pairs.artifacts import open_half
from framework.pairs.golden import Golden
from framework.pairs.intervals import Calibration
from framework.pairs.pair import KnownTerms, Pair, make_windows
from framework.serving.deployment import Deployment
from framework.serving.http import logs
from framework.serving.http.refusal import Refusal
from framework.serving.pipeline.batching import Batches
from framework.serving.pipeline.parts import attempt
from framework.serving.pipeline.pipeline import look_up
from framework.serving.pipeline.store_watch import store_trouble
from framework.serving.pipeline.validation import Lookup
from framework_ray_serve import RayServeOptions
from framework_ray_serve.loaded_pairs import Held
from framework_ray_serve.presets import METRICS, batch, service

log = logging.getLogger(__name__)

T, R = TypeVar("T"), TypeVar("R")


@dataclass(frozen=True, slots=True)
class Facts:
    """The parts of a pair that ForecastAPI holds."""

    schema: Schema
    calibration: Calibration | None
    trained: frozenset[tuple[str, ...]] | None
    golden: Golden


@dataclass(frozen=True, slots=True)
class Preprocessed:
    """``windows``: None when some of them cannot be transformed. ``seconds``: by stage."""

    windows: Windows | None
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Predicted:
    """``values``: ``[n, H, T, 1 + Q]``, None when some windows cannot be done. ``failed``: why, by
    window. ``seconds``: by stage.
    """

    values: Float64 | None
    seconds: dict[str, float]
    failed: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return 0 if self.values is None else len(self.values)


class PairService(ABC, Generic[T]):
    """The common part of the three: a replica is ready when it holds its aliases' pairs."""

    async def __init__(
        self, deployment: Deployment, options: RayServeOptions, aliases: Sequence[str]
    ) -> None:
        logs.configure(options.log)
        self.deployment = deployment
        self.held = Held(self.open, keep=len(aliases) + 2)
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


class ModelService(PairService[tuple[Pair, Golden]]):
    """The last stage, one deployment for each arm. It has both halves: a pair is proven by its
    golden batch, which needs both.
    """

    async def __init__(
        self, deployment: Deployment, options: RayServeOptions, aliases: Sequence[str]
    ) -> None:
        settings = service(options, "model")
        self._work, self._has_gpu = Work(settings.num_cpus or 1.0), bool(settings.num_gpus)
        self._batches = Batches(self._predict_all, *batch(options), at_once=self._work.at_once)
        await super().__init__(deployment, options, aliases)

    def open(self, version: PairVersion) -> tuple[Pair, Golden]:
        pair = self.deployment.load(version)
        return pair.pair, pair.golden

    async def facts(self, version: PairVersion) -> Facts:
        pair, golden = await self.held.get(version)
        return Facts(pair.schema, pair.calibration, pair.trained, golden)

    async def predict(self, version: PairVersion, preprocessed: Preprocessed) -> Predicted:
        if preprocessed.windows is None:
            return Predicted(None, {})
        pair, _ = await self.held.get(version)
        values, seconds = await self._batches.ask(
            (version.digest, pair, preprocessed.windows), len(preprocessed.windows)
        )
        return Predicted(values, {**preprocessed.seconds, "predict": seconds})

    async def attempt(self, version: PairVersion, context: Context) -> Predicted:
        """Both of the last stages, where each window that cannot be done fails alone."""
        pair, _ = await self.held.get(version)
        (values, failed), _ = await self._work.do(
            lambda: attempt(context, pair.schema, lambda part: pair.predict(pair.windows(part)))
        )
        return Predicted(values, {}, failed)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Report the load; with a GPU, the model's share of time at work stands for the GPU's load.

        The GPU does nothing else.
        """
        busy = self._work.busy_percent() if self._has_gpu else 0.0
        return {METRICS["model"]: max(self._work.cpu_percent(), busy)}

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


class Work:
    """Threads for what computes, two at least so that a slow request does not hold up all others,
    and how much of the CPUs it takes.
    """

    def __init__(self, cpus: float) -> None:
        self._cpus, self.at_once = cpus, max(2, round(cpus))
        self._threads = ThreadPoolExecutor(self.at_once, thread_name_prefix="work")
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call only begins the measurement
        self._lock, self._at_work = threading.Lock(), 0
        self._busy, self._changed, self._since = 0.0, perf_counter(), perf_counter()

    async def do(self, work: Callable[[], R]) -> tuple[R, float]:
        """Run the work; return its result and the seconds it took. Raises the error of the work."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._timed, work)

    def _timed(self, work: Callable[[], R]) -> tuple[R, float]:
        start = perf_counter()
        self._count(1)
        try:
            result = work()
        finally:
            self._count(-1)
        return result, perf_counter() - start

    def _count(self, more: int) -> None:
        with self._lock:
            now = perf_counter()
            if self._at_work:
                self._busy += now - self._changed
            self._at_work, self._changed = self._at_work + more, now

    def cpu_percent(self) -> float:
        """Of the CPUs that the replica is given, since the last call."""
        return float(self._process.cpu_percent()) / self._cpus

    def busy_percent(self) -> float:
        """Of the time since the last call, in which it was at work."""
        self._count(0)
        share = 100 * self._busy / max(self._changed - self._since, 1e-9)
        self._busy, self._since = 0.0, self._changed
        return share


def contiguous(windows: Windows) -> Windows:
    """Arrays that travel as raw buffers: of a slice, numpy would write the bytes into the
    message.
    """
    return replace(windows, target_past=np.ascontiguousarray(windows.target_past))


def joined(parts: Sequence[Windows]) -> Windows:
    """The windows of several requests, in order."""

    def of(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    return Windows(of("target_past"), of("past"), of("future"), of("static"))


def read_schema(directory: Any) -> Schema:
    return Schema.model_validate_json((directory / "schema.json").read_text())
