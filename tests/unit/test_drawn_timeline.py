"""A job's timeline as a page draws it."""

from hypothesis import given
from hypothesis import strategies as st

from api.dashboard.jobs.timeline import WIDTH, Span, drawn
from cluster.ids import EngineId, NodeId
from cluster.messages.explanations import Moment, MomentEvent

CREATED_MS = 1_700_000_000_000


def moments(*events: tuple[MomentEvent, int]) -> list[Moment]:
    return [
        Moment(
            event, CREATED_MS + after_ms, 1, NodeId("n"), EngineId("m/1"), "engine died" if event == "moved" else None
        )
        for event, after_ms in events
    ]


def told(spans: list[Span]) -> list[tuple[str, int, int, str | None]]:
    return [
        (span.phase, span.start_ms, span.length_ms, None if span.then is None else span.then.event) for span in spans
    ]


MOVED = moments(
    ("queued", 0),
    ("placed", 100),
    ("first_token", 150),
    ("moved", 400),
    ("placed", 500),
    ("first_token", 600),
    ("ended", 1000),
)


def test_every_phase_of_a_job_that_moved() -> None:
    timeline = drawn(MOVED, CREATED_MS + 99_999)
    assert timeline.total_ms == 1000
    assert told(list(timeline.spans)) == [
        ("queued", 0, 100, "placed"),
        ("prefill", 100, 50, "first_token"),
        ("decode", 150, 250, "moved"),
        ("moving", 400, 100, "placed"),
        ("prefill", 500, 100, "first_token"),
        ("decode", 600, 400, "ended"),
    ]
    assert [span.engine_id for span in timeline.spans] == ["", "m/1", "m/1", "", "m/1", "m/1"]
    assert [(span.x, span.width) for span in timeline.spans][2] == (150, 250)


def test_what_goes_on_is_drawn_until_now() -> None:
    timeline = drawn(moments(("queued", 0), ("placed", 100)), CREATED_MS + 400)
    assert (timeline.total_ms, told(list(timeline.spans))[-1]) == (400, ("prefill", 100, 300, None))


def test_a_job_that_ended_where_it_waited() -> None:
    assert told(list(drawn(moments(("queued", 0), ("ended", 0)), CREATED_MS).spans)) == [("queued", 0, 0, "ended")]


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=7), st.integers(-(10**6), 10**10))
def test_nothing_is_drawn_outside(times_ms: list[int], now_ms: int) -> None:
    """Whatever the clocks say."""
    events = [moment.event for moment in MOVED]
    given_moments = moments(*zip(events, [0, *sorted(times_ms)], strict=False))
    for span in drawn(given_moments, CREATED_MS + now_ms).spans:
        assert span.length_ms >= 0
        assert 0 <= span.x < WIDTH
        assert span.width >= 1
