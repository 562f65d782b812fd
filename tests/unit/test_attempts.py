"""How often an address may try to sign in."""

from api.dashboard.attempts import MOST_FAILURES, WINDOW_S, Attempts
from tests.support.clocks import StillClock


def test_failures_are_forgotten_after_a_minute() -> None:
    clock = StillClock()
    attempts = Attempts(clock)
    for _ in range(MOST_FAILURES):
        assert attempts.wait_s("here") == 0
        attempts.failed("here")
        clock.advance(1)
    assert attempts.wait_s("here") == WINDOW_S - MOST_FAILURES
    assert attempts.wait_s("there") == 0
    clock.advance(WINDOW_S - MOST_FAILURES)
    assert attempts.wait_s("here") == 0


def test_a_crowd_of_addresses_is_not_remembered_for_ever() -> None:
    attempts = Attempts(StillClock())
    for _ in range(MOST_FAILURES):
        attempts.failed("first")
    for number in range(20_000):
        attempts.failed(str(number))
    assert attempts.wait_s("first") == 0
