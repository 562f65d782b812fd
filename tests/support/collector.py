"""An OpenTelemetry collector, played: an HTTP server that takes spans by OTLP and keeps them in its memory."""

import gzip
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


class Told(NamedTuple):
    """A span as it came in. `part` is the process that told it."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    began_ns: int
    ended_ns: int
    failed: bool
    attributes: dict[str, Any]
    part: str


class Collector:
    """What has come in so far, in any order. `raw` is all that came, for what must not be in it."""

    def __init__(self) -> None:
        self.url = ""
        self.raw = b""
        self.headers: dict[str, str] = {}
        self._spans: list[Told] = []
        self._changed = threading.Condition()

    def take(self, body: bytes) -> None:
        with self._changed:
            self.raw += body
            self._spans += _spans(ExportTraceServiceRequest.FromString(body))
            self._changed.notify_all()

    def of_trace(self, trace_id: str, count: int, within_s: float = 20.0) -> list[Told]:
        """The spans of this trace, once there are so many. Blocks."""

        def known() -> list[Told]:
            return [span for span in self._spans if span.trace_id == trace_id]

        with self._changed:
            assert self._changed.wait_for(lambda: len(known()) >= count, within_s), tree(known())
            return known()

    def spans(self, *names: str, within_s: float = 20.0) -> list[Told]:
        """All spans, once there is one of each of these names. Blocks."""
        with self._changed:
            came = self._changed.wait_for(lambda: set(names) <= {span.name for span in self._spans}, within_s)
            assert came, f"{sorted(set(names) - {span.name for span in self._spans})} did not come: {self._spans}"
            return list(self._spans)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a port of its own."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            collector.headers = {name.lower(): value for name, value in self.headers.items()}
            collector.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield collector
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def tree(spans: Sequence[Told]) -> list[str]:
    """The spans as a tree, a line each, indented below their parents, in the order in which they began."""
    known = {span.span_id for span in spans}

    def below(parents: Sequence[Told], depth: int) -> Iterator[str]:
        for span in sorted(parents, key=lambda span: (span.began_ns, -span.ended_ns)):
            yield "  " * depth + span.name + (" failed" if span.failed else "")
            yield from below([child for child in spans if child.parent_id == span.span_id], depth + 1)

    return list(below([span for span in spans if span.parent_id not in known], 0))


def _spans(request: ExportTraceServiceRequest) -> Iterator[Told]:
    for resource in request.resource_spans:
        of_process = _attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _told(span, of_process["infernet.part"])


def _told(span: Span, part: str) -> Told:
    return Told(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == Status.STATUS_CODE_ERROR,
        _attributes(span.attributes),
        part,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind or "string_value")
