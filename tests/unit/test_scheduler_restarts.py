"""The Scheduler after a restart, and what others know otherwise than it does."""

import asyncio

from msgspec.structs import replace

from cluster.ids import JobId, NodeId
from cluster.job_states import JobState
from cluster.leases.places import Leased, Recovering
from cluster.liveness.roles import SCHEDULER_ROLE
from cluster.messages.work import OpenJob, Released
from cluster.timing import Timing
from tests.support.plain_system import run, settled
from tests.support.scheduler_stage import E0, E1, N0, NOW_MS, ORDER_S, SETTLE_S, Stage, job


def test_an_engine_that_the_journal_could_not_be_told_of_is_read_all_the_same() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.failures_to_attach = 2
            await stage.heartbeat(N0, E0)
            await stage.tick()
            assert stage.journal.attached == []
            await stage.tick()
            await stage.tick()
            assert stage.journal.attached == [E0]
            # It may have stopped reading, and have told nobody.
            await stage.compare()
            assert stage.journal.attached == [E0, E0]

    run(scenario())


def test_a_confirmation_that_was_lost_is_given_again() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            stage.e0.confirmed.clear()
            await stage.heartbeat(N0, E0, running=[("a", 1)], unconfirmed=(("a", 1),))
            assert stage.e0.confirmed == []  # it may be on its way
            stage.clock.advance(ORDER_S + 1.0)
            await stage.heartbeat(N0, E0, running=[("a", 1)], unconfirmed=(("a", 1),))
            assert stage.e0.confirmed == [("a", 1)]

    run(scenario())


def test_what_the_ledger_has_open_and_nobody_knows_of_is_taken_up() -> None:
    """The commit was answered by an error, or the notice of the end went to a process that died."""

    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=8)
            await stage.compare()
            young = replace(job("young"), created_ms=NOW_MS + 300_000, deadline_ms=NOW_MS + 900_000)
            stage.ledger.open = [open_job("a", attempt=2), OpenJob(young, JobState.PENDING)]
            stage.clock.advance(Timing().stray_s)
            await stage.compare()
            assert [(d.job.id, d.attempt) for d in stage.e0.dispatches] == [("a", 3)]
            await stage.compare()  # the other one's clock is ahead
            assert stage.e0.jobs == ["a", "young"]
            stage.clock.advance_wall(300.0)
            await stage.tick()
            assert stage.failures == [("a", "timeout")]

    run(scenario())


def test_what_is_being_submitted_is_no_stray() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.ledger.committing.clear()
            submitting = asyncio.create_task(stage.submit(job("a")))
            await settled()
            stage.ledger.open = [open_job("a", attempt=1)]
            stage.clock.advance(60.0)
            await stage.compare()
            await stage.compare()
            stage.ledger.committing.set()
            assert await submitting == [None]
            assert stage.e0.jobs == ["a"]
            assert stage.journal.fenced == []

    run(scenario())


def test_what_has_ended_by_the_ledger_is_dropped_and_its_engine_told() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("ended"), job("next"))
            stage.ledger.open = [OpenJob(job("next"), JobState.PENDING)]
            await stage.compare()
            assert stage.e0.forgotten == [("ended", 1)]
            assert stage.e0.jobs == ["ended", "next"]
            assert stage.jobs_at(Leased) == ["next"]

    run(scenario())


def open_job(name: str, attempt: int = 1, node: NodeId | None = None) -> OpenJob:
    return OpenJob(job(name, node), JobState.PROCESSING if attempt else JobState.PENDING, attempt)


def test_after_a_restart_engines_keep_what_they_work_on() -> None:
    async def scenario() -> None:
        jobs = [open_job("mine"), open_job("stale", attempt=3), open_job("waiting", attempt=0)]
        async with Stage(open_jobs=jobs, existing=[E0]) as stage:
            assert await stage.submit(jobs[0].job) == [None]
            running = [("mine", 1), ("stale", 2), ("unknown", 1)]
            await stage.heartbeat(N0, E0, slots=8, running=running)
            assert stage.e0.forgotten == [("stale", 2), ("unknown", 1)]
            await stage.tick()
            assert stage.journal.fenced == [("stale", 3), ("waiting", 0)]
            assert [(d.job.id, d.attempt) for d in stage.e0.dispatches] == [("stale", 4), ("waiting", 1)]
            await stage.released(Released(JobId("mine"), 1))
            assert stage.jobs_at(Leased) == ["stale", "waiting"]

    run(scenario())


def test_a_job_that_ended_during_a_restart_holds_no_slot() -> None:
    """The Journal tells of its end before the node reports, which still takes it for running."""

    async def scenario() -> None:
        async with Stage(open_jobs=[open_job("a")], existing=[E0]) as stage:
            await stage.released(Released(JobId("a"), 1))
            await stage.heartbeat(N0, E0, slots=1, running=[(JobId("a"), 1)])
            assert stage.jobs_at(Leased) == []
            assert await stage.submit(job("b")) == [None]
            assert stage.e0.jobs == ["b"]

    run(scenario())


def test_after_a_restart_engines_are_waited_for_but_not_forever() -> None:
    async def scenario() -> None:
        async with Stage(open_jobs=[open_job("a")], existing=[E1]) as stage:
            await stage.heartbeat(N0)
            await stage.tick(SETTLE_S - 2)
            assert stage.journal.fenced == []
            assert await stage.submit(job("new")) == [None]
            await stage.heartbeat(N0)
            await stage.tick(3)
            assert stage.journal.fenced == [("a", 1)]
            assert stage.queued == ["a", "new"]

    run(scenario())


def test_a_deadline_comes_while_recovering() -> None:
    async def scenario() -> None:
        async with Stage(open_jobs=[open_job("a")], existing=[E0]) as stage:
            stage.clock.advance_wall(301.0)
            await stage.tick()
            assert stage.failures == [("a", "timeout")]
            assert stage.jobs_at(Recovering) == []

    run(scenario())


def test_a_new_scheduler_confirms_what_an_engine_has_gone_on_with() -> None:
    async def scenario() -> None:
        durable = OpenJob(job("a"), JobState.PENDING)
        async with Stage(open_jobs=[durable], existing=[E0]) as stage:
            await stage.heartbeat(N0, E0, running=[("a", 1), ("refused", 1)])
            assert (stage.e0.confirmed, stage.e0.forgotten) == ([("a", 1)], [("refused", 1)])

    run(scenario())


def test_a_scheduler_whose_place_another_has_taken_fails_nothing() -> None:
    """Nodes report to the other one: their silence is no death."""

    async def scenario() -> None:
        async with Stage(hold_s=0.001) as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"), job("b"), job("c"))
            await stage.scheduler.role.holding.taken()
            stage.ledger.roles.hold(SCHEDULER_ROLE, "another", begins=True)
            await stage.scheduler.role.holding.taken()
            for _ in range(20):
                stage.clock.advance(5.0)
                stage.scheduler.ticking.hasten()
                await settled()
            assert (stage.failures, stage.journal.fenced) == ([], [])

    run(scenario())
