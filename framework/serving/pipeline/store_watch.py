"""The watch on the feature store: can it answer for any entity?

A running server asks the store, and its readiness shows the answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from framework.errors import FrameworkError
from framework.features.views import FeatureSet
from framework.interfaces.retrieval import RetrievalStrategy
from framework.serving.http.metrics import Metrics

#: Seconds between two questions.
PERIOD = 1.0
#: Among the arms in the readiness' reasons and in ``framework_degraded``.
STORE = "feature_store"

log = logging.getLogger(__name__)


async def store_trouble(strategy: RetrievalStrategy | None, features: FeatureSet) -> str | None:
    """Say why no entity can be looked up now; None when some can, or when nothing is ever looked
    up.
    """
    if strategy is None:
        return None
    try:
        filled = await strategy.has_entities(features)
    except FrameworkError as error:
        return str(error)
    except Exception as error:
        log.exception("the feature store could not be asked whether it has entities")
        return f"the feature store could not be asked whether it has entities: {error}"
    if filled:
        return None
    return f"the feature store has no entity of view '{features.primary}'; run=materialize."


class StoreWatch:
    """Asks again and again on the server's event loop. ``trouble``: the answer to the last
    question.
    """

    def __init__(self, ask: Callable[[], Awaitable[str | None]], metrics: Metrics) -> None:
        self._ask, self._metrics = ask, metrics
        self._task: asyncio.Task[None] | None = None
        self.trouble: str | None = None
        metrics.show_degraded(STORE, False)

    async def start(self) -> None:
        """Return when the first question is answered."""
        await self._look()
        self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """Waits for nothing."""
        if self._task is not None:
            self._task.cancel()

    def troubles(self) -> dict[str, str]:
        """As :attr:`Follower.troubles` says those of the arms."""
        return {} if self.trouble is None else {STORE: self.trouble}

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            await self._look()

    async def _look(self) -> None:
        trouble = await self._ask()
        if (trouble is None) != (self.trouble is None):
            self._metrics.show_degraded(STORE, trouble is not None)
            log.warning(
                "the feature store has entities again"
                if trouble is None
                else f"degraded: {trouble}"
            )
        self.trouble = trouble
