"""The home of metrics: one registry for each application, so that several live in one process; and
how those of several processes become one server's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    values,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from framework.errors import FrameworkError

#: Names the folder where the processes of one server count together. prometheus_client reads it
#: when a worker imports it, so that the supervisor sets it before it starts workers.
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
#: Of a server: the highest that one of its processes says, not the sum.
_ANY = (
    "framework_pair_info",
    "framework_degraded",
    "framework_gpu_busy_percent",
    "framework_gpu_memory_used_bytes",
)


class Metrics:
    """A registry of metrics; implements
    :class:`framework.interfaces.serving_extension.MetricRegistry`.

    ``folder``: where the processes of one server count together; None for a process that counts
    alone.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, folder: Path | None = None) -> None:
        if folder is None:
            _count_in_memory()
        self._folder = folder
        self._collectors = CollectorRegistry()
        ProcessCollector(registry=self._collectors)

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        counter: Counter = self._new(Counter, name, text, labels)
        return counter

    def gauge(
        self, name: str, text: str, labels: Sequence[str] = (), *, mode: str = "livesum"
    ) -> Gauge:
        """``mode``: how the gauges of the processes of a server become one, as
        ``prometheus_client`` calls it.
        """
        gauge: Gauge = self._new(Gauge, name, text, labels, multiprocess_mode=mode)
        return gauge

    def histogram(
        self, name: str, text: str, labels: Sequence[str] = (), *, buckets: Sequence[float]
    ) -> Histogram:
        histogram: Histogram = self._new(Histogram, name, text, labels, buckets=buckets)
        return histogram

    def _new(self, kind: Any, name: str, text: str, labels: Sequence[str], **more: Any) -> Any:
        try:
            return kind(name, text, labels, registry=self._collectors, **more)
        except ValueError as error:
            raise FrameworkError(
                f"the metric '{name}' cannot be made: {error}; choose another name."
            ) from error

    def render(self) -> bytes:
        """Write what ``GET /metrics`` answers."""
        return generate_latest(self._summed())

    def samples(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """List what :meth:`render` writes, as name, labels and value."""
        for family in self._summed().collect():
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value

    def _summed(self) -> CollectorRegistry:
        if self._folder is None:
            return self._collectors
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(self._folder))  # type: ignore[no-untyped-call]
        return registry

    def families(self) -> list[Metric]:
        """The figures of this process, for :func:`added_up` in another one."""
        return list(self._collectors.collect())


def _count_in_memory() -> None:
    """Make the metrics of this process numbers in memory.

    prometheus_client has no argument for it: it decides for the whole process when it is imported,
    by a variable that Feast sets for itself. Its metrics ask ``values.ValueClass`` each time.
    """
    values.ValueClass = values.MutexValue


def added_up(processes: Iterable[Iterable[Metric]]) -> bytes:
    """Add up what :meth:`Metrics.render` gives of several processes: sums, 1 where any of them says
    so, nothing of what is each one's own.
    """
    families: dict[str, Metric] = {}
    totals: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for family in itertools.chain.from_iterable(processes):
        if family.name.startswith("process_"):
            continue
        families.setdefault(family.name, family)
        total = totals.setdefault(family.name, {})
        for sample in family.samples:
            key = (sample.name, tuple(sample.labels.items()))
            if sample.name.endswith("_created"):
                total[key] = min(total.get(key, sample.value), sample.value)
            elif family.name in _ANY:
                total[key] = max(total.get(key, sample.value), sample.value)
            else:
                total[key] = total.get(key, 0.0) + sample.value
    sums = []
    for name, family in families.items():
        metric = Metric(name, family.documentation, family.type)
        for (sampled, labels), value in totals[name].items():
            metric.add_sample(sampled, dict(labels), value)
        sums.append(metric)
    return generate_latest(_Collected(sums))


class _Collected(CollectorRegistry):
    """Figures that were collected elsewhere."""

    def __init__(self, families: list[Metric]) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)
