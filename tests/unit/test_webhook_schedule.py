"""When a delivery is tried again: growing pauses over three days, the endpoint's wishes, and an end."""

import itertools
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cluster.ids import DeliveryId, WebhookId
from cluster.messages.webhooks import Attempted, Due, Problem
from cluster.webhooks.outcomes import LONGEST_PAUSE_MS, outcome, pause_ms, retry_after_ms
from cluster.webhooks.schedule import GIVE_UP_MS, HOUR_MS, PAUSES_MS, next_ms

NOW = 1_800_000_123_456
URL = "https://example.org/hook"
ID, HOOK = DeliveryId("msg_0"), WebhookId("hook_0")

CHANCES = st.floats(0, 1, allow_nan=False)


def due(attempts: int, begun_ms: int = NOW) -> Due:
    return Due(ID, HOOK, URL, ("whsec_c2VjcmV0",), "{}", attempts, begun_ms)


def test_an_endpoint_that_never_answers_is_tried_twelve_times_in_three_days() -> None:
    at_ms, attempts, pauses = NOW, 1, []
    while (then_ms := next_ms(attempts, NOW, at_ms)) is not None:
        pauses.append(then_ms - at_ms)
        at_ms, attempts = then_ms, attempts + 1
    assert attempts == 12
    assert at_ms == NOW + GIVE_UP_MS
    assert pauses[:-1] == list(PAUSES_MS)
    assert all(first < second for first, second in itertools.pairwise(pauses[:-1]))


class Life(RuleBasedStateMachine):
    """A delivery: attempts that take any time, an endpoint with any wishes, a Courier that is away for any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = NOW
        self.begun_ms = NOW
        self.attempts = 0
        self.next_ms: int | None = NOW
        self.last: Attempted | None = None
        self.pauses: list[int] = []

    @precondition(lambda self: self.next_ms is not None)
    @rule(
        late_ms=st.integers(0, 4 * 24 * HOUR_MS),
        took_ms=st.integers(0, 60_000),
        retry_after_s=st.integers(0, 10 * 24 * 3600),
        chance=CHANCES,
        status=st.sampled_from([None, 400, 404, 429, 500, 503]),
    )
    def fails(self, late_ms: int, took_ms: int, retry_after_s: int, chance: float, status: int | None) -> None:
        assert self.next_ms is not None
        self.now_ms = self.next_ms + late_ms + took_ms
        problem: Problem = "timeout" if status is None else "refused"
        told = outcome(due(self.attempts, self.begun_ms), status, problem, str(retry_after_s), self.now_ms, chance)
        self.attempts += 1
        assert (told.attempt, told.problem, told.status, told.gone_url) == (self.attempts, problem, status, "")
        self._has_its_pause(told, retry_after_s * 1000)
        self.next_ms, self.last = told.next_ms, told

    @precondition(lambda self: self.next_ms is not None)
    @rule(status=st.integers(200, 299))
    def succeeds(self, status: int) -> None:
        told = outcome(due(self.attempts, self.begun_ms), status, None, "", self.now_ms, 0.0)
        assert (told.next_ms, told.problem, told.gone_url) == (None, None, "")
        self.next_ms, self.last = None, told

    @precondition(lambda self: self.next_ms is not None)
    @rule()
    def is_gone(self) -> None:
        told = outcome(due(self.attempts, self.begun_ms), 410, "refused", "60", self.now_ms, 0.0)
        assert (told.next_ms, told.problem, told.gone_url) == (None, "refused", URL)
        self.next_ms, self.last = None, told

    @precondition(lambda self: self.next_ms is None)
    @rule(later_ms=st.integers(0, 10 * 24 * HOUR_MS))
    def is_redelivered(self, later_ms: int) -> None:
        self.now_ms = self.begun_ms = self.next_ms = self.now_ms + later_ms

    @invariant()
    def is_never_tried_after_its_time_and_always_at_its_end(self) -> None:
        if self.next_ms is not None:
            assert self.next_ms <= self.begun_ms + GIVE_UP_MS
        elif self.last is not None and self.last.problem is not None and not self.last.gone_url:
            assert self.last.at_ms >= self.begun_ms + GIVE_UP_MS

    def _has_its_pause(self, told: Attempted, retry_after_ms: int) -> None:
        if told.next_ms is None:
            return
        last_ms = self.begun_ms + GIVE_UP_MS
        least_ms = max(PAUSES_MS[min(self.attempts, len(PAUSES_MS)) - 1], retry_after_ms)
        assert told.next_ms >= min(self.now_ms + least_ms, last_ms)
        assert told.next_ms <= self.now_ms + max(int(least_ms * 1.1), retry_after_ms)


TestLife = Life.TestCase
TestLife.settings = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)


@given(st.lists(st.tuples(st.integers(0, 20_000), CHANCES), min_size=200, max_size=200))
@settings(deadline=None, max_examples=20)
def test_it_ends_whatever_happens(attempts: list[tuple[int, float]]) -> None:
    at_ms: int | None = NOW
    made = 0
    for took_ms, chance in attempts:
        made += 1
        at_ms = next_ms(made, NOW, at_ms + took_ms, 0, chance)
        if at_ms is None:
            break
    assert at_ms is None and made <= len(PAUSES_MS) + 3


def _date(after: timedelta) -> str:
    return format_datetime(datetime.fromtimestamp(NOW / 1000, UTC) + after, usegmt=True)


@pytest.mark.parametrize(
    ("header", "ms"),
    [
        ("120", 120_000),
        (" 0 ", 0),
        ("", 0),
        ("soon", 0),
        ("-5", 0),
        ("1.5", 0),
        ("٣", 0),
        (_date(timedelta(seconds=90)), 90_000),
        (_date(timedelta(seconds=-90)), 0),
        ("Wed, 99 Foo 2026 25:00:00 GMT", 0),
        ("9" * 5000, 999_999_999_999_000),
    ],
)
def test_what_a_header_asks_for(header: str, ms: int) -> None:
    assert abs(retry_after_ms(header, NOW) - ms) < 1000


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,4} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{1,9} [-+A-Z0-9]{0,9}"))
def test_whatever_a_header_says_it_is_read(header: str) -> None:
    assert retry_after_ms(header, NOW) >= 0


@pytest.mark.parametrize(
    ("status", "header", "ms"),
    [
        (429, "30", 30_000),
        (503, "30", 30_000),
        (500, "30", 0),
        (429, "", 0),
        (None, "30", 0),
        (503, "999999999", LONGEST_PAUSE_MS),
    ],
)
def test_an_endpoint_that_has_too_much_to_do_is_left_alone_for_a_while(
    status: int | None, header: str, ms: int
) -> None:
    assert pause_ms(status, header, NOW) == ms
