"""The Scheduler and what is submitted: refused, or made durable while an engine begins with it."""

import asyncio

import pytest
from msgspec.structs import replace

from cluster.errors import BudgetExceeded, DatabaseUnavailable
from cluster.ids import JobId, NodeId
from cluster.leases.places import Leased
from cluster.messages.work import Accepted, Released, Sampling, Submission
from tests.support.plain_system import run, settled
from tests.support.scheduler_stage import E0, E1, GRACE_S, N0, N1, M, Stage, job


def test_submitting_again_changes_nothing() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            leased, queued = job("leased"), job("queued")
            for _ in range(3):
                assert await stage.submit(leased, queued) == [None, None]
            assert stage.e0.jobs == ["leased"]
            assert stage.queued == ["queued"]

    run(scenario())


def test_refusals() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            assert await stage.submit(job("a", model="unknown"), job("b", node=N1)) == [
                "model_not_found",
                "node_not_found",
            ]
            await stage.heartbeat(N0, E0, slots=1)
            await stage.heartbeat(N1)
            assert await stage.submit(job("c", node=N1)) == ["no_capacity"]
            for name in "defg":
                assert await stage.submit(job(name)) == [None]
            assert await stage.submit(job("h")) == ["no_capacity"]  # three wait already
            assert await stage.submit(job("g")) == [None]  # one of them
            assert await stage.submit(job("d")) == [None]  # the one that runs
            assert stage.ledger.created == ["d", "e", "f", "g", "g", "d"]

    run(scenario())


def test_a_queue_takes_no_more_from_one_call_than_it_holds() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("running"))
            assert await stage.submit(*(job(name) for name in "abcde")) == [None] * 3 + ["no_capacity"] * 2
            assert stage.ledger.created == ["running", "a", "b", "c"]

    run(scenario())


def test_the_moment_after_an_engine_died_jobs_are_accepted() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0)
            await stage.heartbeat(N0, E0)
            await stage.lost(E0)
            assert await stage.submit(job("a")) == [None]

    run(scenario())


def test_nothing_serves_and_nothing_can_start() -> None:
    async def scenario() -> None:
        async with Stage([replace(M, gpus=1)]) as stage:
            assert await stage.submit(job("early")) == [None]  # no machine has reported yet
            await stage.heartbeat()
            assert await stage.submit(job("late")) == ["no_capacity"]
            await stage.tick(GRACE_S - 1)
            assert stage.failures == []
            await stage.tick(GRACE_S + 1)
            # Its node has been silent for that long by then, but what it lacks was known before.
            assert stage.failures == [("early", "no_capacity")]

    run(scenario())


def test_an_order_that_was_given_before_is_not_queued_again() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            earlier = Accepted(JobId("first"), "m", 1)
            stage.ledger.earlier["second"] = earlier
            assert await stage.scheduler.submit([Submission(job("second"))]) == [earlier]
            await settled()
            assert (stage.e0.confirmed, stage.e0.forgotten) == ([], [("second", 1)])
            assert stage.ledger.placements == []

    run(scenario())


def test_what_the_ledger_refuses_is_not_queued_and_others_are() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.ledger.refused["dear"] = BudgetExceeded("no room")
            assert await stage.submit(job("dear"), job("cheap")) == ["budget_exceeded", None]
            assert (stage.e0.confirmed, stage.e0.forgotten) == ([("cheap", 1)], [("dear", 1)])
            assert [placed.job_id for placed in stage.ledger.placements] == ["cheap"]
            assert await stage.submit(job("next")) == [None]
            assert stage.e0.confirmed == [("cheap", 1), ("next", 1)]

    run(scenario())


def test_an_engine_begins_while_the_job_is_made_durable_and_is_told_when_it_is() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.ledger.committing.clear()
            submitting = asyncio.create_task(stage.submit(job("a")))
            await settled()
            assert [(d.job.id, d.attempt, d.confirmed) for d in stage.e0.dispatches] == [("a", 1, False)]
            assert (stage.e0.confirmed, stage.ledger.placements) == ([], [])
            stage.ledger.committing.set()
            assert await submitting == [None]
            assert stage.e0.confirmed == [("a", 1)]
            assert [(placed.job_id, placed.attempt) for placed in stage.ledger.placements] == [("a", 1)]
            assert len(stage.e0.dispatches) == 1

    run(scenario())


def test_an_engine_knows_a_job_before_it_is_told_that_it_is_durable() -> None:
    """Calls to an actor may overtake each other."""

    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.e0.listening.clear()
            assert await stage.submit(job("a")) == [None]
            assert stage.e0.confirmed == []
            stage.e0.listening.set()
            await settled()
            assert (stage.e0.jobs, stage.e0.confirmed) == (["a"], [("a", 1)])

    run(scenario())


def test_what_nobody_waits_for_is_stopped_at_the_next_report() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            await stage.heartbeat(N0, E0, running=[("a", 1), ("a", 2), ("refused", 1)])
            assert stage.e0.forgotten == [("a", 2), ("refused", 1)]

    run(scenario())


def test_nothing_begins_before_its_turn() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("a"), job("b"))
            stage.ledger.committing.clear()
            submitting = asyncio.create_task(stage.submit(job("c")))
            await settled()
            await stage.released(Released(JobId("a"), 1))
            assert stage.e0.jobs == ["a", "b"]
            stage.ledger.committing.set()
            await submitting

    run(scenario())


def test_what_cannot_be_made_durable_is_taken_from_its_engine() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.ledger.failing = DatabaseUnavailable("no database")
            with pytest.raises(DatabaseUnavailable):
                await stage.scheduler.submit([Submission(job("a"))])
            await settled()
            assert (stage.e0.confirmed, stage.e0.forgotten) == ([], [("a", 1)])
            assert await stage.scheduler.quiesce(1.0)

    run(scenario())


def test_a_job_that_had_only_begun_when_its_engine_was_lost_is_placed_once_it_is_durable() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.ledger.committing.clear()
            submitting = asyncio.create_task(stage.submit(job("a")))
            await settled()
            await stage.lost(E0)
            await stage.heartbeat(N0, E1)
            assert (stage.e1.jobs, stage.journal.fenced) == ([], [])
            stage.ledger.committing.set()
            assert await submitting == [None]
            assert [(d.job.id, d.attempt, d.epoch, d.confirmed) for d in stage.e1.dispatches] == [("a", 2, 1, True)]
            assert (stage.e0.confirmed, stage.journal.fenced) == ([], [])

    run(scenario())


@pytest.mark.parametrize("given_up", [True, False], ids=["the first is given up", "both are answered"])
def test_a_job_that_is_submitted_twice_at_once_is_run_once(given_up: bool) -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.ledger.committing.clear()
            calls = [asyncio.create_task(stage.submit(job("a"))) for _ in range(2)]
            await settled()
            if given_up:
                calls.pop(0).cancel()
                await settled()
            stage.ledger.committing.set()
            assert await asyncio.gather(*calls) == [[None]] * len(calls)
            assert (stage.e0.jobs, stage.e0.confirmed, stage.e0.aborted) == (["a"], [("a", 1)], [])
            assert stage.jobs_at(Leased) == ["a"]

    run(scenario())


def test_a_budget_without_room_is_told_before_a_lack_of_capacity() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=0)
            assert await stage.submit(*(job(name) for name in "abc")) == [None] * 3
            stage.ledger.refused["dear"] = BudgetExceeded("no room")
            assert await stage.submit(job("dear"), job("cheap")) == ["budget_exceeded", "no_capacity"]

    run(scenario())


def test_what_does_not_fit_the_models_context_is_refused_before_its_node_is_looked_at() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0)
            await stage.heartbeat(N0, E0)
            fits = replace(job("fits"), prompt_tokens=118)
            too_long = replace(job("too long", NodeId("unknown")), prompt_tokens=119)
            uncounted = replace(job("uncounted"), sampling=Sampling(max_tokens=129))
            assert await stage.submit(too_long, fits, uncounted) == [
                "context_length_exceeded",
                None,
                "context_length_exceeded",
            ]

    run(scenario())
