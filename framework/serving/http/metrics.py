"""The counts of a server, for Prometheus."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from framework.interfaces.registry import PairVersion
from framework.models.gpus import GpuLoad
from framework.serving.http import metric_registry

STAGES = ("validate", "retrieve", "preprocess", "predict")
#: Bounds of the histograms of seconds.
SECONDS = (
    0.00005,
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
)
_WINDOWS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)


class Observe(Protocol):
    """Takes the seconds of a stage, and how long ago it ended."""

    def __call__(self, seconds: float, ago: float = 0.0) -> None: ...


class Metrics(metric_registry.Metrics):
    """``on_stage`` is told of every stage that ended, its seconds, and how long ago it ended. With
    a ``folder`` the figures are the sums of all processes that share it, without ``process_…``.

    ``framework_…``: stage_seconds, request_windows and batch_windows by arm, requests_total by
    route, status, arm and pair, request_seconds by route, forecasts_total by status, arm and pair,
    unseen_categories_total by column, arm and pair, requests_in_flight, pair_info, reloads_total by
    arm and outcome, degraded by arm, shadow_requests_total by arm and outcome, shadow_seconds by
    arm, records_total, observed_total by observer and outcome, gpu_busy_percent and
    gpu_memory_used_bytes by gpu (of the GPUs that pairs forecast on), process_….
    """

    def __init__(
        self,
        on_stage: Callable[[str, float, float], None] | None = None,
        folder: Path | None = None,
    ) -> None:
        super().__init__(folder)
        self._on_stage = on_stage
        self.stages = self.histogram(
            "framework_stage_seconds",
            "Seconds in each stage of a request",
            ["stage", "arm"],
            buckets=SECONDS,
        )
        self.windows = self.histogram(
            "framework_request_windows", "Windows of a request", ["arm"], buckets=_WINDOWS
        )
        self.batches = self.histogram(
            "framework_batch_windows", "Windows forecast in one call", ["arm"], buckets=_WINDOWS
        )
        self.requests = self.counter(
            "framework_requests",
            "Requests by route and HTTP status",
            ["route", "status", "arm", "pair"],
        )
        self.seconds = self.histogram(
            "framework_request_seconds",
            "Seconds from the first byte of a request's head to its answer",
            ["route"],
            buckets=SECONDS,
        )
        self.forecasts = self.counter(
            "framework_forecasts", "Forecasts by status", ["status", "arm", "pair"]
        )
        self.unseen = self.counter(
            "framework_unseen_categories",
            "Windows with a category that training did not see",
            ["column", "arm", "pair"],
        )
        self.in_flight = self.gauge("framework_requests_in_flight", "Requests being answered")
        self._info = self.gauge(
            "framework_pair_info",
            "1 for each pair that answers",
            ["arm", "name", "version", "digest"],
            mode="livemax",
        )
        self._reloads = self.counter(
            "framework_reloads", "Pairs that an alias moved to, by outcome", ["arm", "outcome"]
        )
        self._degraded = self.gauge(
            "framework_degraded",
            "1 while an arm does not serve what its alias means",
            ["arm"],
            mode="livemax",
        )
        self._shadows = self.counter(
            "framework_shadow_requests", "Requests to shadows by outcome", ["arm", "outcome"]
        )
        self._shadow_seconds = self.histogram(
            "framework_shadow_seconds", "Seconds until a shadow's answer", ["arm"], buckets=SECONDS
        )
        self._records = self.counter(
            "framework_records", "Recorded forecasts by outcome", ["outcome"]
        )
        self._observed = self.counter(
            "framework_observed",
            "Forecasts that observers were told of, by outcome",
            ["observer", "outcome"],
        )
        self._gpu_busy = self.gauge(
            "framework_gpu_busy_percent",
            "Per cent of the driver's last sample period in which the GPU worked",
            ["gpu"],
            mode="livemax",
        )
        self._gpu_memory = self.gauge(
            "framework_gpu_memory_used_bytes",
            "Memory of the GPU that is used, by any process",
            ["gpu"],
            mode="livemax",
        )
        self._children: dict[tuple[Any, ...], Any] = {}

    def child(self, metric: Any, *labels: Any) -> Any:
        """``labels()`` formats and locks on every call; the handful of children there can be are
        kept.
        """
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def count_request(
        self, route: str, status: int, seconds: float, arm: str = "", pair: int | str = ""
    ) -> None:
        self.child(self.requests, route, status, arm, pair).inc()
        self.child(self.seconds, route).observe(seconds)

    def count_reload(self, arm: str, outcome: str) -> None:
        """``outcome``: swapped, refused (the pair failed its proof) or unreachable (the registry
        did not answer).
        """
        self._reloads.labels(arm, outcome).inc()

    def show_degraded(self, arm: str, degraded: bool) -> None:
        self._degraded.labels(arm).set(degraded)

    def show_pair(self, arm: str, version: PairVersion, answers: bool) -> None:
        self._info.labels(arm, version.name, version.version, version.digest).set(answers)

    def count_shadow(self, arm: str, outcome: str) -> None:
        """``outcome``: answered, refused (4xx), failed, dropped (its queue was full) or crashed
        (its process ended).
        """
        self.child(self._shadows, arm, outcome).inc()

    def observe_shadow(self, arm: str, seconds: float) -> None:
        self.child(self._shadow_seconds, arm).observe(seconds)

    def count_records(self, outcome: str, rows: int) -> None:
        """``outcome``: written, dropped (the queue was full) or lost (the disk refused)."""
        self._records.labels(outcome).inc(rows)

    def count_observed(self, observer: str, outcome: str, forecasts: int) -> None:
        """``outcome``: told, dropped (its queue was full) or failed (it raised)."""
        self.child(self._observed, observer, outcome).inc(forecasts)

    def show_gpus(self, loads: Iterable[GpuLoad | str]) -> None:
        """Show the loads that are known."""
        for load in loads:
            if isinstance(load, GpuLoad):
                self._gpu_busy.labels(load.gpu).set(load.busy)
                self._gpu_memory.labels(load.gpu).set(load.memory_used)

    def of_arm(self, arm: str, version: PairVersion) -> ArmMetrics:
        return ArmMetrics(self, arm, version.version)

    def observer(self, stage: str, arm: str) -> Observe:
        """Takes the seconds of one stage, and how long ago it ended."""
        observe: Callable[[float], None] = self.stages.labels(stage, arm).observe
        observe_stage = self._on_stage

        def seen(seconds: float, ago: float = 0.0) -> None:
            observe(seconds)
            if observe_stage is not None:
                observe_stage(stage, seconds, ago)

        return seen


class ArmMetrics:
    """The counts of the pipeline of one arm. ``observe``: seconds by stage."""

    def __init__(self, metrics: Metrics, arm: str, pair: int) -> None:
        self._metrics, self._arm, self._pair = metrics, arm, pair
        self.observe: dict[str, Observe] = {stage: metrics.observer(stage, arm) for stage in STAGES}
        self._observe_windows = metrics.windows.labels(arm).observe
        self._observe_batch = metrics.batches.labels(arm).observe

    def count_forecasts(self, statuses: Iterable[str]) -> None:
        metrics = self._metrics
        for status, n in Tally(statuses).items():
            metrics.child(metrics.forecasts, status, self._arm, self._pair).inc(n)

    def count_unseen(self, columns: Mapping[str, int]) -> None:
        metrics = self._metrics
        for column, n in columns.items():
            metrics.child(metrics.unseen, column, self._arm, self._pair).inc(n)

    def observe_windows(self, count: int) -> None:
        """Of a request."""
        self._observe_windows(count)

    def observe_batch(self, count: int) -> None:
        """Of a call of the pair, for one request or several."""
        self._observe_batch(count)
