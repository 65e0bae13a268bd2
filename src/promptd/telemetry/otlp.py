"""Spans to a collector, by OTLP over gRPC or HTTP. OpenTelemetry's own exporter queues, batches and retries them.

Needs the extra `otel`. A collector that is away costs nothing but its spans: the queue is bounded, the oldest are dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from promptd.core.errors import SettingsError
from promptd.core.tracing import Span, TraceContext

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import SpanContext

_BILLION: Final = 1_000_000_000
_MOST_WAITING: Final = 8192
_MOST_AT_ONCE: Final = 512
_DELAY_MS: Final = 1000
_SECONDS: Final = 5.0  #: that a collector may take


class OtlpSpans:
    """Takes spans at once and sends them from a thread. Raises `SettingsError` where the extra is missing."""

    def __init__(
        self, endpoint: str, protocol: Literal["grpc", "http"], headers: Mapping[str, str], version: str
    ) -> None:
        try:
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            raise SettingsError(
                "tracing.endpoint: sending spans needs the extra `otel`: pip install 'promptd[otel]'",
                key="tracing.endpoint",
            ) from None
        # its own log would tell of each failed try with a stack
        logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)
        self._version = version
        self._resources: dict[str, Resource] = {}
        self._processor = BatchSpanProcessor(
            _exporter(endpoint, protocol, headers),
            max_queue_size=_MOST_WAITING,
            schedule_delay_millis=_DELAY_MS,
            max_export_batch_size=_MOST_AT_ONCE,
        )

    def __call__(self, span: Span) -> None:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import SpanKind, Status, StatusCode

        kinds = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
        self._processor.on_end(
            ReadableSpan(
                name=span.name,
                context=_context(span.context),
                parent=_context(span.context.child(span.parent), remote=span.kind == "server") if span.parent else None,
                resource=self._resource(span.service),
                attributes={name: value for name, value in span.attributes.items() if value is not None},
                kind=kinds[span.kind],
                instrumentation_scope=InstrumentationScope("promptd", self._version),
                status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
                start_time=int(span.start * _BILLION),
                end_time=int(max(span.start, span.end) * _BILLION),
            )
        )

    def close(self) -> None:
        """Send what waits, for some seconds."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]  # as it is there

    def _resource(self, service: str) -> Resource:
        from opentelemetry.sdk.resources import Resource

        found = self._resources.get(service)
        if found is None:
            found = Resource.create({"service.name": service, "service.version": self._version})
            self._resources[service] = found
        return found


def _exporter(endpoint: str, protocol: str, headers: Mapping[str, str]) -> SpanExporter:
    given: dict[str, Any] = {"timeout": _SECONDS, "headers": dict(headers) or None}
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Grpc(endpoint=endpoint, insecure=endpoint.startswith("http://"), **given)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

    return Http(endpoint=f"{endpoint.rstrip('/')}/v1/traces", **given)


def _context(of: TraceContext, *, remote: bool = False) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState

    return SpanContext(
        trace_id=int(of.trace_id, 16),
        span_id=int(of.span_id, 16),
        is_remote=remote,
        trace_flags=TraceFlags(int(of.sampled)),
        trace_state=TraceState.from_header([of.state]) if of.state else None,
    )
