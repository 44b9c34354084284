"""The request pipeline: validate -> retrieve -> preprocess -> predict, written once for every backend.

Each stage is a method of its own, arrays in and arrays out, so that a backend may run them in different processes.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from time import perf_counter
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from framework.errors import DataError, FrameworkError
from framework.interfaces.retrieval import RetrievalStrategy
from framework.interfaces.values import ERROR, OK, Context, Float64, Forecast, Windows
from framework.interfaces.views import FeatureSet
from framework.pair import Pair
from framework.serving.metrics import ArmMetrics
from framework.serving.payload import Lookup, Payload
from framework.serving.refusal import Refusal

#: Above either, a request is worked on in a thread.
INLINE_BYTES, INLINE_WINDOWS = 64 * 1024, 256
#: How often a failed batch is tried again in parts.
MAX_ATTEMPTS = 128

log = logging.getLogger(__name__)

T = TypeVar("T")


class Pipeline:
    """Stateless beside its parts; the stages may be called from several threads. ``threads``: where large requests are worked on."""

    def __init__(
        self,
        pair: Pair,
        features: FeatureSet,
        strategy: RetrievalStrategy | None,
        metrics: ArmMetrics,
        max_rows: int,
        threads: Executor,
    ) -> None:
        self.pair, self.features, self.strategy, self.metrics, self._threads = pair, features, strategy, metrics, threads
        self._payload = Payload(pair.schema, max_rows)
        self._shape = (pair.schema.horizon, len(pair.schema.targets), 1 + len(pair.schema.quantiles))

    def validate(self, body: bytes) -> Context:
        """A payload to windows. Raises :class:`Refusal` 400, 413 or 422."""
        start = perf_counter()
        context = self._payload.context(body)
        self._check_levels(context.levels)
        self.metrics.observe["validate"](perf_counter() - start)
        return context

    def _check_levels(self, levels: tuple[float, ...]) -> None:
        try:
            self.pair.check_levels(levels)
        except DataError as error:
            raise Refusal(422, str(error), "levels") from None

    async def retrieve(self, lookup: Lookup) -> Context:
        """Entities to windows, from the feature store. Raises :class:`Refusal` 503 when it cannot be reached, 409 when there is none."""
        self._check_levels(lookup.levels)
        if self.strategy is None:
            raise Refusal(409, "this server has no feature store (retrieval=payload); send the rows to POST /predict")
        start = perf_counter()
        try:
            context = await self.strategy.context(self.features, self.pair.schema, lookup.entities, lookup.at)
        except DataError as error:
            raise Refusal(503, f"the feature store did not answer: {error}", retry_after=1) from error
        self.metrics.observe["retrieve"](perf_counter() - start)
        if not lookup.levels and lookup.horizon is None:
            return context
        return replace(context, levels=lookup.levels, horizon=lookup.horizon)

    def preprocess(self, context: Context) -> Windows:
        """Windows that are all ``ok`` to features."""
        start = perf_counter()
        windows = self.pair.windows(context)
        self.metrics.observe["preprocess"](perf_counter() - start)
        return windows

    def predict(self, windows: Windows) -> Float64:
        """Features to ``[n, H, T, 1 + Q]``."""
        start = perf_counter()
        values = self.pair.predict(windows)
        self.metrics.observe["predict"](perf_counter() - start)
        return values

    async def read_payload(self, body: bytes) -> Context:
        """The first stage for ``POST /predict``. Little is done at once, much in a thread, so that the event loop stays free."""
        return await self._in_thread(lambda: self.validate(body)) if len(body) > INLINE_BYTES else self.validate(body)

    async def read_entities(self, lookup: Lookup) -> Context:
        """The second stage, for ``POST /predict/feast`` and its batch."""
        return await self.retrieve(lookup)

    async def answer(self, context: Context) -> Forecast:
        """The last two stages."""
        return await self._in_thread(lambda: self.forecast(context)) if len(context) > INLINE_WINDOWS else self.forecast(context)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, contextvars.copy_context().run, work)

    def forecast(self, context: Context) -> Forecast:
        """The last two stages. A window that they cannot do gets the status ``error``, the others their forecast."""
        schema = self.pair.schema
        status, detail = context.status, context.detail
        if status.count(OK) == len(context):
            values, failed = self._attempt(context)
        else:
            index = np.array([i for i, word in enumerate(status) if word == OK], dtype=np.int64)
            values, failed = np.full((len(context), *self._shape), np.nan), {}
            if len(index):
                values[index], failures = self._attempt(context.take(index))
                failed = {int(index[i]): message for i, message in failures.items()}
        if failed:
            status = [ERROR if i in failed else word for i, word in enumerate(status)]
            detail = [failed.get(i, text) for i, text in enumerate(detail)]
        self.metrics.count_forecasts(status)
        self.metrics.observe_windows(len(context))
        steps = context.horizon or schema.horizon
        intervals = self.pair.intervals(values, context.static, context.levels)
        return Forecast(
            context.origins,
            self.pair.frequency.after(context.origins, steps),
            context.static[:, : len(schema.entity_keys)],
            values[:, :steps],
            schema.targets,
            schema.quantiles,
            status,
            detail,
            {level: ends[:, :steps] for level, ends in intervals.items()},
            context.freshness,
        )

    def _attempt(self, context: Context) -> tuple[Float64, dict[int, str]]:
        """``[n, H, T, 1 + Q]``, NaN where it failed, and why, by window."""
        try:
            return self.predict(self.preprocess(context)), {}
        except FrameworkError as error:
            return self._isolate(context, error)

    def _isolate(self, context: Context, error: FrameworkError) -> tuple[Float64, dict[int, str]]:
        """Halve what failed until the windows at fault are alone, or until it is plain that they are many."""
        values = np.full((len(context), *self._shape), np.nan)
        failed: dict[int, str] = {}
        parts: list[tuple[npt.NDArray[np.int64], FrameworkError]] = [(np.arange(len(context)), error)]
        attempts = 0
        while parts:
            part, error = parts.pop()
            if len(part) == 1 or attempts >= MAX_ATTEMPTS:
                failed |= dict.fromkeys(part.tolist(), str(error))
                continue
            for half in np.array_split(part, 2):
                attempts += 1
                try:
                    values[half] = self.predict(self.preprocess(context.take(half)))
                except FrameworkError as again:
                    parts.append((half, again))
        log.warning("%d of %d windows failed, the first of them: %s", len(failed), len(context), failed[min(failed)])
        return values, failed
