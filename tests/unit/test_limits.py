"""Fixed windows on the clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.ids import KeyId
from cluster.limits import windows as limits
from cluster.limits.windows import Decision, Window
from cluster.messages.people import KeyLimits, WindowMark

# The start of an hour of the clock.
HOUR_MS = 500_000 * 3_600_000
MINUTE_MS = 60_000
HOUR_END_S = HOUR_MS // 1000 + 3600
KEY_LIMITS = KeyLimits(submissions_per_minute=3, submissions_per_hour=5, reads_per_minute=2)


def decisions(
    bucket: limits.Bucket, times_ms: list[int], key_limits: KeyLimits = KEY_LIMITS, amount: int = 1
) -> list[Decision]:
    windows, taken = limits.unused(bucket), []
    for now_ms in times_ms:
        decision, windows = limits.take(windows, limits.ceilings(bucket, key_limits), amount, now_ms)
        taken.append(decision)
    return taken


def used(bucket: limits.Bucket, counts: tuple[int, ...]) -> limits.Windows:
    """The windows of the hour's first moment, with this much used of them."""
    windows = (window.at(HOUR_MS) for window in limits.unused(bucket))
    return tuple(window.with_used(count) for window, count in zip(windows, counts, strict=True))


def test_a_minute_lets_through_what_it_may_and_no_more() -> None:
    taken = decisions("reads", [HOUR_MS + 1000] * 3)
    reset_s = HOUR_MS // 1000 + 60
    assert taken == [
        Decision(True, 2, 1, reset_s, 0),
        Decision(True, 2, 0, reset_s, 0),
        Decision(False, 2, 0, reset_s, 59),
    ]


def test_the_next_minute_begins_on_the_clock() -> None:
    border_ms = HOUR_MS + MINUTE_MS
    taken = decisions("reads", [border_ms - 1] * 3 + [border_ms] * 3)
    assert [decision.allowed for decision in taken] == [True, True, False] * 2


def test_the_window_with_the_least_left_is_reported() -> None:
    times_ms = [HOUR_MS] * 2 + [HOUR_MS + MINUTE_MS] * 3
    taken = decisions("submissions", times_ms)
    assert [(decision.limit, decision.remaining) for decision in taken] == [
        (3, 2),
        (3, 1),
        (5, 2),
        (5, 1),
        (5, 0),
    ]
    assert taken[1].reset_s == HOUR_MS // 1000 + 60
    assert taken[2].reset_s == HOUR_END_S


def test_a_full_hour_refuses_in_a_fresh_minute_until_it_is_over() -> None:
    times_ms = [HOUR_MS] * 3 + [HOUR_MS + MINUTE_MS] * 2 + [HOUR_MS + 2 * MINUTE_MS, HOUR_MS + 60 * MINUTE_MS]
    *_, refused, next_hour = decisions("submissions", times_ms)
    assert refused == Decision(False, 5, 0, HOUR_END_S, 58 * 60)
    assert next_hour.allowed


def test_when_both_are_full_the_client_waits_for_the_later() -> None:
    refused = decisions("submissions", [HOUR_MS] * 4, KeyLimits(3, 3))[-1]
    assert refused == Decision(False, 3, 0, HOUR_END_S, 3600)


def test_a_refused_request_uses_nothing_up() -> None:
    times_ms = [HOUR_MS] * 3 + [HOUR_MS + 1] * 100 + [HOUR_MS + MINUTE_MS] * 3
    assert [decision.allowed for decision in decisions("submissions", times_ms)[-3:]] == [True, True, False]


@pytest.mark.parametrize(("before_end_ms", "retry_after_s"), [(1, 1), (999, 1), (1000, 1), (1001, 2)])
def test_retry_after_is_whole_seconds_and_enough(before_end_ms: int, retry_after_s: int) -> None:
    now_ms = HOUR_MS + MINUTE_MS - before_end_ms
    assert decisions("reads", [now_ms] * 3)[-1].retry_after_s == retry_after_s


def test_a_limit_of_none_and_a_lowered_limit_leave_nothing() -> None:
    assert decisions("reads", [HOUR_MS], KeyLimits(reads_per_minute=0)) == [
        Decision(False, 0, 0, HOUR_MS // 1000 + 60, 60)
    ]
    decision, _ = limits.take(used("reads", (7,)), (2,), 1, HOUR_MS)
    assert (decision.allowed, decision.remaining) == (False, 0)


def test_windows_begin_at_their_marks() -> None:
    windows = limits.unused("submissions")
    for length_s, count in ((60, 1), (3600, 4), (86_400, 9)):
        windows = limits.begun_at(
            windows, WindowMark(KeyId("key_a"), "submissions", length_s, HOUR_MS // 1000 // length_s, count)
        )
    assert windows == used("submissions", (1, 4))
    first, windows = limits.take(windows, limits.ceilings("submissions", KEY_LIMITS), 1, HOUR_MS)
    second, _ = limits.take(windows, limits.ceilings("submissions", KEY_LIMITS), 1, HOUR_MS)
    assert (first.allowed, first.remaining, second.allowed) == (True, 0, False)


def test_an_amount_passes_whole_or_not_at_all() -> None:
    key_limits = KeyLimits(tokens_per_minute=100)
    first, refused = decisions("tokens", [HOUR_MS] * 2, key_limits, amount=60)
    reset_s = HOUR_MS // 1000 + 60
    assert first == Decision(True, 100, 40, reset_s, 0)
    assert refused == Decision(False, 100, 0, reset_s, 60)
    _, windows = limits.take(used("tokens", (60,)), (100,), 60, HOUR_MS)
    assert limits.take(windows, (100,), 40, HOUR_MS)[0].allowed


def test_an_amount_is_refused_by_the_window_it_waits_for_longest() -> None:
    refused, _ = limits.take(used("submissions", (0, 4)), (3, 5), 2, HOUR_MS)
    assert refused == Decision(False, 5, 0, HOUR_END_S, 3600)


def test_a_refusal_tells_its_window() -> None:
    error = limits.refusal(Decision(False, 100, 0, HOUR_END_S, 7), "tokens")
    assert (error.retry_after_s, error.limit, error.reset_s) == (7, 100, HOUR_END_S)
    assert error.message == "Rate limit of 100 tokens exceeded; retry in 7 s"


def test_a_clock_set_back_across_a_border_does_not_open_a_window_again() -> None:
    border_ms = HOUR_MS + MINUTE_MS
    taken = decisions("reads", [border_ms, border_ms, border_ms - 1])
    assert [decision.allowed for decision in taken] == [True, True, False]


def test_a_clock_set_right_by_a_day_does_not_lock_a_key_out() -> None:
    assert decisions("reads", [HOUR_MS + 86_400_000] * 3 + [HOUR_MS])[-1].allowed


def test_windows_are_over_when_the_last_one_is() -> None:
    windows = used("submissions", (1, 1))
    assert not limits.over(windows, HOUR_MS + 59 * MINUTE_MS)
    assert limits.over(windows, HOUR_MS + 60 * MINUTE_MS)
    assert Window(60, HOUR_MS // MINUTE_MS).at(HOUR_MS + MINUTE_MS).used == 0


@given(
    steps_ms=st.lists(st.sampled_from([0, 1, 700, 29_999, 30_000, 300_000, 1_234_567]), max_size=60),
    per_minute=st.integers(0, 4),
    per_hour=st.integers(0, 9),
)
def test_exactly_what_counting_by_hand_gives(steps_ms: list[int], per_minute: int, per_hour: int) -> None:
    times_ms = [HOUR_MS + sum(steps_ms[: index + 1]) for index in range(len(steps_ms))]
    passed_ms: list[int] = []
    for now_ms, decision in zip(
        times_ms, decisions("submissions", times_ms, KeyLimits(per_minute, per_hour)), strict=True
    ):
        minute_left = per_minute - sum(t // 60_000 == now_ms // 60_000 for t in passed_ms)
        hour_left = per_hour - sum(t // 3_600_000 == now_ms // 3_600_000 for t in passed_ms)
        assert decision.allowed == (minute_left > 0 and hour_left > 0)
        if decision.allowed:
            passed_ms.append(now_ms)
        assert decision.remaining == min(minute_left, hour_left) - decision.allowed
        assert decision.reset_s % 60 == 0
        assert decision.reset_s * 1000 > now_ms
        assert (decision.retry_after_s >= 1) == (not decision.allowed)


def passed_and_ahead(
    used_counts: tuple[int, int], ceilings: tuple[int, int], now_ms: int
) -> tuple[Decision, list[int]]:
    passed = Decision(True, ceilings[0], 5, HOUR_END_S, 0)
    decision, windows = limits.take_ahead(passed, used("submissions", used_counts), ceilings, now_ms)
    assert decision.remaining == passed.remaining
    return decision, [window.used for window in windows]


def test_a_thousandth_of_what_the_fullest_window_has_left_is_charged_ahead() -> None:
    decision, charged = passed_and_ahead((0, 7_001), (5_000, 10_000), HOUR_MS + 1_500)
    assert (decision.spare, decision.spare_ms, charged) == (2, 58_500, [2, 7_003])


def test_no_more_is_charged_ahead_than_a_replica_may_have() -> None:
    decision, charged = passed_and_ahead((0, 0), (10**6, 10**6), HOUR_MS)
    assert (decision.spare, charged) == (limits.MOST_SPARE, [limits.MOST_SPARE] * 2)


def test_near_a_ceiling_nothing_is_charged_ahead() -> None:
    assert passed_and_ahead((1, 0), (1_000, 10_000), HOUR_MS)[0].spare == 0
    decision, charged = passed_and_ahead((0, 0), (1_000, 10_000), HOUR_MS)
    assert (decision.spare, charged) == (1, [1, 1])


def test_what_is_charged_ahead_of_a_clock_set_back_is_never_due_in_the_past() -> None:
    assert passed_and_ahead((0, 0), (10**6, 10**6), HOUR_MS + MINUTE_MS + 1)[0].spare_ms == 0


@pytest.mark.parametrize("ceiling", [0, 1])
def test_windows_and_ceilings_belong_together(ceiling: int) -> None:
    with pytest.raises(ValueError, match="shorter"):
        limits.take(limits.unused("submissions"), (ceiling,), 1, HOUR_MS)
