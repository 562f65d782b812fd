"""What the Journal keeps of one job: what is told of all its attempts together."""

from msgspec.structs import replace

from actors.journaling.entry import Entry
from cluster.ids import EngineId, JobId, NodeId
from cluster.messages.money import Usage
from cluster.messages.placements import Placed
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


def test_the_first_word_and_the_silences_after_each_move_are_kept() -> None:
    entry = Entry(A)
    assert (entry.first_ms, entry.gaps_ms) == (None, ())
    for attempt, begins_ms, ends_ms in ((1, 100, 180), (2, 500, 510), (4, 1_510, 1_600)):
        at = replace(ran(attempt), placed_ms=begins_ms)
        entry.begin(Delta(A, attempt, 0, "ab", 0, (1,), 3, ends=(2,), epoch=1), at)
        for heard_ms in (begins_ms, ends_ms):
            entry.take(Delta(A, attempt, 0, "ab", 0, (1,), 3, ends=(2,), epoch=1), heard_ms)
    assert (entry.first_ms, entry.gaps_ms) == (100, (320, 1_000))
