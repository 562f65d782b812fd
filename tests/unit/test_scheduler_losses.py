"""The Scheduler and engines that are lost, refuse or fail: the way back into the queue, and how often it is gone."""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from actors.wire.calls import Gone, Unreached
from cluster.catalogue import Replicas
from cluster.ids import EngineId, JobId
from cluster.leases.places import Leased, Lost, Queued
from cluster.leases.suspicion import MAX_ATTEMPTS, MOST_LOSSES
from cluster.messages.machines import EngineOrder, FailedAttempt
from cluster.messages.work import Fenced, JobAttempt, Output, Released
from tests.support.plain_system import run, settled
from tests.support.scheduler_stage import (
    AGE_MS,
    E0,
    E1,
    N0,
    N1,
    OFFLINE_AFTER_S,
    ORDER_S,
    SOME,
    UNREACHED_S,
    M,
    PlainEngine,
    Stage,
    job,
)


def test_what_a_lost_engine_worked_on_goes_on_first_from_what_it_has() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            assert [order.id for order in await stage.heartbeat(N0)] == [E0]
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"), job("b"), job("c"))
            stage.journal.outputs["a"] = SOME
            stage.clock.advance(AGE_MS / 1000)
            await stage.heartbeat(N0, E0)
            await stage.lost(E0)
            assert stage.journal.fenced == [("a", 1), ("b", 1)]
            # Its replacement, on the same machine.
            assert [order.id for order in await stage.heartbeat(N0)] == [E1]
            await stage.heartbeat(N0, E1, slots=3)
            assert [(d.job.id, d.attempt, d.resume) for d in stage.e1.dispatches] == [
                ("a", 2, SOME),
                ("b", 2, Output(epoch=AGE_MS)),  # what may have been told of it is lost
                ("c", 1, Output()),
            ]

    run(scenario())


def test_a_job_that_ended_with_its_engine_is_not_run_again() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            stage.journal.ended.add("a")
            await stage.lost(E0)
            await stage.heartbeat(N0)
            await stage.heartbeat(N0, E1)
            assert stage.e1.jobs == []
            assert stage.jobs_at(object) == []

    run(scenario())


def test_a_job_that_was_ending_when_its_engine_was_lost_is_kept_until_it_has_ended() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=4)
            for name in "abcd":
                await stage.submit(job(name))
            stage.journal.ending |= {"a", "b", "c"}
            await stage.lost(E0)
            assert stage.journal.fenced == [(name, 1) for name in "abcd"]
            assert stage.jobs_at(Lost) == ["a", "b", "c"]
            assert stage.queued == ["d"]

            await stage.released(Released(JobId("a"), 1))
            assert stage.jobs_at(Lost) == ["b", "c"]
            stage.journal.ended.add("b")
            stage.journal.ending.clear()  # of "c" nothing is known any more: the Journal died
            await stage.tick()
            assert stage.journal.fenced[4:] == [("b", 1), ("c", 1)]
            assert stage.jobs_at(Lost) == []
            assert stage.queued == ["c", "d"]

    run(scenario())


def test_a_dispatch_that_fails_is_made_elsewhere() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            assert [order.id for order in await stage.heartbeat(N0)] == [E0]
            await stage.heartbeat(N0, E0)
            stage.e0.failure = Gone("engine died")
            await stage.submit(job("a"))
            await stage.heartbeat(N0)
            await stage.heartbeat(N0, E1)
            assert [(d.job.id, d.attempt) for d in stage.e1.dispatches] == [("a", 2)]

    run(scenario())


def test_a_fence_that_fails_is_tried_again() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            stage.journal.failures_to_fence = 2
            await stage.lost(E0)
            await stage.tick()
            assert stage.jobs_at(Lost) == ["a"]
            await stage.tick()
            assert stage.jobs_at(Lost) == []
            assert stage.queued == ["a"]

    run(scenario())


async def engine_in_place(stage: Stage) -> tuple[EngineId, PlainEngine]:
    """The engine that is ordered now, ready. What was there before has ended."""
    if not stage.scheduler.fleet.orders(N0).engines:
        await stage.heartbeat(N0)
    (order,) = stage.scheduler.fleet.orders(N0).engines
    engine = stage.engines.setdefault(order.id, PlainEngine())
    await stage.heartbeat(N0, order.id, slots=8)
    return order.id, engine


def test_after_so_many_engines_a_job_fails_with_what_it_has() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0)
            await stage.submit(job("a"))
            stage.journal.outputs["a"] = SOME
            for _ in range(MOST_LOSSES):
                assert stage.failures == []
                engine_id, engine = await engine_in_place(stage)
                assert engine.jobs == ["a"]
                await stage.lost(engine_id)
            (failure,) = stage.journal.failed
            assert (failure.job_id, failure.error, failure.output) == ("a", "engine_error", SOME)
            assert stage.jobs_at(object) == []

    run(scenario())


def test_a_job_that_engines_die_of_takes_nobody_with_it() -> None:
    """Which of the five it is, nobody knows: after two engines each is suspected, and runs without the others."""

    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0)
            await stage.submit(*(job(name) for name in ["b", "c", "deadly"]))
            died = 0
            while len(stage.scheduler.leases.places):
                engine_id, engine = await engine_in_place(stage)
                if "deadly" in engine.jobs:
                    died += 1
                    await stage.submit(job(f"companion {died}"))
                    assert engine.jobs[-1] == f"companion {died}"
                    await stage.lost(engine_id)
                else:
                    done, engine.dispatches = engine.dispatches, []
                    await stage.released(*(Released(d.job.id, d.attempt) for d in done))
            assert stage.failures == [("deadly", "engine_error")]
            assert died == MOST_LOSSES

    run(scenario())


def test_only_the_death_of_an_engine_is_laid_to_its_jobs() -> None:
    """Orders that are lost, nodes that are silent, engines that cannot be reached: as often as you like."""

    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            for _ in range(MAX_ATTEMPTS + 1):
                stage.clock.advance(ORDER_S + 1.0)
                await stage.heartbeat(N0, E0)
            assert stage.e0.dispatches[-1].attempt == MAX_ATTEMPTS + 2
            for _ in range(MAX_ATTEMPTS + 1):
                await stage.tick(OFFLINE_AFTER_S + 1)
                assert stage.queued == ["a"]
                await stage.heartbeat(N0, E0)
            assert stage.failures == []
            assert stage.jobs_at(Leased) == ["a"]

    run(scenario())


def test_an_engine_that_cannot_be_reached_for_a_moment_keeps_its_other_jobs() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=8)
            await stage.submit(job("before"))
            stage.e0.failure = Unreached("a hiccup of the network")
            await stage.submit(job("a"))
            # It may have the order, or not.
            assert stage.journal.fenced == [("a", 1)] or stage.jobs_at(Queued) == ["a"]
            assert stage.jobs_at(Leased) == ["before"]
            await stage.submit(job("b"))
            assert stage.queued == ["a", "b"]  # nothing goes there
            stage.e0.failure = None
            await stage.tick(0.5)
            assert [(d.job.id, d.attempt) for d in stage.e0.dispatches] == [("before", 1), ("a", 2), ("b", 1)]
            assert await stage.heartbeat(N0, E0, slots=8) == [EngineOrder(E0, "m")]

    run(scenario())


def test_the_jobs_of_an_engine_that_cannot_be_reached_for_long_go_on_elsewhere_and_it_is_kept() -> None:
    async def scenario() -> None:
        async with Stage([replace(M, replicas=Replicas(2, 2))]) as stage:
            await stage.heartbeat(N0)
            await stage.heartbeat(N1)
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            stage.e0.failure = Unreached("its machine's link is down")
            await stage.scheduler.engine_unreached(E0)
            await settled()
            await stage.heartbeat(N1, E1)
            await stage.tick(UNREACHED_S - 0.1)
            assert stage.journal.fenced == []
            await stage.tick(0.2)
            assert [(d.job.id, d.attempt) for d in stage.e1.dispatches] == [("a", 2)]
            assert await stage.heartbeat(N0, E0, running=[("a", 1)]) == [EngineOrder(E0, "m")]
            assert stage.e0.forgotten == [("a", 1)]
            asked = stage.e0.asked
            stage.e0.failure = None
            await stage.tick()
            assert stage.e0.asked == asked + 1
            await stage.submit(job("b"))
            assert stage.e0.jobs == ["a", "b"]

    run(scenario())


def test_an_engine_that_is_asked_whether_it_lives_and_has_died_is_lost() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            assert [order.id for order in await stage.heartbeat(N0)] == [E0]
            await stage.heartbeat(N0, E0)
            stage.e0.failure = Unreached("its machine's link is down")
            await stage.submit(job("a"))
            stage.e0.failure = Gone("it died")
            await stage.tick()
            assert [order.id for order in await stage.heartbeat(N0)] == [E1]

    run(scenario())


def test_an_order_that_an_engine_refuses_is_tried_so_often_and_the_engine_is_kept() -> None:
    """An error of the application says nothing of the engine's life."""

    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=8)
            await stage.submit(job("before"))
            stage.e0.failure = RuntimeError("a prompt in here")
            await stage.submit(job("a"))
            await stage.tick()
            assert stage.failures == [("a", "engine_error")]
            assert "prompt" not in stage.journal.failed[0].error_message
            assert stage.journal.failed[0].attempt == MAX_ATTEMPTS
            assert stage.jobs_at(Leased) == ["before"]
            assert await stage.heartbeat(N0, E0) == [EngineOrder(E0, "m")]

    run(scenario())


def test_an_attempt_that_failed_before_its_first_token_is_made_elsewhere() -> None:
    async def scenario() -> None:
        async with Stage([replace(M, replicas=Replicas(2, 2))]) as stage:
            for _ in range(2):
                await stage.heartbeat(N0, E0)
                await stage.heartbeat(N1, E1)
            await stage.submit(job("a"))
            failed = (FailedAttempt(JobId("a"), 1, "CUDA error"),)
            await stage.heartbeat(N0, E0, running=[("a", 1)], failed=failed)
            assert [(d.job.id, d.attempt) for d in stage.e1.dispatches] == [("a", 2)]
            await stage.heartbeat(N0, E0, running=[("a", 1)], failed=failed)  # it says so until it is told to forget
            assert stage.e0.forgotten == [("a", 1)]
            assert stage.failures == []

    run(scenario())


def test_a_job_that_every_engine_fails_at_once_ends_with_what_the_last_one_said() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            for attempt in range(1, MAX_ATTEMPTS + 1):
                assert stage.e0.dispatches[-1].attempt == attempt
                failed = (FailedAttempt(JobId("a"), attempt, f"CUDA error {attempt}"),)
                await stage.heartbeat(N0, E0, running=[("a", attempt)], failed=failed)
            assert len(stage.e0.dispatches) == MAX_ATTEMPTS
            assert [failure.error_message for failure in stage.journal.failed] == [f"CUDA error {MAX_ATTEMPTS}"]

    run(scenario())


def test_an_engine_is_to_know_of_an_order_once_it_has_answered_it() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.e0.listening.clear()  # it is busy
            await stage.submit(job("a"))
            stage.clock.advance(ORDER_S + 1.0)
            await stage.heartbeat(N0, E0)
            assert stage.journal.fenced == []
            stage.e0.listening.set()
            await settled()
            stage.clock.advance(ORDER_S)
            await stage.heartbeat(N0, E0)
            assert stage.journal.fenced == []
            stage.clock.advance(0.1)
            await stage.heartbeat(N0, E0)
            assert stage.journal.fenced == [("a", 1)]

    run(scenario())


def test_nothing_waits_for_a_fence() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0)
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"), job("b", deadline_ms=0), job("c"))
            fence, gate = stage.journal.fence, asyncio.Event()

            async def slow(jobs: Sequence[JobAttempt]) -> list[Fenced]:
                await gate.wait()
                return await fence(jobs)

            stage.journal.fence = slow  # type: ignore[method-assign]
            await stage.lost(E0)
            async with asyncio.timeout(5):
                await stage.heartbeat(N1)
                await stage.tick()
            assert stage.failures == [("b", "timeout")]
            gate.set()
            await settled()
            assert stage.queued == ["a", "c"]

    run(scenario())


def test_a_job_that_its_engine_does_not_know_of_is_taken_back_in_time() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("known"), job("unknown"))
            running = [(JobId("known"), 1)]
            stage.clock.advance(ORDER_S)
            await stage.heartbeat(N0, E0, running=running)
            stage.clock.advance(1.0)
            # Old news: when the engine spoke, the order may still have been on its way.
            await stage.heartbeat(N0, E0, running=running, age_s=1.0)
            assert stage.journal.fenced == []
            await stage.heartbeat(N0, E0, running=running)
            assert stage.journal.fenced == [("unknown", 1)]
            # The next attempt has as much time again.
            stage.clock.advance(ORDER_S)
            await stage.heartbeat(N0, E0, running=running)
            assert [(d.job.id, d.attempt) for d in stage.e0.dispatches] == [
                ("known", 1),
                ("unknown", 1),
                ("unknown", 2),
            ]
            assert stage.jobs_at(Leased) == ["known", "unknown"]

    run(scenario())


def test_an_engine_that_knows_only_another_attempt_does_not_know_the_job() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            stage.clock.advance(ORDER_S + 1.0)
            await stage.heartbeat(N0, E0, running=[(JobId("a"), 7)])
            assert stage.journal.fenced == [("a", 1)]

    run(scenario())
