"""A collector of spans on loopback, by OTLP over gRPC or HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from msgspec import Struct
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service


class Told(Struct):
    """One span as it arrived."""

    name: str
    service: str
    trace: str
    id: str
    parent: str
    kind: int
    attributes: dict[str, Any]
    failed: bool


class Collector:
    """What arrived so far."""

    def __init__(self) -> None:
        self.url = ""
        self.headers: list[dict[str, str]] = []
        self._spans: list[Told] = []
        self._changed = threading.Condition()

    def take(self, request: wire.ExportTraceServiceRequest, headers: dict[str, str]) -> None:
        with self._changed:
            self.headers.append(headers)
            for resource in request.resource_spans:
                names = {one.key: one.value.string_value for one in resource.resource.attributes}
                for scope in resource.scope_spans:
                    self._spans += [_told(span, names["service.name"]) for span in scope.spans]
            self._changed.notify_all()

    def _wait(self, count: int) -> list[Told]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._spans) >= count, 20), [one.name for one in self._spans]
            return list(self._spans)

    async def spans(self, count: int) -> list[Told]:
        """So many at least, once they are there."""
        return await asyncio.to_thread(self._wait, count)


def _told(span: Any, named: str) -> Told:
    return Told(
        name=span.name,
        service=named,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=span.kind,
        attributes={one.key: _value(one.value) for one in span.attributes},
        failed=span.status.code == 2,
    )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)


class _Service(service.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - as the service calls it
        self._collector.take(request, dict(context.invocation_metadata()))
        return wire.ExportTraceServiceResponse()


@contextmanager
def by_grpc() -> Iterator[Collector]:
    collector = Collector()
    pool = ThreadPoolExecutor(2)
    server = grpc.server(pool)
    service.add_TraceServiceServicer_to_server(_Service(collector), server)  # type: ignore[no-untyped-call]  # generated
    collector.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
        pool.shutdown()


@contextmanager
def by_http() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces"
            collector.take(
                wire.ExportTraceServiceRequest.FromString(body), {k.lower(): v for k, v in self.headers.items()}
            )
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Be still."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
