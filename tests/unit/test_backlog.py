"""What jobs that wait count for while replicas start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.fleet.backlog import GUESS_S, Backlog

CLEAR_S = 60.0


def experienced(job_s: float, jobs: int = 16) -> tuple[Backlog, float]:
    """A backlog that has seen so many jobs of so many seconds, one after the other, and the time it is then."""
    subject, now_s = Backlog(CLEAR_S), 0.0
    for ended in range(jobs):
        subject.note(0, 1, ended, now_s)
        now_s += job_s
    subject.note(0, 0, jobs, now_s)
    return subject, now_s


def test_a_job_is_taken_to_last_some_seconds_before_that_is_known() -> None:
    subject = Backlog(CLEAR_S)
    assert [subject.note(60, 3, 0, at_s) for at_s in (0.0, GUESS_S, 2 * GUESS_S, 300.0)] == [63, 63, 33, 23]


def test_what_a_job_takes_is_measured_from_enough_of_them() -> None:
    assert experienced(2.0, jobs=15)[0].job_s == GUESS_S
    assert experienced(2.0)[0].job_s == pytest.approx(2.0)
    # Of those that run now only a part is known: as many have to have ended.
    subject = Backlog(CLEAR_S)
    subject.note(0, 40, 0, 0.0)
    subject.note(0, 40, 39, 10.0)
    assert subject.job_s == GUESS_S
    subject.note(0, 40, 40, 10.0)
    assert subject.job_s == pytest.approx(10.0)


def test_a_job_takes_what_the_last_ones_took() -> None:
    subject, now_s = experienced(2.0)
    for ended in range(16, 16 * 6):
        subject.note(0, 1, ended, now_s)
        now_s += 8.0
    assert subject.job_s == pytest.approx(8.0, rel=0.1)


def test_short_jobs_that_have_piled_up_count_for_the_slots_that_clear_them_in_time() -> None:
    subject, now_s = experienced(2.0)
    assert subject.note(10, 0, 16, now_s) == 10  # nothing has piled up yet
    assert subject.note(100, 0, 16, now_s + 10) == pytest.approx(100 * 2 / 10)
    assert subject.note(900, 4, 16, now_s + 90) == pytest.approx(4 + 900 * 2 / CLEAR_S)
    assert subject.note(0, 4, 916, now_s + 100) == 4
    assert subject.note(10, 4, 916, now_s + 101) == 14  # a new backlog


def test_jobs_that_take_longer_than_they_have_waited_want_a_slot_each() -> None:
    subject, now_s = experienced(100.0)
    assert subject.note(10, 0, 16, now_s) == subject.note(10, 0, 16, now_s + 300) == 10


looks = st.lists(
    st.tuples(st.floats(0.1, 100), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50)), max_size=30
)


@given(looks)
def test_what_jobs_count_for_is_between_those_that_run_and_all(looks: list[tuple[float, int, int, int]]) -> None:
    subject, now_s, ended = Backlog(CLEAR_S), 0.0, 0
    for pause_s, waiting, running, more in looks:
        now_s, ended = now_s + pause_s, ended + more
        counts = subject.note(waiting, running, ended, now_s)
        assert running <= counts <= running + waiting
        assert counts == running if not waiting else True
