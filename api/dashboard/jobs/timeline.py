"""A job's time from its submission to its end, in spans, drawn to scale. Pure."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from cluster.messages.placements import MovedBy, Placed

WIDTH = 1000
"""Of the drawing, in units of its own: it is as wide as there is room for."""

_LEAST_WIDTH = 4

Kind = Literal["queued", "prefill", "decode", "working", "lost"]
"""`working`: with an engine, of which it is not known when the first text came. `lost`: so until it moved."""


class Span(NamedTuple):
    """What was going on, from `start_ms` after the submission on. `moved_by` is why it ended, where the job moved."""

    kind: Kind
    start_ms: int
    length_ms: int
    engine_id: str = ""
    node_id: str = ""
    moved_by: MovedBy | None = None


class Bar(NamedTuple):
    """A span as it is drawn."""

    span: Span
    x: int
    width: int


class Timeline(NamedTuple):
    """All spans, in their order. They end with the job, or now."""

    bars: Sequence[Bar]
    total_ms: int


def timeline(created_ms: int, attempts: Sequence[Placed], first_text_ms: int | None, until_ms: int) -> Timeline:
    """`until_ms` is when the job ended, or now."""
    until_ms = max(until_ms, created_ms)
    spans = list(_spans(created_ms, attempts, first_text_ms, until_ms))
    return Timeline(_drawn(spans, until_ms - created_ms), until_ms - created_ms)


def _spans(created_ms: int, attempts: Sequence[Placed], first_text_ms: int | None, until_ms: int) -> Iterator[Span]:
    starts = [min(max(attempt.placed_ms, created_ms), until_ms) for attempt in attempts]
    yield Span("queued", 0, (starts[0] if starts else until_ms) - created_ms)
    for number, attempt in enumerate(attempts):
        is_last = number == len(attempts) - 1
        start, end = starts[number], until_ms if is_last else starts[number + 1]
        moved_by = None if is_last else attempts[number + 1].moved_by
        where = attempt.engine_id, attempt.node_id
        if first_text_ms is not None and start <= first_text_ms <= end:
            yield Span("prefill", start - created_ms, first_text_ms - start, *where)
            yield Span("decode", first_text_ms - created_ms, end - first_text_ms, *where, moved_by)
        elif first_text_ms is not None and first_text_ms < start:
            yield Span("decode", start - created_ms, end - start, *where, moved_by)
        else:
            yield Span("working" if is_last else "lost", start - created_ms, end - start, *where, moved_by)


def _drawn(spans: Sequence[Span], total_ms: int) -> Sequence[Bar]:
    """To scale, but for spans too short to be seen."""
    scale = WIDTH / max(1, total_ms)
    bars = []
    for span in spans:
        x = min(round(span.start_ms * scale), WIDTH - _LEAST_WIDTH)
        bars.append(Bar(span, x, max(_LEAST_WIDTH, round(span.length_ms * scale)) if span.length_ms else _LEAST_WIDTH))
    return bars
