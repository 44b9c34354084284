"""What a replica was working on when it died is tried once more, alone and in a process of its own: at most that one dies of it."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections import OrderedDict
from hashlib import blake2b
from typing import Any

import ray
from ray.exceptions import RayActorError

from framework.interfaces.values import Context, PairVersion
from framework.serving.deployment import Deployment
from framework.serving.refusal import Refusal
from framework_ray_serve import RayServeOptions
from framework_ray_serve.services import ModelService, Predicted

#: Requests that are remembered as deadly, and seconds until a process that nothing asks is let go.
_REMEMBERED, _IDLE = 1000, 60.0

log = logging.getLogger(__name__)


class Quarantine:
    """One request at a time, so that what the process dies of is known. It is started when it is first needed."""

    def __init__(self, deployment: Deployment, options: RayServeOptions) -> None:
        self._arguments = (deployment, options)
        self._actor: Any = None
        self._deadly: OrderedDict[bytes, None] = OrderedDict()
        self._lock = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    def check(self, version: PairVersion, context: Context) -> None:
        """Raise :class:`Refusal` 422 for a request that a process has died of."""
        if self._deadly and _key(version, context) in self._deadly:
            raise _refused()

    async def attempt(self, version: PairVersion, context: Context) -> Predicted:
        """Raises :class:`Refusal` 422 when the process dies of it."""
        async with self._lock:
            self.check(version, context)
            if self._idle is not None:
                self._idle.cancel()
            if self._actor is None:
                self._actor = ray.remote(num_cpus=0, max_restarts=0)(ModelService).remote(*self._arguments)
            try:
                predicted: Predicted = await self._actor.attempt.remote(version, context)
            except RayActorError:
                log.exception("a request ended the process that worked on it; it is not tried again")
                self._actor = None
                self._deadly[_key(version, context)] = None
                if len(self._deadly) > _REMEMBERED:
                    self._deadly.popitem(last=False)
                raise _refused() from None
            self._idle = asyncio.get_running_loop().call_later(_IDLE, self._let_go)
            return predicted

    def _let_go(self) -> None:
        self._actor = None  # the last reference to an actor ends it


def _refused() -> Refusal:
    return Refusal(422, "this request ended the process that worked on it; it is not tried again")


def _key(version: PairVersion, context: Context) -> bytes:
    return blake2b(pickle.dumps((version.digest, context)), digest_size=16).digest()
