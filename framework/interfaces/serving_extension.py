"""The additions of a plugin to a server by the hook ``serving_extensions``: routes, protocols,
pages of the console, and metrics.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

#: What a key may be for; a route without a scope is open to everybody.
Scope = Literal["predict", "metrics", "admin"]


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """A route that forecasts nothing.

    Args:
        path: as clients ask it, such as ``/drift``; without parameters.
        endpoint: a coroutine function from a Starlette ``Request`` to a ``Response``.
        methods: of HTTP.
        scope: what a key must be for; None lets everybody ask.
        summary: one line for the OpenAPI document; without one the route is not in it.
    """

    path: str
    endpoint: Callable[[Any], Awaitable[Any]]
    methods: tuple[str, ...] = ("GET",)
    scope: Scope | None = "admin"
    summary: str = ""


@dataclass(frozen=True, slots=True)
class ForecastRoute:
    """``POST`` of another protocol's request for forecasts.

    Args:
        path: as clients ask it.
        dialect: a :class:`framework.serving.protocols.dialect.Dialect`, which translates.
        summary: one line for the OpenAPI document; without one the route is not in it.
    """

    path: str
    dialect: Any
    summary: str = ""


@dataclass(frozen=True, slots=True)
class ConsolePage:
    """A page beside the console, at ``/console/pages/{name}``, with a link on the first page.

    Args:
        name: lower-case letters, digits and ``-``.
        title: the text of the link.
        html: makes the document; called in a thread. Browsers run no script of it.
        scope: what a key must be for. A browser sends no key by itself, so that a server with keys
            shows only pages whose scope is None.
    """

    name: str
    title: str
    html: Callable[[], str]
    scope: Scope | None = "admin"


Extension = HttpRoute | ForecastRoute | ConsolePage


class MetricRegistry(Protocol):
    """The server's metrics: what is made here is in ``GET /metrics``, summed over all processes.

    Each method raises :class:`~framework.errors.FrameworkError` for a name that there is already.
    The results are metrics of ``prometheus_client``.
    """

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Any:
        """Make a counter.

        Args:
            name: without ``_total``.
            text: what it counts.
            labels: names of its labels.

        Returns:
            A ``prometheus_client.Counter``.
        """

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Any:
        """Make a gauge; those of several processes are added up.

        Args:
            name: of the metric.
            text: what it shows.
            labels: names of its labels.

        Returns:
            A ``prometheus_client.Gauge``.
        """

    def histogram(
        self, name: str, text: str, labels: Sequence[str] = (), *, buckets: Sequence[float]
    ) -> Any:
        """Make a histogram.

        Args:
            name: of the metric.
            text: what it measures.
            labels: names of its labels.
            buckets: upper bounds, rising.

        Returns:
            A ``prometheus_client.Histogram``.
        """
