"""What a server counts, for Prometheus. One collector registry per application, so that several
live in one process.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

#: The variable that says where the processes of one server count together.
MULTIPROCESS = "FRAMEWORK_METRICS_DIR"
_TOGETHER = os.environ.get(MULTIPROCESS)
# prometheus_client looks at its own variables when it is imported. Feast sets them for itself
# wherever it is imported, and the children of that process inherit them: they say nothing of this
# server.
if "prometheus_client" not in sys.modules:
    for _variable in ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR"):
        os.environ.pop(_variable, None)
        if _TOGETHER is not None:
            os.environ[_variable] = _TOGETHER

from prometheus_client import (  # noqa: E402
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST  # noqa: E402
from prometheus_client.metrics_core import Metric  # noqa: E402
from prometheus_client.multiprocess import MultiProcessCollector  # noqa: E402

from framework.interfaces.registry import PairVersion  # noqa: E402

STAGES = ("validate", "retrieve", "preprocess", "predict")
_SECONDS = (
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
#: True of a server when it is true of one of its processes.
_ANY = ("framework_pair_info", "framework_degraded")
_WINDOWS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)


class Observe(Protocol):
    """Takes the seconds of a stage, and how long ago it ended."""

    def __call__(self, seconds: float, ago: float = 0.0) -> None: ...


class Metrics:
    """``on_stage`` is told of every stage that ended, its seconds, and how long ago it ended. In a
    process that has ``FRAMEWORK_METRICS_DIR`` the figures are the sums of all processes that share
    it, without ``process_…``.

    ``framework_…``: stage_seconds, request_windows and batch_windows by arm, requests_total by
    route, status, arm and pair, forecasts_total by status, arm and pair, unseen_categories_total by
    column, arm and pair, requests_in_flight, pair_info, reloads_total by arm and outcome, degraded
    by arm, shadow_requests_total by arm and outcome, shadow_seconds by arm, records_total,
    observed_total by observer and outcome,
    process_….
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, on_stage: Callable[[str, float, float], None] | None = None) -> None:
        self._on_stage = on_stage
        self._collectors = collectors = CollectorRegistry()
        self.stages = Histogram(
            "framework_stage_seconds",
            "Seconds in each stage of a request",
            ["stage", "arm"],
            buckets=_SECONDS,
            registry=collectors,
        )
        self.windows = Histogram(
            "framework_request_windows",
            "Windows of a request",
            ["arm"],
            buckets=_WINDOWS,
            registry=collectors,
        )
        self.batches = Histogram(
            "framework_batch_windows",
            "Windows forecast in one call",
            ["arm"],
            buckets=_WINDOWS,
            registry=collectors,
        )
        self.requests = Counter(
            "framework_requests",
            "Requests by route and HTTP status",
            ["route", "status", "arm", "pair"],
            registry=collectors,
        )
        self.forecasts = Counter(
            "framework_forecasts",
            "Forecasts by status",
            ["status", "arm", "pair"],
            registry=collectors,
        )
        self.unseen = Counter(
            "framework_unseen_categories",
            "Windows with a category that training did not see",
            ["column", "arm", "pair"],
            registry=collectors,
        )
        self.in_flight = Gauge(
            "framework_requests_in_flight",
            "Requests being answered",
            multiprocess_mode="livesum",
            registry=collectors,
        )
        self._info = Gauge(
            "framework_pair_info",
            "1 for each pair that answers",
            ["arm", "name", "version", "digest"],
            multiprocess_mode="livemax",
            registry=collectors,
        )
        self._reloads = Counter(
            "framework_reloads",
            "Pairs that an alias moved to, by outcome",
            ["arm", "outcome"],
            registry=collectors,
        )
        self._degraded = Gauge(
            "framework_degraded",
            "1 while an arm does not serve what its alias means",
            ["arm"],
            multiprocess_mode="livemax",
            registry=collectors,
        )
        self._shadows = Counter(
            "framework_shadow_requests",
            "Requests to shadows by outcome",
            ["arm", "outcome"],
            registry=collectors,
        )
        self._shadow_seconds = Histogram(
            "framework_shadow_seconds",
            "Seconds until a shadow's answer",
            ["arm"],
            buckets=_SECONDS,
            registry=collectors,
        )
        self._records = Counter(
            "framework_records", "Recorded forecasts by outcome", ["outcome"], registry=collectors
        )
        self._observed = Counter(
            "framework_observed",
            "Forecasts that observers were told of, by outcome",
            ["observer", "outcome"],
            registry=collectors,
        )
        ProcessCollector(registry=collectors)
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

    def count_request(self, route: str, status: int, arm: str = "", pair: int | str = "") -> None:
        self.child(self.requests, route, status, arm, pair).inc()

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

    def of_arm(self, arm: str, version: PairVersion) -> ArmMetrics:
        return ArmMetrics(self, arm, version.version)

    def observer(self, stage: str, arm: str) -> Observe:
        """Takes the seconds of one stage, and how long ago it ended."""
        observe: Callable[[float], None] = self.stages.labels(stage, arm).observe
        heard = self._on_stage

        def seen(seconds: float, ago: float = 0.0) -> None:
            observe(seconds)
            if heard is not None:
                heard(stage, seconds, ago)

        return seen

    def render(self) -> bytes:
        return generate_latest(self._summed())

    def samples(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """What :meth:`render` writes, as name, labels and value."""
        for family in self._summed().collect():
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value

    def _summed(self) -> CollectorRegistry:
        if _TOGETHER is None:
            return self._collectors
        together = CollectorRegistry()
        MultiProcessCollector(together, _TOGETHER)  # type: ignore[no-untyped-call]
        return together

    def families(self) -> list[Metric]:
        """The figures of this process, for :func:`added_up` in another one."""
        return list(self._collectors.collect())


def added_up(processes: Iterable[Iterable[Metric]]) -> bytes:
    """What :meth:`Metrics.render` gives, of several processes: sums, 1 where any of them says so,
    nothing of what is each one's own.
    """
    families: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for family in itertools.chain.from_iterable(processes):
        if family.name.startswith("process_"):
            continue
        families.setdefault(family.name, family)
        found = values.setdefault(family.name, {})
        for sample in family.samples:
            key = (sample.name, tuple(sample.labels.items()))
            if sample.name.endswith("_created"):
                found[key] = min(found.get(key, sample.value), sample.value)
            elif family.name in _ANY:
                found[key] = max(found.get(key, sample.value), sample.value)
            else:
                found[key] = found.get(key, 0.0) + sample.value
    together = []
    for name, family in families.items():
        merged = Metric(name, family.documentation, family.type)
        for (sampled, labels), value in values[name].items():
            merged.add_sample(sampled, dict(labels), value)
        together.append(merged)
    return generate_latest(_Collected(together))


class _Collected(CollectorRegistry):
    """Figures that were collected elsewhere."""

    def __init__(self, families: list[Metric]) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


class ArmMetrics:
    """What the pipeline of one arm counts. ``observe``: seconds by stage."""

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
