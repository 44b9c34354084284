"""The request pipeline: validate -> retrieve -> preprocess -> predict, written once for every
backend.

Each stage is a method of its own, arrays in and arrays out, so that a backend may run them in
different processes.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import timeit
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import accumulate
from time import perf_counter
from typing import TypeVar

import numpy as np

from framework.data.arrays import Float64
from framework.data.context import Context
from framework.data.forecast import Forecast
from framework.data.schema import Schema
from framework.data.vocabulary import ERROR
from framework.errors import DataError
from framework.features.views import FeatureSet
from framework.interfaces.retrieval import RetrievalStrategy
from framework.models.openmp import thread_limit
from framework.pairs.followed_levels import FollowedLevels
from framework.pairs.pair import Pair, Terms
from framework.serving.http.metrics import ArmMetrics
from framework.serving.http.refusal import Refusal
from framework.serving.options import BatchOptions
from framework.serving.pipeline.batching import Batches
from framework.serving.pipeline.columns import Columns
from framework.serving.pipeline.parts import Index, attempt, joined, ok_windows, shape_of
from framework.serving.pipeline.validation import Lookup, Payload

#: Above either, a request is worked on in a thread. Below, handing it over and taking turns with
#: the event loop costs more than the work.
INLINE_BYTES, INLINE_WINDOWS = 256 * 1024, 256
#: Windows that are forecast in one call where that helps and nothing else is said: on the event
#: loop, and in a thread.
TOGETHER, TOGETHER_IN_THREAD = 64, 1024

log = logging.getLogger(__name__)

T = TypeVar("T")


class Ends:
    """The two ends of the pipeline, in the process that has the request: what comes in, and what
    goes out. Stateless beside its parts.

    ``threads``: where large requests are worked on.
    """

    def __init__(self, terms: Terms, metrics: ArmMetrics, max_rows: int, threads: Executor) -> None:
        self.terms, self.metrics, self._threads = terms, metrics, threads
        self._payload = Payload(terms.schema, max_rows)
        self._own = terms.calibration

    def follow(self, levels: FollowedLevels) -> None:
        """Make the intervals of the requests from now on with the levels in use."""
        now = self.terms.calibration
        if self._own is None or now is None or levels.version == now.version:
            return
        calibration = levels.of(self._own)
        self.terms = self.terms.calibrated(calibration)

    def validate(self, body: bytes | Columns) -> Context:
        """A payload to windows. Raises :class:`Refusal` 400, 413 or 422."""
        start = perf_counter()
        context = self._payload.context(body)
        self.check_levels(context.levels)
        self.metrics.observe["validate"](perf_counter() - start)
        return context

    def check_levels(self, levels: tuple[float, ...]) -> None:
        """Raises :class:`Refusal` 422."""
        try:
            self.terms.check_levels(levels)
        except DataError as error:
            raise Refusal(422, str(error), "levels") from None

    async def read_payload(self, body: bytes | Columns) -> Context:
        """The first stage for ``POST /predict``. Little is done at once, much in a thread, so that
        the event loop stays free.
        """
        return (
            await self.in_thread(lambda: self.validate(body))
            if len(body) > INLINE_BYTES
            else self.validate(body)
        )

    async def in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, contextvars.copy_context().run, work
        )

    def finish(
        self, context: Context, index: Index | None, values: Float64, failed: dict[int, str]
    ) -> Forecast:
        """Count the result of :meth:`assemble` and return it."""
        forecast = self.assemble(context, index, values, failed)
        self.metrics.count_forecasts(forecast.status)
        self.metrics.count_unseen(forecast.unseen or {})
        self.metrics.observe_windows(len(context))
        return forecast

    def assemble(
        self, context: Context, index: Index | None, values: Float64, failed: dict[int, str]
    ) -> Forecast:
        """Values ``[n, H, T, 1 + Q]`` of the windows at ``index`` (None: all) to forecasts; those
        in ``failed`` are ``error``.
        """
        terms, schema = self.terms, self.terms.schema
        status, detail = context.status, context.detail
        if index is not None:
            some, values = values, np.full((len(context), *shape_of(schema)), np.nan)
            values[index] = some
            failed = {int(index[i]): message for i, message in failed.items()}
        if failed:
            log.warning(
                "%d of %d windows failed, the first of them: %s",
                len(failed),
                len(context),
                failed[min(failed)],
            )
            status = [ERROR if i in failed else word for i, word in enumerate(status)]
            detail = [failed.get(i, text) for i, text in enumerate(detail)]
        steps = context.horizon or schema.horizon
        values, intervals = terms.settle(context, values)
        return Forecast(
            context.origins,
            terms.frequency.after(context.origins, steps),
            context.static[:, : len(schema.entity_keys)],
            values[:, :steps],
            schema.targets,
            schema.quantiles,
            status,
            detail,
            {level: ends[:, :steps] for level, ends in intervals.items()},
            context.freshness,
            context.unseen,
            0 if terms.calibration is None else terms.calibration.version,
            terms.cold(context),
            terms.short(context),
        )


@dataclass(slots=True)
class Worked:
    """``values``: ``[n, H, T, 1 + Q]``, NaN where a window failed. ``failed``: why, by window.
    ``seconds``: by stage, one after the other until ``ended``.
    """

    values: Float64
    failed: dict[int, str]
    seconds: dict[str, float]
    ended: float


class Pipeline(Ends):
    """All stages in this process; they may be called from several threads.

    Requests that come at the same time are forecast together: models and preprocessors give a
    window the same bits alone and among others (their contracts say so, and the suites hold them to
    it). Small ones are so on the event loop, those with more windows in threads, one for each core
    that the process may use; what comes while all of them work is the next call.
    """

    def __init__(
        self,
        pair: Pair,
        features: FeatureSet,
        strategy: RetrievalStrategy | None,
        metrics: ArmMetrics,
        max_rows: int,
        threads: Executor,
        batch: BatchOptions,
    ) -> None:
        super().__init__(pair, metrics, max_rows, threads)
        self.pair, self.features, self.strategy = pair, features, strategy
        self._together = min(batch.size or TOGETHER, INLINE_WINDOWS)
        self._most = batch.size or TOGETHER_IN_THREAD
        wait_s = batch.wait_s or 0.0
        self._batches = Batches(self._work_together, self._together, wait_s)
        self._long_batches = Batches(self._work_in_thread, self._most, wait_s, thread_limit())

    async def read_entities(self, lookup: Lookup) -> Context:
        """The second stage, for ``POST /predict/feast`` and its batch. Raises what :func:`look_up`
        raises.
        """
        self.check_levels(lookup.levels)
        start = perf_counter()
        context = await look_up(self.strategy, self.features, self.pair.schema, lookup)
        self.metrics.observe["retrieve"](perf_counter() - start)
        return context

    async def answer(self, context: Context) -> Forecast:
        """The last two stages. A window that they cannot do gets the status ``error``, the others
        their forecast.
        """
        count = len(context)
        if count >= self._most:
            if count > INLINE_WINDOWS:
                return await self.in_thread(lambda: self.forecast(context))
            return self.forecast(context)
        context = self.terms.admitted(context)
        index = ok_windows(context)
        part = context if index is None else context.take(index)
        batches = self._batches if count < self._together else self._long_batches
        return self._observed(
            context,
            index,
            await batches.ask(part, len(part)) if len(part) else self._work(part),
        )

    def forecast(self, context: Context) -> Forecast:
        """:meth:`answer`, at once and alone."""
        context = self.terms.admitted(context)
        index = ok_windows(context)
        return self._observed(
            context, index, self._work(context if index is None else context.take(index))
        )

    def _observed(self, context: Context, index: Index | None, worked: Worked) -> Forecast:
        """A request counts the seconds of the stages that it waited for, whoever shared them."""
        ago = perf_counter() - worked.ended + sum(worked.seconds.values())
        for stage, seconds in worked.seconds.items():
            ago -= seconds
            self.metrics.observe[stage](seconds, ago)
        return self.finish(context, index, worked.values, worked.failed)

    def _work(self, context: Context) -> Worked:
        """``context``: windows that are all ``ok``."""
        seconds: dict[str, float] = {}
        values, failed = attempt(context, self.pair.schema, lambda part: self._timed(part, seconds))
        return Worked(values, failed, seconds, perf_counter())

    def _timed(self, context: Context, seconds: dict[str, float]) -> Float64:
        """Preprocess and predict."""
        self.metrics.observe_batch(len(context))
        start = perf_counter()
        windows = self.pair.windows(context)
        between = perf_counter()
        values = self.pair.predict(windows)
        seconds["preprocess"] = seconds.get("preprocess", 0.0) + between - start
        seconds["predict"] = seconds.get("predict", 0.0) + perf_counter() - between
        return values

    async def _work_in_thread(self, contexts: Sequence[Context]) -> list[Worked]:
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._work_on, contexts
        )

    async def _work_together(self, contexts: Sequence[Context]) -> list[Worked]:
        return self._work_on(contexts)

    def _work_on(self, contexts: Sequence[Context]) -> list[Worked]:
        """Raises what the pair raises when there are several; then each is worked on alone, where
        windows fail one by one.
        """
        if len(contexts) == 1:
            return [self._work(contexts[0])]
        seconds: dict[str, float] = {}
        values = self._timed(joined(contexts), seconds)
        ended, ends = perf_counter(), accumulate(len(context) for context in contexts)
        return [
            Worked(values[end - len(context) : end], {}, seconds, ended)
            for context, end in zip(contexts, ends, strict=True)
        ]


async def look_up(
    strategy: RetrievalStrategy | None, features: FeatureSet, schema: Schema, lookup: Lookup
) -> Context:
    """Entities to windows, from the feature store. Raises :class:`Refusal` 503 when it cannot be
    reached, 409 when there is none.
    """
    if strategy is None:
        raise Refusal(
            409,
            "this server has no feature store (retrieval=payload); send the rows to POST /predict",
        )
    try:
        context = await strategy.context(features, schema, lookup.entities, lookup.at)
    except DataError as error:
        raise Refusal(503, f"the feature store did not answer: {error}", retry_after=1) from error
    if not lookup.levels and lookup.horizon is None:
        return context
    return replace(context, levels=lookup.levels, horizon=lookup.horizon)


def call_size(pair: Pair, context: Context) -> int | None:
    """Measure how many windows a call should have.

    Returns:
        1 when eight at once take more than half of the time of eight calls, as with models that
        are fitted again for every series; there a request would only wait for the others. None for
        as many as come.
    """
    index = ok_windows(context)
    usable = np.arange(len(context)) if index is None else index
    if not len(usable):
        return None

    def seconds(count: int) -> float:
        part = context.take(np.resize(usable, count))
        return min(timeit.repeat(lambda: pair.predict(pair.windows(part)), number=1, repeat=3))

    return 1 if seconds(8) > 4 * seconds(1) else None
