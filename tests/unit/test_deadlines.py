"""Deadlines: everybody is told once, never too early and at most a quarter of a second late."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.leases.deadlines import Deadlines

LATEST_MS = 250


def test_a_deadline_that_has_not_passed_is_kept() -> None:
    subject = Deadlines()
    subject.keep("a", 1001)
    assert list(subject.passed(1000)) == []
    assert list(subject.passed(1001 + LATEST_MS)) == ["a"]
    assert list(subject.passed(1_000_000)) == []


def test_a_deadline_that_has_passed_already_is_told_at_the_next_look() -> None:
    subject = Deadlines()
    assert list(subject.passed(10_000)) == []
    subject.keep("late", 500)
    assert list(subject.passed(10_000)) == ["late"]


def test_those_of_the_same_quarter_of_a_second_are_told_together() -> None:
    subject = Deadlines()
    for name, deadline_ms in (("b", 1249), ("a", 1001), ("c", 1251)):
        subject.keep(name, deadline_ms)
    assert list(subject.passed(1249)) == []
    assert list(subject.passed(1250)) == ["b", "a"]


def test_who_is_due_first_is_told_first() -> None:
    subject = Deadlines()
    for name, deadline_ms in (("c", 9_000), ("a", 1_000), ("b", 5_000)):
        subject.keep(name, deadline_ms)
    assert list(subject.passed(9_000)) == ["a", "b", "c"]


@given(st.lists(st.integers(0, 5_000)), st.lists(st.integers(0, 6_000)).map(sorted))
def test_nobody_is_told_early_or_late_or_twice(deadlines_ms: list[int], looks_ms: list[int]) -> None:
    subject = Deadlines()
    for number, deadline_ms in enumerate(deadlines_ms):
        subject.keep(str(number), deadline_ms)
    told: list[int] = []
    for now_ms in [*looks_ms, 6_000]:
        passed = [int(job_id) for job_id in subject.passed(now_ms)]
        assert all(deadlines_ms[number] <= now_ms for number in passed)
        told += passed
        overdue = {number for number, due_ms in enumerate(deadlines_ms) if due_ms + LATEST_MS <= now_ms}
        assert overdue <= set(told)
    assert sorted(told) == list(range(len(deadlines_ms)))
