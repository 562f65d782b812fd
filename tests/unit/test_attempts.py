"""How often an address may try to sign in, and what is an address."""

import pytest
from starlette.requests import Request

from api.dashboard.whereabouts import address_of
from cluster.limits.attempts import MOST_FAILURES, WINDOW_S, Attempts
from tests.support.clocks import StillClock


def test_failures_are_forgotten_after_a_minute() -> None:
    clock = StillClock()
    attempts = Attempts(clock)
    for _ in range(MOST_FAILURES):
        assert attempts.begin("here") == 0
        clock.advance(1)
    assert attempts.begin("here") == WINDOW_S - MOST_FAILURES
    assert attempts.begin("there") == 0
    clock.advance(WINDOW_S - MOST_FAILURES)
    assert attempts.begin("here") == 0
    assert attempts.begin("here") == 1


def test_attempts_that_did_not_fail_do_not_count() -> None:
    attempts = Attempts(StillClock())
    for _ in range(10 * MOST_FAILURES):
        assert attempts.begin("here") == 0
        attempts.take_back("here")
    attempts.take_back("here")
    attempts.take_back("nowhere")
    assert attempts.begin("here") == 0


def test_many_attempts_at_once_are_no_more_than_one_by_one() -> None:
    attempts = Attempts(StillClock())
    begun = [attempts.begin("here") for _ in range(1000)]
    assert begun.count(0) == MOST_FAILURES


def test_a_crowd_of_addresses_is_not_remembered_for_ever() -> None:
    attempts = Attempts(StillClock())
    for _ in range(MOST_FAILURES):
        attempts.begin("first")
    for number in range(20_000):
        attempts.begin(str(number))
    assert attempts.begin("first") == 0


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("x" * 5000, "192.0.2.1"),
        ("", "192.0.2.1"),
    ],
)
def test_who_has_many_addresses_of_one_household_has_one(told: str, address: str) -> None:
    headers = [(b"x-forwarded-for", told.encode())]
    assert address_of(Request({"type": "http", "headers": headers, "client": ("192.0.2.1", 1)})) == address
