"""What is added up of ended jobs, and what it tells of the last minutes: pure."""

import random
from itertools import pairwise

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cluster.measures import buckets
from cluster.measures.activity import MINUTE_MS, ActiveMinute, Activity
from cluster.measures.histogram import Histogram
from cluster.measures.history import EndedMinutes, history
from cluster.measures.measures import EndedJob, Measures
from cluster.messages.money import Usage

BOUNDS = (0.1, 1.0, 10.0)
BEGAN_MS = 1_800_000_000_000


def histogram(*values: float, bounds: tuple[float, ...] = BOUNDS) -> Histogram:
    made = Histogram()
    for value in values:
        made.add(value, bounds)
    return made


def ended(**fields: object) -> EndedJob:
    given: dict[str, object] = {"usage": Usage(7, 11), "cost": 5, "created_ms": BEGAN_MS, "ended_ms": BEGAN_MS + 2_000}
    return EndedJob(**(given | fields))  # type: ignore[arg-type]


def test_a_bound_counts_what_is_not_above_it() -> None:
    made = histogram(0.1, 0.10001, 1.0, 9, 10.5)
    assert made.cumulative(BOUNDS) == [1, 3, 4]
    assert (made.count, made.sum) == (5, pytest.approx(20.70001))


@given(st.lists(st.floats(0, 100)), st.lists(st.floats(0, 100)))
def test_what_is_merged_is_as_if_it_had_been_counted_together(some: list[float], others: list[float]) -> None:
    merged = histogram(*some)
    merged.merge(histogram(*others))
    together = histogram(*some, *others)
    assert (merged.counts, merged.count) == (together.counts, together.count)
    assert merged.sum == pytest.approx(together.sum)
    back = msgspec.json.decode(msgspec.json.encode(merged), type=Histogram)
    assert back == merged


@given(st.lists(st.floats(0, 9.9), min_size=1, max_size=50), st.floats(0.01, 1.0))
@example([0.0, 0.0, 0.0], 1.0)
def test_a_quantile_is_in_the_bucket_of_the_value_that_has_this_rank(values: list[float], share: float) -> None:
    estimate = histogram(*values).quantile(share, BOUNDS)
    exact = sorted(values)[max(0, -(-int(share * len(values) * 1e9) // 10**9) - 1)]
    lower, upper = next((low, high) for low, high in pairwise((0.0, *BOUNDS)) if exact <= high)
    assert estimate is not None
    assert lower <= estimate <= upper


def test_a_quantile_of_nothing_is_nothing_and_above_all_bounds_the_last_one() -> None:
    assert histogram().quantile(0.5, BOUNDS) is None
    assert histogram(500, 600).quantile(0.5, BOUNDS) == 10.0
    assert histogram(0.5).quantile(0.5, BOUNDS) == pytest.approx(0.55)


def test_sums_from_before_other_bounds_are_read_under_the_next_ones() -> None:
    before = histogram(0.2, 3.0, 70.0, bounds=(0.25, 5.0))
    assert before.cumulative((0.1, 0.3, 10.0)) == [0, 1, 2]
    assert before.count == 3


def test_a_completed_job_is_measured_in_every_way() -> None:
    sums = Measures()
    usage = Usage(7, 11, cached_tokens=4, reasoning_tokens=2)
    sums.add(
        ended(
            usage=usage,
            placed_ms=BEGAN_MS + 100,
            first_text_ms=BEGAN_MS + 1_000,
            gaps_ms=(700, 20_000),
            causes=("new job", "engine died", "engine died"),
        )
    )
    assert (sums.completed, sums.failures) == (1, {})
    assert (sums.prompt_tokens, sums.completion_tokens, sums.cached_tokens, sums.reasoning_tokens) == (7, 11, 4, 2)
    assert sums.cost == 5
    assert sums.attempts == {"new job": 1, "engine died": 2}
    assert sums.queue_wait == histogram(0.1, bounds=buckets.WAIT_S)
    assert sums.first_text == histogram(1.0, bounds=buckets.FIRST_TOKEN_S)
    assert sums.per_token == histogram(0.1, bounds=buckets.PER_TOKEN_S)  # ten after the first one, in a second
    assert sums.gaps == histogram(0.7, 20.0, bounds=buckets.GAP_S)
    assert sums.durations == {"": histogram(2.0, bounds=buckets.DURATION_S)}
    assert sums.inputs == histogram(7, bounds=buckets.TOKENS)
    assert sums.outputs == histogram(11, bounds=buckets.TOKENS)


def test_what_is_not_known_of_a_job_is_not_counted() -> None:
    sums = Measures()
    sums.add(ended(error="timeout", usage=Usage(7, 0)))
    sums.add(ended(error="timeout", placed_ms=BEGAN_MS, first_text_ms=BEGAN_MS + 5))
    sums.add(ended(usage=Usage(7, 1), first_text_ms=BEGAN_MS))
    assert (sums.completed, sums.failures) == (1, {"timeout": 2})
    assert [sums.queue_wait.count, sums.first_text.count, sums.per_token.count] == [1, 1, 0]
    assert set(sums.durations) == {"", "timeout"}


def test_a_clock_that_was_set_back_takes_no_time_away() -> None:
    sums = Measures()
    sums.add(ended(placed_ms=BEGAN_MS - 5_000, first_text_ms=BEGAN_MS - 1, ended_ms=BEGAN_MS - 2, gaps_ms=(-7,)))
    of_time = (sums.durations[""], sums.queue_wait, sums.first_text, sums.per_token, sums.gaps)
    assert [each.sum for each in of_time] == [0] * 5


def test_measures_merge_and_are_read_back_as_they_were_written() -> None:
    drawn = random.Random(3)
    jobs = [
        ended(
            error=drawn.choice(["", "", "timeout", "cancelled"]),
            usage=Usage(drawn.randrange(99), drawn.randrange(99), drawn.randrange(9)),
            ended_ms=BEGAN_MS + drawn.randrange(100_000),
            placed_ms=drawn.choice([None, BEGAN_MS + 3]),
            first_text_ms=drawn.choice([None, BEGAN_MS + 30]),
            gaps_ms=(drawn.randrange(5000),) * drawn.randrange(2),
            causes=("new job", "node went silent")[: drawn.randrange(3)],
        )
        for _ in range(60)
    ]
    whole, parts = Measures(), [Measures() for _ in range(4)]
    for number, job in enumerate(jobs):
        whole.add(job)
        parts[number % 4].add(job)
    merged = Measures()
    for part in parts:
        merged.merge(msgspec.json.decode(msgspec.json.encode(part), type=Measures))
    assert _without_sums(merged) == _without_sums(whole)


def _without_sums(sums: Measures) -> object:
    """Floats are added up in another order."""
    return (
        msgspec.json.decode(
            msgspec.json.encode({name: getattr(sums, name) for name in sums.__struct_fields__}),
        )
        | {"durations": {error: each.counts for error, each in sums.durations.items()}}
        | {
            name: (each.counts, each.count, round(each.sum, 6))
            for name in sums.__struct_fields__
            if isinstance(each := getattr(sums, name), Histogram)
        }
    )


def test_a_minute_tells_the_most_that_waited_and_ran_and_how_fast_tokens_came() -> None:
    activity = Activity()
    activity.note(BEGAN_MS, 1, 2, 100)
    activity.note(BEGAN_MS + 10_000, 5, 1, 400)
    activity.note(BEGAN_MS + 20_000, 0, 3, 400)
    minute = BEGAN_MS // MINUTE_MS
    assert activity.since(minute) == [ActiveMinute(minute, 5, 3, 300, 20.0)]
    assert activity.since(minute)[0].tokens_per_second == 15.0
    assert ActiveMinute(minute, 0, 0, 0, 0.0).tokens_per_second is None


def test_minutes_in_which_nobody_looked_are_missing_and_the_oldest_are_forgotten() -> None:
    activity = Activity()
    first = BEGAN_MS // MINUTE_MS
    for minute in (0, 1, 5):
        activity.note(BEGAN_MS + minute * MINUTE_MS, minute, 0, minute)
    assert [each.minute - first for each in activity.since(first)] == [0, 1, 5]
    assert [each.minute - first for each in activity.since(first + 1)] == [1, 5]
    for minute in range(6, 2000):
        activity.note(BEGAN_MS + minute * MINUTE_MS, 0, 0, 0)
    assert len(activity.since(0)) == 1440
    # A counter that begins anew takes nothing away.
    assert all(each.tokens >= 0 for each in activity.since(0))


def test_history_tells_every_minute_and_a_gap_as_one() -> None:
    sums = Measures()
    sums.add(ended(first_text_ms=BEGAN_MS + 200))
    sums.add(ended(error="timeout"))
    now = BEGAN_MS // MINUTE_MS
    told = history(
        BEGAN_MS + 3_000, 3, EndedMinutes({now - 1: sums, now - 9: sums}, 77), [ActiveMinute(now, 4, 5, 6, 2.0)]
    )
    assert told.cost_today == 77
    first, second, third = told.minutes
    assert [each.start_ms for each in told.minutes] == [(now - ago) * MINUTE_MS for ago in (2, 1, 0)]
    assert (first.completed, first.failed, first.first_text_p50_s, first.queued, first.tokens_per_second) == (
        *(0, 0, None, None, None),
    )
    assert (second.completed, second.failed, second.completion_tokens, second.cost) == (1, 1, 22, 10)
    assert second.first_text_p50_s == pytest.approx(0.175)
    assert (third.queued, third.running, third.tokens_per_second, third.completed) == (4, 5, 3.0, 0)
    # Of all minutes together, but of none before them.
    assert told.first_text_p50_s == pytest.approx(0.175)
    assert told.first_text_p95_s == second.first_text_p95_s
    assert history(BEGAN_MS, 3, EndedMinutes({now - 9: sums}, 0), []).first_text_p50_s is None
