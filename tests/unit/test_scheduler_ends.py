"""The Scheduler and the ends that it makes: deadlines, and jobs that are cancelled."""

import asyncio

import pytest
from msgspec.structs import replace

from actors.wire.calls import Gone
from cluster.ids import JobId
from cluster.leases.places import Ending
from cluster.messages.work import Released
from tests.support.plain_system import run, settled
from tests.support.scheduler_stage import E0, N0, NOW_MS, Stage, job


def test_a_deadline_comes_in_the_queue_and_on_an_engine() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("running"), job("waiting"), job("later", deadline_ms=NOW_MS + 900_000))
            stage.clock.advance_wall(299.0)
            await stage.tick()
            assert stage.failures == []
            stage.clock.advance_wall(2.0)
            await stage.tick()
            assert sorted(stage.failures) == [("running", "timeout"), ("waiting", "timeout")]
            assert stage.e0.aborted == [("running", 1)]
            assert stage.e0.jobs == ["running", "later"]
            stage.clock.advance_wall(1.0)
            await stage.tick()
            assert len(stage.failures) == 2

    run(scenario())


def test_the_deadline_of_a_job_that_has_ended_is_nothing() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            await stage.released(Released(JobId("a"), 1))
            stage.clock.advance_wall(400.0)
            await stage.tick()
            assert (stage.failures, stage.e0.aborted) == ([], [])

    run(scenario())


def test_an_end_that_the_journal_could_not_be_told_of_is_told_again() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("a"), job("b", deadline_ms=NOW_MS + 900_000))
            stage.journal.failures_to_fail = 2
            stage.clock.advance_wall(301.0)
            await stage.tick()
            assert (stage.failures, stage.jobs_at(Ending)) == ([], ["a"])
            assert stage.e0.jobs == ["a", "b"]
            await stage.heartbeat(N0, E0, slots=1, running=[("a", 1), ("b", 1)])
            assert (stage.e0.aborted, stage.e0.forgotten) == ([("a", 1)] * 2, [])  # its output may still be asked for
            await stage.tick()
            assert stage.failures == []
            await stage.tick()
            assert (stage.failures, stage.jobs_at(Ending)) == ([("a", "timeout")], [])
            assert stage.e0.forgotten == [("a", 1)]
            await stage.tick()
            assert len(stage.failures) == 1

    run(scenario())


@pytest.mark.parametrize("waits_for", ["the Journal", "its client"])
def test_a_job_is_cancelled_though_the_journal_could_not_be_told(waits_for: str) -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            if waits_for == "the Journal":
                stage.journal.failures_to_fail = 1
                with pytest.raises(Gone):
                    await stage.scheduler.cancel(JobId("a"))
            else:
                stage.journal.fail = never  # type: ignore[method-assign]
                cancelling = asyncio.create_task(stage.scheduler.cancel(JobId("a")))
                await settled()
                cancelling.cancel()  # the caller's process died
                await settled()
                del stage.journal.fail
            assert stage.jobs_at(Ending) == ["a"]
            await stage.tick()
            assert (stage.failures, stage.jobs_at(object)) == ([("a", "cancelled")], [])

    run(scenario())


async def never(_: object) -> None:
    await asyncio.Event().wait()


def test_who_cancels_a_job_that_ends_already_waits_for_that() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            stage.journal.failures_to_fail = 1
            stage.clock.advance_wall(301.0)
            await stage.tick()
            await stage.scheduler.cancel(JobId("a"))
            assert stage.failures == [("a", "timeout")]

    run(scenario())


@pytest.mark.parametrize("skew_ms", [-300_000, 300_000])
def test_a_job_has_the_time_it_was_given_whatever_the_clock_of_its_ingress_says(skew_ms: int) -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            skewed = replace(job("a"), created_ms=NOW_MS + skew_ms, deadline_ms=NOW_MS + skew_ms + 300_000)
            await stage.submit(skewed)
            stage.clock.advance_wall(299.0)
            await stage.tick()
            assert stage.failures == []
            stage.clock.advance_wall(2.0)
            await stage.tick()
            assert stage.failures == [("a", "timeout")]
            assert stage.ledger.jobs["a"].created_ms == NOW_MS

    run(scenario())


def test_a_job_that_is_cancelled_while_it_is_made_durable_is_not_run() -> None:
    """Another request with the same idempotency key may know of it before its own submission is answered."""

    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.ledger.committing.clear()
            submitting = asyncio.create_task(stage.submit(job("a")))
            await settled()
            await stage.scheduler.cancel(JobId("a"))
            stage.ledger.committing.set()
            assert await submitting == [None]
            assert stage.failures == [("a", "cancelled")]
            assert stage.e0.aborted == [("a", 1)]
            assert (stage.e0.jobs, stage.jobs_at(object)) == (["a"], [])

    run(scenario())
