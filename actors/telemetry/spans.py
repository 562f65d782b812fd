"""Spans: what took how long on behalf of a request, in whichever process.

A span is told when it has ended. Its parent is a place in a trace: that of the request being served
(`origins.current`), or one that a job brought with it (`cluster.traceparent.of_job`). Nothing is told, and nothing of
OpenTelemetry imported, where the settings name nowhere to send it, and of what nobody traces.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from actors.telemetry import origins
from cluster import clock, traceparent
from cluster.messages.origin import Origin
from cluster.settings.sections.traces import Traces
from cluster.traceparent import SpanPlace

if TYPE_CHECKING:
    from actors.telemetry.exporting import Exporter

Kind = Literal["internal", "server", "client"]
SUBMIT, END = "submit", "end"
"""Labels of a job's spans that others are below."""

Attribute = str | bool | int | float | list[str]
Attributes = Mapping[str, Attribute]

_exporter: "Exporter | None" = None
_ratio = 1.0
_CHANCES = 1 << 64


class Span:
    """One that has begun. `error` says why it failed, in one word for all that fail so."""

    __slots__ = ("attributes", "began_ns", "error", "kind", "name", "parent", "place")

    def __init__(self, name: str, place: str, parent: str = "", kind: Kind = "internal") -> None:
        self.name = name
        self.place = place
        self.parent = parent
        self.kind: Kind = kind
        self.began_ns = clock.wall_ns()
        self.attributes: dict[str, Attribute] = {}
        self.error = ""

    def end(self, ended_ns: int | None = None) -> None:
        if _exporter is not None:
            _exporter.export(self, clock.wall_ns() if ended_ns is None else ended_ns)


def begin(part: str, traces: Traces) -> None:
    """From now on, this process tells its spans as this part, if they are to be sent anywhere. May be repeated."""
    global _exporter, _ratio
    end()
    if traces.endpoint:
        from actors.telemetry.exporting import Exporter

        _exporter, _ratio = Exporter(part, traces.endpoint), traces.ratio


def end() -> None:
    """Tell nothing more, once all that has ended is sent."""
    global _exporter
    exporter, _exporter = _exporter, None
    if exporter is not None:
        exporter.close()


def are_told() -> bool:
    return _exporter is not None


def new_place(parent: SpanPlace | None) -> SpanPlace:
    """A new place in the trace of `parent`, or in a new trace."""
    trace_id = int(secrets.token_hex(16), 16) or 1 if parent is None else parent.trace_id
    return SpanPlace(trace_id, int(secrets.token_hex(8), 16) or 1)


def by_chance(place: SpanPlace) -> bool:
    """Whether the trace that begins here is told: as many are as the settings say, the same ones everywhere."""
    return place.trace_id % _CHANCES < _ratio * _CHANCES


def tell(
    name: str, place: str, parent: str, began_ns: int, ended_ns: int, attributes: Attributes, error: str = ""
) -> None:
    """Tell of a span that has ended, at a place that is known. Nothing is told of one without a place."""
    if place and _exporter is not None:
        span = Span(name, place, parent)
        span.began_ns, span.error = began_ns, error
        span.attributes |= attributes
        span.end(ended_ns)


@contextmanager
def inside(name: str, kind: Kind = "internal") -> Iterator[Span | None]:
    """A part of what is under way here; None, and nothing happens, where that is nothing that is traced."""
    if parent := origins.current().trace:
        with under(parent, name, kind) as span:
            yield span
    else:
        yield None


@contextmanager
def of_job(label: str, job_id: str, origin: Origin) -> Iterator[None]:
    """A part of a job's way, of which there is one with this label, below its request."""
    if not origin.trace or _exporter is None:
        yield
        return
    with open_span(Span(label, traceparent.of_job(origin.trace, job_id, label), origin.trace)) as span:
        span.attributes["infernet.job.id"] = job_id
        yield


@contextmanager
def of_jobs(name: str, label: str, jobs: Iterable[tuple[str, Origin]]) -> Iterator[None]:
    """What is done at once for these jobs, below the span of each that has this label, where it is traced."""
    parents = [traceparent.of_job(origin.trace, job_id, label) for job_id, origin in jobs if origin.trace]
    if not parents or _exporter is None:
        yield
        return
    made = [Span(name, str(new_place(traceparent.read(parent))), parent) for parent in parents]
    try:
        yield
    except Exception as error:
        for span in made:
            span.error = type(error).__name__
        raise
    finally:
        for span in made:
            span.end()


@contextmanager
def under(parent: str, name: str, kind: Kind = "internal") -> Iterator[Span]:
    """What is done here for the span at this place. An exception that is raised is its error."""
    with open_span(Span(name, str(new_place(traceparent.read(parent))), parent, kind)) as span:
        yield span


@contextmanager
def open_span(span: Span) -> Iterator[Span]:
    """`span` is under way here, then told."""
    with origins.within(origins.current().request_id, span.place):
        try:
            yield span
        except Exception as error:
            span.error = span.error or type(error).__name__
            raise
        finally:
            span.end()
