"""What a server counts, for Prometheus. One collector registry per application, so that several live in one process."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from framework.interfaces.values import PairVersion

STAGES = ("validate", "retrieve", "preprocess", "predict")
_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """``framework_…``: stage_seconds by stage, requests_total by route and status, forecasts_total by status, requests_in_flight,
    pair_info.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, version: PairVersion, alias: str | None) -> None:
        self._collectors = CollectorRegistry()
        stages = Histogram(
            "framework_stage_seconds", "Seconds in each stage of a request", ["stage"], buckets=_SECONDS, registry=self._collectors
        )
        self.observe: dict[str, Callable[[float], None]] = {stage: stages.labels(stage).observe for stage in STAGES}
        self._requests = Counter("framework_requests", "Requests by route and HTTP status", ["route", "status"], registry=self._collectors)
        self._forecasts = Counter("framework_forecasts", "Forecasts by status", ["status"], registry=self._collectors)
        self._in_flight = Gauge("framework_requests_in_flight", "Requests being answered", registry=self._collectors)
        info = Gauge("framework_pair_info", "The pair that answers", ["name", "version", "alias", "digest"], registry=self._collectors)
        info.labels(version.name, version.version, alias or "", version.digest).set(1)
        self._children: dict[tuple[Any, ...], Any] = {}

    def watch_in_flight(self, count: Callable[[], float]) -> None:
        self._in_flight.set_function(count)

    def count_request(self, route: str, status: int) -> None:
        self._child(self._requests, route, status).inc()

    def count_forecasts(self, statuses: Iterable[str]) -> None:
        for status, n in Tally(statuses).items():
            self._child(self._forecasts, status).inc(n)

    def _child(self, counter: Counter, *labels: Any) -> Any:
        """``labels()`` formats and locks on every call; the handful of children there can be are kept."""
        key = (counter, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = counter.labels(*labels)
        return child

    def render(self) -> bytes:
        return generate_latest(self._collectors)
