"""How long jobs have: the time in which their model was being started does not count, up to what a start may take."""

from msgspec.structs import replace

from cluster.catalogue import Catalogue, Model
from cluster.fleet.fleet import Fleet
from cluster.leases.places import Places, Unconfirmed
from cluster.leases.time_limits import TimeLimits
from cluster.messages.work import Job
from cluster.queue import Waiting
from tests.support.jobs import a_job

M = Model(id="m", source="s", load_timeout_s=100)
A = a_job("a", created_ms=1_000, deadline_ms=11_000)


def limits(*jobs: Job) -> TimeLimits:
    places = Places(Fleet(Catalogue((M,)), (), 0.0))
    for job in jobs:
        places.put(job.id, Unconfirmed(Waiting(job)))
    subject = TimeLimits(places)
    subject.keep(jobs)
    return subject


def test_a_job_ends_at_its_deadline_where_its_model_was_there() -> None:
    subject = limits(A)
    assert list(subject.passed([], 10_999)) == []
    assert list(subject.passed([], 11_000)) == [A.id]


def test_the_time_of_a_start_does_not_count() -> None:
    subject = limits(A)
    assert list(subject.passed([M], 500)) == []
    assert list(subject.passed([M], 9_000)) == []
    assert list(subject.passed([], 11_000)) == []  # ten seconds of its time were no use to it: until 21,000
    assert list(subject.passed([], 20_999)) == []
    assert list(subject.passed([], 21_000)) == [A.id]


def test_the_times_of_several_starts_add_up_and_none_counts_from_before_the_job() -> None:
    subject = limits(A)
    subject_looks = [([M], 100), ([], 900), ([M], 2_000), ([], 4_000), ([M], 6_000), ([], 7_000)]
    for starting, now_ms in subject_looks:
        assert list(subject.passed(starting, now_ms)) == []
    assert list(subject.passed([], 13_999)) == []
    assert list(subject.passed([], 14_000)) == [A.id]


def test_a_start_of_another_model_gives_no_time() -> None:
    subject = limits(A)
    other = replace(M, id="other")
    assert list(subject.passed([other], 1_000)) == []
    assert list(subject.passed([other], 11_000)) == [A.id]


def test_no_more_time_is_given_than_a_start_may_take() -> None:
    subject = limits(A)
    assert list(subject.passed([M], 1_000)) == []
    for now_s in range(2, 111):
        assert list(subject.passed([M], now_s * 1_000)) == []
    assert list(subject.passed([M], 111_000)) == [A.id]


def test_a_job_that_has_ended_is_not_told() -> None:
    subject = limits()
    subject.keep([A])
    assert list(subject.passed([], 1_000_000)) == []
