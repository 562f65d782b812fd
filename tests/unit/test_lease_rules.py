"""What follows from what happens to jobs, one rule at a time: the exact actions, and what they say.

That the rules hold together in any order is checked in `test_leases.py`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import pytest
from msgspec.structs import replace

from cluster.catalogue import Catalogue, Model, Replicas
from cluster.ids import AccountId, EngineId, JobId, KeyId, NodeId
from cluster.job_states import JobState
from cluster.leases.actions import Action, Ask, Attach, Confirm, Fail, Fence, Forget, Mark, Order, Record
from cluster.leases.leases import Leases
from cluster.leases.places import Begun, Leased, Places, Queued, Unconfirmed
from cluster.leases.suspicion import MOST_LOSSES
from cluster.messages.machines import EngineReport, FailedAttempt, Hardware, NodeReport
from cluster.messages.placements import Placed, Verdict
from cluster.messages.work import (
    Dispatch,
    Failure,
    Fenced,
    Job,
    JobAttempt,
    OpenJob,
    Output,
    Released,
    Sampling,
    Submission,
)
from cluster.queue import SUSPECT_AFTER, LaneId, Waiting
from cluster.timing import Timing
from tests.support.seats import SeatedFleet

N0, N1 = NodeId("node_0"), NodeId("node_1")
E0, E1 = EngineId("m/0"), EngineId("m/1")
TIMING = Timing()
NOW_S, NOW_MS, LATER_MS = 100.0, 1_700_000_000_000, 1_700_000_001_234
SOON_MS = NOW_MS + 60_000
CANCELLED = ("cancelled", "The job was cancelled")

T = TypeVar("T")


def job(name: str, node_id: NodeId | None = None, deadline_ms: int = SOON_MS) -> Job:
    sampling = Sampling(max_tokens=10)
    return Job(
        JobId(name), AccountId("acct"), KeyId("key"), "m", (), sampling, NOW_MS, deadline_ms, node_id, prompt_tokens=3
    )


def opened(name: str, attempt: int = 1, node_id: NodeId | None = None) -> OpenJob:
    return OpenJob(job(name, node_id), JobState.PROCESSING, attempt)


def of(actions: Iterable[Action], kind: type[T]) -> list[T]:
    return [action for action in actions if isinstance(action, kind)]


def lost_by(actions: Iterable[Action]) -> list[JobAttempt]:
    return [attempt for fence in of(actions, Fence) for attempt in fence.attempts]


class Stage:
    """The leases of one model `m`, whose engines, of so many slots each, are where a report says that they are."""

    def __init__(
        self, replicas: int = 1, open_jobs: Sequence[OpenJob] = (), slots: int = 1, existing: Sequence[EngineId] = ()
    ) -> None:
        model = Model(id="m", source="s", gpus=0, cpus=1.0, replicas=Replicas(replicas, replicas))
        self.fleet = SeatedFleet(Catalogue((model,)), existing, NOW_S)
        self.leases = Leases(self.fleet, TIMING, open_jobs)
        self.slots = slots

    def engine(self, engine_id: EngineId, node_id: NodeId = N0) -> EngineReport:
        return EngineReport(engine_id, "m", node_id, "ready", slots=self.slots)

    def report(self, *engines: EngineReport, node_id: NodeId = N0, now_s: float = NOW_S) -> list[Action]:
        report = NodeReport(node_id, Hardware(node_id, 8.0, 1 << 30), engines)
        return self.leases.reported(report, now_s, LATER_MS)

    def ready(self, *engine_ids: EngineId, node_id: NodeId = N0) -> "Stage":
        self.report(*(self.engine(engine_id, node_id) for engine_id in engine_ids), node_id=node_id)
        return self

    def accept(self, *jobs: Job) -> None:
        """These are submitted and durable at once."""
        submissions = [Submission(each) for each in jobs]
        self.leases.submitted(submissions, NOW_MS)
        self.leases.confirmed(jobs)
        self.leases.answered(submissions)
        self.leases.dispatched(NOW_MS)

    def engine_of(self, name: str) -> EngineId | None:
        place = self.leases.places.get(JobId(name))
        return place.engine_id if isinstance(place, Begun | Leased) else None

    def waits(self, name: str) -> bool:
        return isinstance(self.leases.places.get(JobId(name)), Queued)

    def tick(self, now_s: float = NOW_S, now_ms: int = NOW_MS) -> list[Action]:
        """What follows, but for what accounts have had: `test_shares_restart.py` looks at that."""
        return [action for action in self.leases.tick(now_s, now_ms) if not isinstance(action, Mark)]


# Nothing to do ------------------------------------------------------------------------------------------------------


def test_where_nothing_is_to_be_done_nobody_is_told_anything() -> None:
    stage = Stage()
    assert stage.tick() == []
    assert stage.leases.dispatched(NOW_MS) == []
    assert stage.leases.attached() == []
    assert stage.leases.cancelled(JobId("nobody's"), NOW_MS) == []


def test_the_journal_reads_what_is_ready() -> None:
    assert Stage().ready(E0).leases.attached() == [Attach([E0])]


# Submissions --------------------------------------------------------------------------------------------------------


def test_an_engine_begins_with_the_prompts_tokens_and_the_record_says_when_and_among_whom() -> None:
    leases = Stage().ready(E0).leases
    begun = leases.submitted([Submission(job("a"), prompt_ids=(5, 6, 7))], NOW_MS)
    assert begun.orders == [Order(E0, [Dispatch(job("a"), 1, confirmed=False, prompt_ids=(5, 6, 7))])]
    assert begun.placed == [Placed(JobId("a"), N0, E0, 1, NOW_MS, (Verdict(E0, N0, None, 0),))]


def test_a_job_that_is_known_already_holds_up_none_of_those_beside_it() -> None:
    leases = Stage(slots=2).ready(E0).leases
    leases.submitted([Submission(job("a"))], NOW_MS)
    again = leases.submitted([Submission(job("a")), Submission(job("b"))], NOW_MS)
    assert [placed.job_id for placed in again.placed] == ["b"]


def test_a_confirmation_of_what_is_nowhere_holds_up_none_of_those_beside_it() -> None:
    leases = Stage().ready(E0).leases
    leases.submitted([Submission(job("a"))], NOW_MS)
    assert leases.confirmed([job("gone"), job("a")]) == [Confirm(E0, [(JobId("a"), 1)])]


def test_nothing_begins_while_the_system_shuts_down() -> None:
    stage = Stage().ready(E0)
    stage.leases.quiescent = True
    assert stage.leases.submitted([Submission(job("a"))], NOW_MS).placed == []
    assert isinstance(stage.leases.places.get(JobId("a")), Unconfirmed)


def test_nothing_begins_before_what_waits_already() -> None:
    stage = Stage(slots=2)
    stage.leases.submitted([Submission(job("a"))], NOW_MS)
    stage.ready(E0)
    stage.leases.confirmed([job("a")])
    assert stage.leases.submitted([Submission(job("b"))], NOW_MS).placed == []
    (record,) = of(stage.leases.dispatched(NOW_MS), Record)
    assert [placed.job_id for placed in record.placed] == ["a"]


# Room ---------------------------------------------------------------------------------------------------------------

ROOM_MADE: dict[str, Callable[[Stage], list[Action]]] = {
    "a job is cancelled": lambda stage: stage.leases.cancelled(JobId("a"), LATER_MS),
    "a job has ended": lambda stage: stage.leases.released([Released(JobId("a"), 1)], NOW_S, LATER_MS),
    "a job has ended by the Ledger": lambda stage: stage.leases.ended([JobId("a")], LATER_MS),
    "a job's time is over": lambda stage: stage.tick(NOW_S, LATER_MS),
    "its node tells that the engine has more room": lambda stage: stage.report(replace(stage.engine(E0), slots=2)),
}


@pytest.mark.parametrize("what_happens", ROOM_MADE.values(), ids=ROOM_MADE)
def test_who_is_next_has_the_room_that_is_made_at_once(what_happens: Callable[[Stage], list[Action]]) -> None:
    stage = Stage().ready(E0)
    stage.accept(job("a", deadline_ms=NOW_MS + 1000), job("b"))
    assert (stage.engine_of("a"), stage.engine_of("b")) == (E0, None)
    actions = what_happens(stage)
    assert stage.engine_of("b") == E0
    assert of(actions, Order) == [Order(E0, [Dispatch(job("b"), 1)])]
    (record,) = of(actions, Record)
    assert [(placed.job_id, placed.attempt, placed.placed_ms) for placed in record.placed] == [("b", 1, LATER_MS)]


def test_a_job_goes_on_elsewhere_as_soon_as_it_is_fenced_and_the_record_says_when() -> None:
    stage = Stage(replicas=2).ready(E0, E1)
    stage.accept(job("a"))
    assert stage.leases.unreached(E0, [(JobId("a"), 1)], NOW_S, NOW_MS) == [Fence([(JobId("a"), 1)])]
    output = Output("some", (1,), (4,), epoch=1)
    actions = stage.leases.fenced([(JobId("a"), 1)], [Fenced(JobId("a"), 2, output, False)], LATER_MS)
    assert of(actions, Order) == [Order(E1, [Dispatch(job("a"), 2, output)])]
    (record,) = of(actions, Record)
    assert [(placed.engine_id, placed.attempt, placed.placed_ms) for placed in record.placed] == [(E1, 2, LATER_MS)]


def test_an_engine_that_is_reached_again_is_given_what_waits() -> None:
    stage = Stage().ready(E0)
    stage.leases.unreached(E0, [], NOW_S, NOW_MS)
    stage.accept(job("a"))
    assert stage.waits("a")
    (record,) = of(stage.leases.reached(E0, LATER_MS), Record)
    assert [(placed.job_id, placed.placed_ms) for placed in record.placed] == [("a", LATER_MS)]


@pytest.mark.parametrize(
    "what_happens",
    [
        lambda leases: leases.unreached(E0, [], NOW_S, LATER_MS),
        lambda leases: leases.refused(E0, [], NOW_S, LATER_MS),
    ],
    ids=["another cannot be reached", "another refuses"],
)
def test_whatever_happens_who_can_be_placed_is(what_happens: Callable[[Leases], list[Action]]) -> None:
    """The job is durable just now, and nothing has been done about it yet."""
    stage = Stage(replicas=2)
    stage.leases.submitted([Submission(job("a"))], NOW_MS)
    stage.ready(E0, E1)
    stage.leases.confirmed([job("a")])
    (record,) = of(what_happens(stage.leases), Record)
    assert [(placed.job_id, placed.placed_ms) for placed in record.placed] == [("a", LATER_MS)]


def test_a_heartbeat_is_noted_by_the_wall_clock() -> None:
    (view,) = Stage().ready(E0).fleet.node_views()
    assert view.last_heartbeat_ms == LATER_MS


# What is considered -------------------------------------------------------------------------------------------------


def test_the_record_of_a_pinned_job_says_that_the_others_are_not_its_node() -> None:
    stage = Stage(replicas=2, existing=[E0, E1]).ready(E0).ready(E1, node_id=N1)
    begun = stage.leases.submitted([Submission(job("a", N1))], NOW_MS)
    assert begun.placed[0].considered == (Verdict(E1, N1, None, 0), Verdict(E0, N0, "not the pinned node", 0))


def test_the_record_of_a_suspect_says_who_has_one_already() -> None:
    """Each of two jobs is there at the deaths of so many engines; then they are kept apart."""
    stage = Stage(replicas=2, slots=2).ready(E0, E1)
    stage.accept(job("a"), job("b"))
    placed: list[Placed] = []
    for round_number in range(SUSPECT_AFTER):
        dead = [EngineId(f"m/{2 * round_number}"), EngineId(f"m/{2 * round_number + 1}")]
        asked = [attempt for engine_id in dead for attempt in lost_by(stage.leases.engine_lost(engine_id, NOW_S))]
        fences = [Fenced(job_id, attempt + 1, Output(epoch=1), False) for job_id, attempt in asked]
        stage.leases.fenced(asked, fences, NOW_MS)
        fresh = [stage.engine(EngineId(f"m/{2 * round_number + number}")) for number in (2, 3)]
        (record,) = of(stage.report(*fresh), Record)
        placed = record.placed
    first, second = (engine.id for engine in fresh)
    assert [(each.job_id, each.engine_id) for each in placed] == [("a", first), ("b", second)]
    assert placed[0].considered == (Verdict(first, N0, None, 0), Verdict(second, N0, None, 0))
    assert placed[1].considered == (Verdict(second, N0, None, 0), Verdict(first, N0, "has a suspect", 13))


# Engines ------------------------------------------------------------------------------------------------------------


def test_an_engine_that_has_died_is_not_adopted_though_its_node_still_lists_it() -> None:
    stage = Stage().ready(E0)
    stage.accept(job("a"))
    stage.fleet.drain(N0, True, NOW_S)
    stage.leases.engine_lost(E0, NOW_S)
    stage.report(replace(stage.engine(E0), running=((JobId("a"), 1),)))
    assert stage.fleet.replica(E0) is None


def test_an_engine_that_cannot_be_reached_is_asked_and_keeps_its_jobs_for_a_while() -> None:
    stage = Stage().ready(E0)
    stage.accept(job("a"))
    stage.leases.unreached(E0, [], NOW_S, NOW_MS)
    stage.report(stage.engine(E0), now_s=NOW_S + TIMING.unreached_s)
    assert stage.tick(NOW_S + TIMING.unreached_s - 0.5) == [Ask(E0)]
    assert stage.tick(NOW_S + TIMING.unreached_s) == [Ask(E0), Fence([(JobId("a"), 1)])]


def test_a_job_that_an_engine_fails_is_taken_from_it_whatever_else_it_says_it_failed() -> None:
    stage = Stage().ready(E0)
    stage.accept(job("a"))
    failed = [FailedAttempt(JobId("nobody's"), 1, "no"), FailedAttempt(JobId("a"), 1, "no")]
    assert stage.leases.refused(E0, failed, NOW_S, NOW_MS) == [Fence([(JobId("a"), 1)])]


@pytest.mark.parametrize(("age_s", "told"), [(0.0, True), (0.5, False)])
def test_a_confirmation_is_given_again_where_the_engine_has_had_its_order_for_long_by_what_it_tells(
    age_s: float, told: bool
) -> None:
    stage = Stage().ready(E0)
    stage.accept(job("a"))
    running = ((JobId("a"), 1),)
    stage.leases.delivered(E0, running, NOW_S)
    engine = replace(stage.engine(E0), running=running, unconfirmed=running, age_s=age_s)
    assert stage.report(engine, now_s=NOW_S + TIMING.order_s) == []
    confirmed = stage.report(engine, now_s=NOW_S + TIMING.order_s + 0.5)
    assert confirmed == ([Confirm(E0, list(running))] if told else [])


# How jobs end -------------------------------------------------------------------------------------------------------


def failures(actions: Iterable[Action]) -> list[tuple[str, str, str]]:
    return [(f.job_id, f.error, f.error_message) for fail in of(actions, Fail) for f in fail.failures]


def test_a_client_is_told_why_its_job_ended_early() -> None:
    stage = Stage().ready(E0)
    stage.accept(job("a"), job("b", deadline_ms=NOW_MS))
    assert failures(stage.leases.cancelled(JobId("a"), NOW_MS)) == [("a", *CANCELLED)]
    assert failures(stage.tick(now_ms=NOW_MS + 250)) == [("b", "timeout", "The job did not end in time")]


def test_a_job_whose_node_is_gone_is_told_which() -> None:
    stage = Stage(replicas=2, existing=[E0, E1]).ready(E0).ready(E1, node_id=N1)
    stage.accept(job("a", N0), job("b", N0))
    stage.report(stage.engine(E1, N1), node_id=N1, now_s=NOW_S + TIMING.offline_after_s)
    ended = stage.tick(NOW_S + TIMING.offline_after_s)
    assert failures(ended) == [("b", "node_disconnected", "Node node_0 is gone")]
    assert of(ended, Fence) == [Fence([(JobId("a"), 1)])]
    fences = [Fenced(JobId("a"), 2, Output(epoch=1), False)]
    ended = stage.leases.fenced([(JobId("a"), 1)], fences, NOW_MS)
    assert failures(ended) == [("a", "node_disconnected", "Node node_0 is gone")]


def test_of_jobs_that_are_fenced_together_each_ends_that_cannot_go_on() -> None:
    stage = Stage(replicas=2, slots=2, existing=[E0, E1]).ready(E0).ready(E1, node_id=N1)
    stage.accept(job("a", N0), job("b", N0))
    stage.report(stage.engine(E1, N1), node_id=N1, now_s=NOW_S + TIMING.offline_after_s)
    asked = lost_by(stage.tick(NOW_S + TIMING.offline_after_s))
    fences = [Fenced(job_id, 2, Output(epoch=1), False) for job_id, _ in asked]
    assert {name for name, *_ in failures(stage.leases.fenced(asked, fences, NOW_MS))} == {"a", "b"}


def test_a_job_that_its_engines_died_of_is_told_so() -> None:
    stage = Stage().ready(E0)
    stage.accept(job("a"))
    actions: list[Action] = []
    for number in range(MOST_LOSSES):
        stage.leases.engine_lost(EngineId(f"m/{number}"), NOW_S)
        attempt = number + 1
        fences = [Fenced(JobId("a"), attempt + 1, Output(epoch=1), False)]
        actions = stage.leases.fenced([(JobId("a"), attempt)], fences, NOW_MS)
        stage.ready(EngineId(f"m/{number + 1}"))
    assert failures(actions) == [("a", "engine_error", "The engines that ran this job failed")]


def test_every_end_that_the_journal_could_not_be_told_of_is_told_again() -> None:
    stage = Stage()
    stage.accept(job("a"), job("b"))
    told = [failed for name in "ab" for failed in of(stage.leases.cancelled(JobId(name), NOW_MS), Fail)]
    for fail in told:
        stage.leases.not_failed(fail.failures)
    expected = [Failure(JobId(name), *CANCELLED, attempt=1) for name in "ab"]
    assert stage.tick() == [Fail(expected)]
    assert stage.tick() == []


def test_every_job_that_the_journal_did_not_answer_for_is_asked_for_again() -> None:
    stage = Stage(replicas=2).ready(E0, E1)
    stage.accept(job("a"), job("b"))
    for engine_id in (E0, E1):
        stage.leases.not_fenced(lost_by(stage.leases.engine_lost(engine_id, NOW_S)))
    assert of(stage.tick(), Fence) == [Fence([(JobId("a"), 1), (JobId("b"), 1)])]
    assert of(stage.tick(), Fence) == []


# Patience -----------------------------------------------------------------------------------------------------------


def test_a_pinned_job_waits_for_a_busy_engine_of_its_node_as_long_as_it_has_time() -> None:
    stage = Stage().ready(E0)
    stage.accept(job("a", N0), job("b", N0))
    for second in range(int(3 * TIMING.no_capacity_grace_s)):
        stage.report(replace(stage.engine(E0), running=((JobId("a"), 1),)), now_s=NOW_S + second)
        assert stage.tick(NOW_S + second) == []
    assert stage.waits("b")


def test_a_pinned_job_whose_node_will_have_no_engine_has_the_whole_grace() -> None:
    stage = Stage().ready(E0)
    stage.accept(job("a"), job("b", N0))
    stage.fleet.drain(N0, True, NOW_S)
    patience_ends_s = NOW_S + TIMING.no_capacity_grace_s
    assert stage.tick(NOW_S) == []
    stage.report(replace(stage.engine(E0), running=((JobId("a"), 1),)), now_s=patience_ends_s)
    assert failures(stage.tick(patience_ends_s)) == []
    ended = stage.tick(patience_ends_s + 0.5)
    assert failures(ended) == [("b", "no_capacity", "No nodes available with model m")]


def test_a_job_whose_model_fits_on_no_machine_is_told_which_model_that_is() -> None:
    stage = Stage()
    small = NodeReport(N0, Hardware(N0, 0.5, 1 << 30))
    stage.leases.reported(small, NOW_S, NOW_MS)
    stage.accept(job("a"))
    assert stage.tick(NOW_S + 1.0) == []
    later_s = NOW_S + TIMING.no_capacity_grace_s + 1.0
    stage.leases.reported(small, later_s, NOW_MS)
    assert failures(stage.tick(later_s)) == [("a", "no_capacity", "No nodes available with model m")]


# After a restart ----------------------------------------------------------------------------------------------------


def test_an_engine_keeps_the_attempt_that_it_has_gone_on_with() -> None:
    stage = Stage(open_jobs=[opened("a", attempt=2)], existing=[E0])
    running = ((JobId("a"), 3),)
    assert stage.report(replace(stage.engine(E0), running=running)) == [Attach([E0]), Confirm(E0, list(running))]
    place = stage.leases.places.get(JobId("a"))
    assert isinstance(place, Leased)
    assert (place.engine_id, place.waiting.attempt, place.delivered_s) == (E0, 3, NOW_S)


def test_an_engine_that_lists_what_it_had_gone_on_with_no_more_has_lost_it() -> None:
    stage = Stage(open_jobs=[opened("a")], existing=[E0])
    stage.report(replace(stage.engine(E0), running=((JobId("a"), 1),)))
    lost = stage.report(stage.engine(E0), now_s=NOW_S + TIMING.order_s + 0.5)
    assert lost == [Fence([(JobId("a"), 1)])]


@pytest.mark.parametrize(("attempt", "kept"), [(1, False), (2, True), (3, True)])
def test_an_engine_that_is_not_wanted_keeps_what_a_job_may_have_to_go_on_from(attempt: int, kept: bool) -> None:
    """It is one too many, but the last that anybody heard of the job may be in it."""
    stage = Stage(open_jobs=[opened("a", attempt=2)], existing=[E0, E1]).ready(E0)
    running = (JobId("a"), attempt)
    told = stage.report(stage.engine(E0), replace(stage.engine(E1), running=(running,)))
    assert told == ([] if kept else [Forget(E1, [running])])


def test_a_job_that_is_cancelled_before_its_engine_is_found_ends_with_its_last_attempt() -> None:
    stage = Stage(open_jobs=[opened("a", attempt=3)], existing=[E0])
    assert stage.leases.cancelled(JobId("a"), NOW_MS) == [Fail([Failure(JobId("a"), *CANCELLED, attempt=3)])]


def test_a_job_that_the_ledger_has_open_and_nobody_knows_of_is_a_stray_once_it_is_old_or_missed_twice() -> None:
    leases = Stage().leases
    old_ms = NOW_MS - round(TIMING.stray_s * 1000)
    attempts = [(JobId("old"), 0, old_ms), (JobId("young"), 0, old_ms + 1)]
    assert leases.strays(attempts, NOW_MS) == ["old"]
    assert leases.strays(attempts, NOW_MS) == ["old", "young"]


# Places -------------------------------------------------------------------------------------------------------------


def test_wherever_a_job_was_it_is_in_one_place() -> None:
    stage = Stage(slots=2).ready(E0)
    places, waiting = Places(stage.fleet), Waiting(job("a"))
    replica = stage.fleet.replica(E0)
    assert replica is not None
    places.enqueue(waiting)
    places.assign(Leased(waiting, E0))
    assert (len(places.queue), places.working, list(replica.tokens_of)) == (0, 1, ["a"])
    places.assign(Leased(waiting, E0))
    assert (places.working, replica.assigned_tokens) == (1, 13)
    places.enqueue(waiting)
    assert (len(places.queue), places.working, list(replica.tokens_of)) == (1, 0, [])
    assert places.queue.order(LaneId("m")) == ["a"]
