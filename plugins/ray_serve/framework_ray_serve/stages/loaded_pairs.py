"""The pairs that a replica holds, by digest: it answers from the one that a request names, opens
what it lacks, never takes another.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from framework.interfaces.registry import PairVersion

T = TypeVar("T")


class LoadedPairs(Generic[T]):
    """At most ``keep`` of them: the one that was asked for least lately goes. ``open_pair`` proves
    what it opens, in a thread.
    """

    def __init__(self, open_pair: Callable[[PairVersion], T], keep: int) -> None:
        self._open, self._keep = open_pair, keep
        self._held: OrderedDict[str, T] = OrderedDict()
        self._lock = asyncio.Lock()

    async def get(self, version: PairVersion) -> T:
        """Raises :class:`~framework.errors.FrameworkError` when it cannot be had."""
        pair = self._held.get(version.digest)
        if pair is None:
            async with self._lock:
                pair = self._held.get(version.digest)
                if pair is None:
                    pair = await asyncio.to_thread(self._open, version)
                    self._held[version.digest] = pair
                    while len(self._held) > self._keep:
                        self._held.popitem(last=False)
        self._held.move_to_end(version.digest)
        return pair
