"""The service of one process: the arms, their shared parts, and the thread that follows aliases."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.data.vocabulary import CPU
from framework.errors import DataError
from framework.interfaces.ledger import Ledger, LedgerOptions
from framework.interfaces.registry import PairVersion
from framework.models.gpus import GpuLoad, load_of, warn_once
from framework.models.openmp import thread_limit
from framework.pairs.followed_levels import levels_path, read_levels
from framework.serving.answers import Answers
from framework.serving.arms.arms import Arm, Arms
from framework.serving.arms.canary import Canary
from framework.serving.arms.follower import Follower
from framework.serving.deployment import Deployment, alias_of
from framework.serving.http.access import Access
from framework.serving.http.metrics import Metrics
from framework.serving.memory import keep_freed_memory
from framework.serving.observers import Observers, Own
from framework.serving.options import ServingOptions
from framework.serving.pipeline.pipeline import Pipeline, call_size
from framework.serving.pipeline.rendering import Renderer
from framework.serving.pipeline.store_watch import store_trouble
from framework.serving.pipeline.validation import Entities

if TYPE_CHECKING:
    from framework.serving.http.tracing import Tracing

log = logging.getLogger(__name__)


class Service:
    """Opens the first pair when it is made: raises what :class:`Deployment` raises when there is
    none that may answer.

    A backend whose stages run elsewhere overrides :meth:`open`. ``shadow``: nobody gets its
    answers. ``observers``: those of another service of this process, which starts and closes them;
    None for its own. ``figures``: the folder where the processes of one server count together,
    None for a process that counts alone.
    """

    def __init__(
        self,
        deployment: Deployment,
        options: ServingOptions,
        *,
        shadow: bool = False,
        observers: Observers | None = None,
        figures: Path | None = None,
    ) -> None:
        keep_freed_memory()
        self.deployment, self.options = deployment, options
        self.access = Access(options.access)
        self.tracing = _tracing(options, deployment.name)
        self.metrics = Metrics(None if self.tracing is None else self.tracing.stage, figures)
        # one more than forecast at the same time, for long bodies
        self.threads = ThreadPoolExecutor(thread_limit() + 1, thread_name_prefix="pipeline")
        self._damage: dict[str, str] = {}
        first = self._open(deployment.reference, deployment.resolve(deployment.reference))
        self.arms = Arms(first, options.split or {})
        self.metrics.show_pair(first.name, first.version, True)
        self.canary = Canary(
            options.canary,
            self.arms,
            deployment.state / "serving" / f"{deployment.name}.canary.json",
        )
        self._owns_observers = observers is None
        self.observers = self._observers() if observers is None else observers
        self._feed = self.observers.feed(shadow=shadow)
        followed = [
            name
            for name in (deployment.reference, *options.variants())
            if alias_of(name) is not None
        ]
        self.follower = Follower(
            self.arms,
            followed,
            deployment.resolve,
            self._open,
            self._looked,
            self._feed.swapped,
            self.metrics,
            options.reload,
        )
        if options.variants():
            # one that cannot be had is no reason not to serve the others: the readiness says so
            self.follower.look()
        self.answers = Answers(self.arms, self._feed)

    def _open(self, reference: str, version: PairVersion) -> Arm:
        arm = self.open(reference, version)
        self._follow_levels(arm)
        return arm

    def _looked(self) -> None:
        self.canary.tick()
        for arm in self.arms.table.arms.values():
            self._follow_levels(arm)

    def _follow_levels(self, arm: Arm) -> None:
        """Take the levels that ``run=monitor`` wrote for the pair. A file that cannot be read
        leaves what is in use, and is told once.
        """
        path = levels_path(self.deployment.state, self.deployment.name, arm.version.digest)
        try:
            arm.pipeline.follow(read_levels(path, arm.version.digest, len(arm.schema.targets)))
            self._damage.pop(arm.name, None)
        except DataError as error:
            if self._damage.get(arm.name) != str(error):
                log.warning("%s; the levels before stay in use", error)
            self._damage[arm.name] = str(error)

    def open(self, reference: str, version: PairVersion) -> Arm:
        """Load a pair, prove it, warm it.

        Args:
            reference: The alias or number that it is served as.
            version: The pair.

        Returns:
            What answers for it.

        Raises:
            FrameworkError: It may not answer.
        """
        pair = self.deployment.load(version, self.options.device or CPU)
        if pair.device != CPU and isinstance(reason := load_of(pair.device), str):
            warn_once(reason, f"no figures of {pair.device} in the metrics and the console")
        schema = pair.pair.schema
        self.deployment.check(schema)
        render = Renderer(version, alias_of(reference), schema.entity_keys)
        render(pair.pair.forecast(pair.golden.context))
        features, metrics, batch = (
            self.deployment.features,
            self.metrics.of_arm(reference, version),
            self.options.batch,
        )
        if batch.size is None:
            batch = batch.model_copy(update={"size": call_size(pair.pair, pair.golden.context)})
        pipeline = Pipeline(
            pair.pair,
            features,
            self.deployment.strategy,
            metrics,
            self.options.max_rows,
            self.threads,
            batch,
        )
        return Arm(
            reference,
            version,
            schema,
            pair.golden,
            pipeline,
            render,
            Entities(schema, self.options.max_rows),
            pair.device,
        )

    def _observers(self) -> Observers:
        """The plugins, and of our own those that the options ask for."""
        options, deployment, own = self.options, self.deployment, list[Own]()
        ledger: Ledger = deployment.parts.make("ledger")
        writer = ledger.writer(deployment.name, deployment.state, self.metrics.count_records)
        if writer is not None:
            if isinstance(ledger.options, LedgerOptions):
                ledger.options.check(deployment.features.entity_keys)
            own.append(Own("ledger", writer.hooks, writer.queue, writer.offered))
        if options.canary.alias is not None:
            own.append(Own("canary", self.canary, options.observers.queue))
        return Observers(deployment.parts.plugins, own, options.observers.queue, self.metrics)

    async def figures(self) -> bytes:
        """Render what ``GET /metrics`` answers. A backend whose processes do not share a folder
        overrides it.

        Returns:
            Prometheus text.
        """
        await self.read_gpus()
        return self.metrics.render()

    async def read_gpus(self) -> None:
        """Bring the figures of the GPUs up to date."""
        arms = [arm for arm in self.arms.table.arms.values() if arm.device != CPU]
        if arms:
            loads = [await asyncio.to_thread(self.gpu_loads, arm) for arm in arms]
            self.metrics.show_gpus(chain.from_iterable(loads))

    def gpu_loads(self, arm: Arm) -> list[GpuLoad | str]:
        """Read the GPUs that an arm forecasts on. Called from a thread. A backend whose pairs are
        elsewhere overrides it.

        Args:
            arm: The arm.

        Returns:
            The load of each, or why it is not known; nothing for an arm on the CPU.
        """
        return [] if arm.device == CPU else [load_of(arm.device)]

    async def reload(self) -> dict[str, Any]:
        """Look at the registry now. With several processes all of them look.

        Returns:
            ``{"aliases": […]}``, as :meth:`Follower.look_now` says.
        """
        return {"aliases": await asyncio.to_thread(self.follower.look_now)}

    async def store_trouble(self) -> str | None:
        """Look whether any entity can be looked up. A backend whose store is read elsewhere
        overrides it.

        Returns:
            One line that says why none can; None when some can.
        """
        return await store_trouble(self.deployment.strategy, self.deployment.features)

    def start(self) -> None:
        """Begin to follow aliases, and to be followed."""
        if self._owns_observers:
            self.observers.start(self.deployment)
        for arm in self.arms.table.arms.values():
            self._feed.swapped(arm)
        self.follower.start()

    async def close(self) -> None:
        """Stop following; let go of threads and of the store's connections."""
        self.follower.stop()
        self.threads.shutdown()
        if self._owns_observers:
            await asyncio.to_thread(self.observers.close)
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)
        await self.deployment.close()


def _tracing(options: ServingOptions, name: str) -> Tracing | None:
    """OpenTelemetry is imported where it is used: it is an extra."""
    if options.tracing.endpoint is None:
        return None
    from framework.serving.http.tracing import Tracing

    return Tracing(options.tracing, name)
