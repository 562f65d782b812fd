"""What the Journal keeps of one job: what is told of all its attempts together."""

from actors.journaling.entry import Entry
from cluster.ids import EngineId, JobId, NodeId
from cluster.messages.money import Usage
from cluster.messages.placements import Heard, Placed
from cluster.messages.work import Delta, Finished

A = JobId("job_1")


def ran(attempt: int) -> Placed:
    return Placed(A, NodeId("node_1"), EngineId(f"m/{attempt}"), attempt, 1)


def test_what_the_first_engine_had_in_its_cache_is_the_jobs_however_often_it_moves() -> None:
    entry = Entry(A)
    entry.begin(first := Delta(A, 1, 0, "ab", 0, (1,), 3, ends=(2,), epoch=1, cached_tokens=2), ran(1))
    entry.take(first, 2)
    entry.begin(second := Delta(A, 2, 2, "c", 1, (2,), 3, ends=(3,), epoch=1), ran(2))
    entry.take(second, 7)
    assert entry.cached_tokens is None  # of the attempt that goes on nobody can tell
    assert entry.counted(Finished(Usage(3, 2), "stop")) == Finished(Usage(3, 2, cached_tokens=2), "stop")


def test_of_a_job_whose_beginning_nobody_has_heard_it_is_not_known() -> None:
    entry = Entry(A)
    entry.begin(later := Delta(A, 2, 0, "abc", 0, (1, 2), 3, ends=(2, 3), epoch=1), ran(2))
    entry.take(later, 2)
    assert entry.counted(Finished(Usage(3, 2), "stop")).usage.cached_tokens is None


def test_when_tokens_of_each_attempt_were_heard_is_kept() -> None:
    entry = Entry(A)
    assert entry.heard == ()
    entry.begin(begun := Delta(A, 1, 0, "", epoch=1), ran(1))
    entry.take(begun, 5)
    assert entry.heard == ()
    for attempt, moments in ((1, (100, 180)), (2, (500,)), (4, (1_510, 1_600))):
        for first, heard_ms in enumerate(moments):
            delta = Delta(A, attempt, 0, "ab", 0, (1,), 3, ends=(2,), epoch=1)
            if not first:
                entry.begin(delta, ran(attempt))
            entry.take(delta, heard_ms)
    assert entry.heard == (Heard(1, 100, 180), Heard(2, 500, 500), Heard(4, 1_510, 1_600))
