"""A job's time from its submission to its end, in spans, drawn to scale. Pure."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from cluster.messages.explanations import Moment, MomentEvent

WIDTH = 1000
"""Of the drawing, in units of its own: it is as wide as there is room for."""

_LEAST_WIDTH = 4

Phase = Literal["queued", "prefill", "decode", "moving"]

_PHASES: dict[MomentEvent, Phase] = {
    "queued": "queued",
    "placed": "prefill",
    "first_token": "decode",
    "moved": "moving",
}
"""What begins with each event. After the end nothing does."""


class Span(NamedTuple):
    """What was going on from `start_ms` after the submission on, and at which engine.

    `then` is what ended it, None where it goes on; `x` and `width` are where it is drawn.
    """

    phase: Phase
    start_ms: int
    length_ms: int
    engine_id: str
    node_id: str
    then: Moment | None
    x: int
    width: int


class Timeline(NamedTuple):
    """All spans, in their order. They end with the job, or now."""

    spans: Sequence[Span]
    total_ms: int


def drawn(moments: Sequence[Moment], now_ms: int) -> Timeline:
    """What became of a job, whose first moment is that it was queued."""
    created_ms = moments[0].at_ms
    total_ms = max(0, (moments[-1].at_ms if moments[-1].event == "ended" else now_ms) - created_ms)
    return Timeline(list(_spans(moments, created_ms, total_ms)), total_ms)


def _spans(moments: Sequence[Moment], created_ms: int, total_ms: int) -> Iterator[Span]:
    scale = WIDTH / max(1, total_ms)
    for moment, then in pairwise((*moments, None)):
        if moment is None or (phase := _PHASES.get(moment.event)) is None:
            continue
        start_ms = moment.at_ms - created_ms
        length_ms = max(0, total_ms - start_ms if then is None else then.at_ms - moment.at_ms)
        # What is too short to be seen is drawn wider than it is.
        x = min(round(start_ms * scale), WIDTH - _LEAST_WIDTH)
        width = max(_LEAST_WIDTH, round(length_ms * scale))
        at = ("", "") if phase in ("queued", "moving") else (moment.engine_id or "", moment.node_id or "")
        yield Span(phase, start_ms, length_ms, *at, then, x, width)
