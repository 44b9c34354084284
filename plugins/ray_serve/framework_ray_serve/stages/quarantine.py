"""A second try, in a process of its own, for requests that a replica had when it died.

Each is tried alone, so that at most this process dies of it.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from framework.data.context import Context
from framework.errors import FrameworkError
from framework.interfaces.registry import PairVersion
from framework.pairs.loading import LoadedPair
from framework.serving.deployment import Deployment
from framework.serving.http import logs
from framework.serving.http.refusal import Refusal
from framework.serving.options import LogOptions
from framework.serving.pipeline.parts import attempt
from framework.serving.pipeline.pipeline import look_up
from framework.serving.pipeline.validation import Lookup
from framework_ray_serve import RayServeOptions
from framework_ray_serve.stages.loaded_pairs import LoadedPairs
from framework_ray_serve.stages.messages import Predicted

#: Requests that are remembered as deadly, and seconds until a process that nothing asks is let go.
_REMEMBERED, _IDLE = 1000, 60.0

log = logging.getLogger(__name__)


class _Alone:
    """The work of all services in one process."""

    def __init__(self, deployment: Deployment, options: LogOptions) -> None:
        logs.configure(options)
        self._deployment = deployment
        self._held: LoadedPairs[LoadedPair] = LoadedPairs(deployment.load, keep=2)

    async def retrieve(self, version: PairVersion, lookup: Lookup) -> Context | Refusal:
        deployment, pair = self._deployment, await self._held.get(version)
        try:
            return await look_up(deployment.strategy, deployment.features, pair.pair.schema, lookup)
        except Refusal as refusal:
            return refusal

    async def predict(self, version: PairVersion, context: Context) -> Predicted:
        pair = (await self._held.get(version)).pair
        values, failed = attempt(
            context, pair.schema, lambda part: pair.predict(pair.windows(part))
        )
        return Predicted(values, {}, failed)


class Quarantine:
    """One request at a time, so that what the process dies of is known. It is started when it is
    first needed.

    ``tell`` is given what a process died of, so that the other replicas of ForecastAPI
    :meth:`remember` it, too.
    """

    def __init__(
        self,
        deployment: Deployment,
        options: RayServeOptions,
        tell: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._arguments, self._tell = (deployment, options.log), tell
        self._patience = options.start_timeout_s
        self._actor: Any = None
        self._deadly: OrderedDict[bytes, None] = OrderedDict()
        self._lock = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    def check(self, version: PairVersion, question: Context | Lookup) -> None:
        """Raise :class:`Refusal` 422 for a request that a process has died of."""
        if self._deadly and _key(version, question) in self._deadly:
            raise _refused()

    def remember(self, key: bytes) -> None:
        self._deadly[key] = None
        if len(self._deadly) > _REMEMBERED:
            self._deadly.popitem(last=False)

    async def retrieve(self, version: PairVersion, lookup: Lookup) -> Context | Refusal:
        """Raises :class:`Refusal` 422 when the process dies of it."""
        answer: Context | Refusal = await self._attempt("retrieve", version, lookup)
        return answer

    async def predict(self, version: PairVersion, context: Context) -> Predicted:
        """Raises :class:`Refusal` 422 when the process dies of it."""
        predicted: Predicted = await self._attempt("predict", version, context)
        return predicted

    async def _attempt(self, method: str, version: PairVersion, question: Context | Lookup) -> Any:
        async with self._lock:
            self.check(version, question)
            if self._idle is not None:
                self._idle.cancel()
            if self._actor is None:
                self._actor = ray.remote(num_cpus=0, max_restarts=0)(_Alone).remote(
                    *self._arguments
                )
            answered = False
            try:
                async with asyncio.timeout(self._patience):
                    answer = await getattr(self._actor, method).remote(version, question)
                answered = True
            except RayActorError:
                log.exception(
                    "a request ended the process that worked on it; it is not tried again"
                )
                self.remember(_key(version, question))
                await self._tell(_key(version, question))
                raise _refused() from None
            except TimeoutError:
                raise Refusal(
                    503, f"no answer within {self._patience:g} s", retry_after=1
                ) from None
            except RayTaskError as error:
                if isinstance(error.cause, FrameworkError):
                    raise Refusal(503, str(error.cause), retry_after=1) from None
                raise
            finally:  # one that is cancelled may never end
                if not answered:
                    ray.kill(self._actor)
                    self._actor = None
            self._idle = asyncio.get_running_loop().call_later(_IDLE, self._let_go)
            return answer

    def _let_go(self) -> None:
        self._actor = None  # the last reference to an actor ends it


def _refused() -> Refusal:
    return Refusal(422, "this request ended the process that worked on it; it is not tried again")


def _key(version: PairVersion, question: Context | Lookup) -> bytes:
    return blake2b(pickle.dumps((version.digest, question)), digest_size=16).digest()
