"""Spans on their way out, by OpenTelemetry's SDK: OTLP over HTTP, in a thread of its own, as many at once as there are.

What cannot be sent is tried again for a while, then dropped: nothing waits for it.
"""

import os
from ipaddress import ip_address
from urllib.parse import urlsplit

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from actors.telemetry.spans import Kind, Span
from cluster import traceparent
from cluster.release import VERSION
from cluster.traceparent import SpanPlace

_PATH = "/v1/traces"
_DELAY_MS = 500  # a process that is killed has told all that is older
_TIMEOUT_S = 5.0
_KINDS: dict[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
}


class Exporter:
    """Sends spans of this part to the collector at `endpoint`.

    Headers, certificates and the like are the exporter's own variables in the environment, OTEL_EXPORTER_OTLP_*.
    """

    def __init__(self, part: str, endpoint: str) -> None:
        self._places = _Places()
        resource = Resource.create(
            {
                "service.name": os.environ.get("OTEL_SERVICE_NAME", "infernet"),
                "service.version": VERSION.partition(",")[0],
                "service.instance.id": f"{part}[{os.getpid()}]",
                "infernet.part": part.partition("/")[0],
                "process.pid": os.getpid(),
            }
        )
        self._provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=self._places)
        url = endpoint if endpoint.endswith(_PATH) else endpoint + _PATH
        sending = OTLPSpanExporter(endpoint=url, timeout=_TIMEOUT_S, session=_session(url))
        self._provider.add_span_processor(BatchSpanProcessor(sending, schedule_delay_millis=_DELAY_MS))
        self._tracer = self._provider.get_tracer("infernet", VERSION)

    def export(self, span: Span, ended_ns: int) -> None:
        place = traceparent.read(span.place)
        assert place is not None
        self._places.next = place
        told = self._tracer.start_span(
            span.name,
            context=_inside(traceparent.read(span.parent)),
            kind=_KINDS[span.kind],
            attributes=span.attributes,
            start_time=span.began_ns,
        )
        if span.error:
            told.set_attribute("error.type", span.error)
            told.set_status(Status(StatusCode.ERROR))
        told.end(ended_ns)

    def close(self) -> None:
        self._provider.shutdown()


class _Places(IdGenerator):
    """Numbers of spans are chosen before there is a span."""

    def __init__(self) -> None:
        self.next = SpanPlace(1, 1)

    def generate_span_id(self) -> int:
        return self.next.span_id

    def generate_trace_id(self) -> int:
        return self.next.trace_id


def _inside(parent: SpanPlace | None) -> Context:
    if parent is None:
        return Context()
    there = SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(there), Context())


def _session(url: str) -> requests.Session:
    """A collector on this machine is not asked through a proxy."""
    session = requests.Session()
    session.trust_env = not _is_here(urlsplit(url).hostname or "")
    return session


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
