"""Whom the death of an engine is laid to, and what time a process that stood still has lived."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.ids import AccountId, JobId, KeyId
from cluster.leases.suspicion import MAX_ATTEMPTS, MOST_LOSSES, blamed, is_given_up
from cluster.liveness.attention import AttendedTime
from cluster.messages.work import Job, Sampling
from cluster.queue import SUSPECT_AFTER, Waiting

STEP_S, LATE_S = 0.5, 2.0


def waiting(name: str, losses: int = 0, failures: int = 0) -> Waiting:
    job = Job(JobId(name), AccountId("acct"), KeyId("key"), "m", (), Sampling(), 0, 0)
    return Waiting(job, losses=losses, failures=failures)


@pytest.mark.parametrize(
    ("losses", "blame"),
    [
        ([0, 0, 1], [0, 1, 2]),
        ([0, SUSPECT_AFTER, 1], [1]),
        ([MOST_LOSSES + 1], [0]),
        # Not by placement; if it should be, nobody can say which.
        ([SUSPECT_AFTER, 0, SUSPECT_AFTER], []),
        ([], []),
    ],
)
def test_a_death_is_laid_to_the_only_suspect_or_to_all_while_there_is_none(losses: list[int], blame: list[int]) -> None:
    aboard = [waiting(str(number), count) for number, count in enumerate(losses)]
    assert [int(each.job.id) for each in blamed(aboard)] == blame


def test_a_job_is_given_up_after_so_many_deaths_or_so_many_failures() -> None:
    assert not is_given_up(waiting("a", MOST_LOSSES - 1, MAX_ATTEMPTS - 1))
    assert is_given_up(waiting("a", losses=MOST_LOSSES))
    assert is_given_up(waiting("a", failures=MAX_ATTEMPTS))


@pytest.mark.parametrize(("step_s", "late_s"), [(STEP_S, LATE_S), (0.1, 0.2)])
def test_attended_time_is_that_of_the_clock_until_there_is_a_gap(step_s: float, late_s: float) -> None:
    attended = AttendedTime(step_s, late_s)
    assert attended.at(1000.0) == 1000.0
    assert attended.at(1000.25) == 1000.25


def test_a_step_that_is_just_as_late_as_it_may_be_is_no_gap() -> None:
    attended = AttendedTime(STEP_S, LATE_S)
    attended.at(1000.0)
    assert attended.at(1000.0 + STEP_S + LATE_S) == 1000.0 + STEP_S + LATE_S


@given(st.lists(st.floats(0.0, 60.0), max_size=50))
def test_attended_time_runs_with_the_clock_but_for_gaps(gaps_s: list[float]) -> None:
    attended, clock_s = AttendedTime(STEP_S, LATE_S), 1000.0
    last_s = attended.at(clock_s)
    for gap_s in gaps_s:
        clock_s += gap_s
        now_s = attended.at(clock_s)
        assert now_s - last_s == pytest.approx(gap_s if gap_s <= STEP_S + LATE_S else 0.0, abs=1e-6)
        last_s = now_s
