"""OpenTelemetry: a span for each request, one for each of its stages below it, sent over
OTLP/HTTP.
"""

from __future__ import annotations

from time import time_ns

from framework.errors import NotInstalledError
from framework.serving.http.asgi import Answer, Answered, Call, HotRoute
from framework.serving.http.bodies import Receive
from framework.serving.http.refusal import Refusal
from framework.serving.options import TracingOptions

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    from opentelemetry.trace import SpanKind, Status, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:
    raise NotInstalledError(
        "serving.tracing.endpoint needs OpenTelemetry: pip install framework-core[tracing]"
    ) from error


class Tracing:
    """Sends from a thread of its own; a collector that is away costs spans, nothing else."""

    def __init__(self, options: TracingOptions, name: str) -> None:
        sampler = ParentBased(TraceIdRatioBased(options.share / 100))
        self._provider = TracerProvider(
            sampler=sampler,
            resource=Resource.create({"service.name": "framework", "framework.pair": name}),
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(options.endpoint)))
        self._tracer = self._provider.get_tracer("framework.serving")
        self._context = TraceContextTextMapPropagator()

    def around(self, route: HotRoute) -> HotRoute:
        """The route, each call in a span that continues the client's ``traceparent``."""

        async def traced(call: Call, receive: Receive, answered: Answered) -> Answer:
            known = [name for name in self._context.fields if name.encode() in call.headers]
            carrier = {name: call.headers[name.encode()].decode("latin-1") for name in known}
            attributes = {"http.request.method": call.method, "http.route": call.path}
            attributes["framework.request_id"] = call.id.decode()
            with self._tracer.start_as_current_span(
                f"{call.method} {call.path}",
                self._context.extract(carrier),
                SpanKind.SERVER,
                attributes,
                record_exception=False,
            ) as span:
                try:
                    answer = await route(call, receive, answered)
                except Refusal as refusal:
                    span.set_attribute("http.response.status_code", refusal.status)
                    span.set_status(
                        Status(StatusCode.ERROR if refusal.status >= 500 else StatusCode.UNSET)
                    )
                    raise
                span.set_attribute("http.response.status_code", answer.status)
                span.set_attributes({"framework.arm": answer.arm, "framework.version": answer.pair})
                return answer

        return traced

    def stage(self, name: str, seconds: float, ago: float) -> None:
        """A stage of the current request that ended so many seconds ago."""
        end = time_ns() - int(1e9 * ago)
        self._tracer.start_span(name, start_time=end - int(1e9 * seconds)).end(end)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()
