"""What became of a job, put together of what several processes know."""

from cluster.ids import AccountId, EngineId, JobId, KeyId, NodeId
from cluster.messages.explanations import Moment
from cluster.messages.money import Usage
from cluster.messages.placements import Heard, Placed
from cluster.messages.records import CompletedRecord, PendingRecord, ProcessingRecord
from cluster.timeline import timeline

A, ONE, OTHER = JobId("job_1"), NodeId("node_1"), NodeId("node_2")
ENGINES = (EngineId("m/1"), EngineId("m/2"))
COMMON = {"id": A, "account_id": AccountId("us"), "key_id": KeyId("k"), "model": "m", "created_ms": 1_000}
PENDING = PendingRecord(**COMMON)  # type: ignore[arg-type]
RUNNING = ProcessingRecord(**COMMON, node_id=OTHER)  # type: ignore[arg-type]
ENDED = CompletedRecord(
    **COMMON,  # type: ignore[arg-type]
    node_id=OTHER,
    content="",
    finish_reason="stop",
    usage=Usage(),
    ended_ms=2_000,
)
FIRST = Placed(A, ONE, ENGINES[0], 1, 1_010, first_ms=1_050, last_ms=1_300)
SECOND = Placed(A, OTHER, ENGINES[1], 3, 1_600, moved_by="engine died", first_ms=1_700, last_ms=1_990)
ON_FIRST, ON_SECOND = (1, ONE, ENGINES[0]), (3, OTHER, ENGINES[1])
QUEUED = Moment("queued", 1_000)


def test_a_job_that_moved() -> None:
    assert timeline(ENDED, [FIRST, SECOND]) == (
        QUEUED,
        Moment("placed", 1_010, *ON_FIRST),
        Moment("first_token", 1_050, *ON_FIRST),
        Moment("moved", 1_300, *ON_FIRST, "engine died"),
        Moment("placed", 1_600, *ON_SECOND),
        Moment("first_token", 1_700, *ON_SECOND),
        Moment("ended", 2_000),
    )


def test_a_job_that_runs_is_told_by_who_hears_it() -> None:
    first = Placed(A, ONE, ENGINES[0], 1, 1_010)
    second = Placed(A, OTHER, ENGINES[1], 3, 1_600, moved_by="engine died")
    heard = (Heard(1, 1_050, 1_300), Heard(3, 1_700, 1_750))
    assert timeline(RUNNING, [first, second], heard) == timeline(ENDED, [FIRST, SECOND])[:-1]


def test_of_what_nobody_heard_there_is_nothing() -> None:
    assert timeline(PENDING, []) == (QUEUED,)
    silent = Placed(A, ONE, ENGINES[0], 1, 1_010)
    moved = Moment("moved", 1_600, *ON_FIRST, "engine died")
    assert timeline(RUNNING, [silent, SECOND])[1:4] == (
        Moment("placed", 1_010, *ON_FIRST),
        moved,
        Moment("placed", 1_600, *ON_SECOND),
    )


def test_nothing_comes_before_what_led_to_it() -> None:
    early = Placed(A, ONE, ENGINES[0], 1, 990, first_ms=980, last_ms=985)
    assert [moment.at_ms for moment in timeline(ENDED, [early])] == [1_000, 1_000, 1_000, 2_000]
