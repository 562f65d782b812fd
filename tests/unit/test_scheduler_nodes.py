"""The Scheduler and nodes: silent, drained, gone, and jobs that are pinned to them."""

import asyncio

from msgspec.structs import replace

from cluster.catalogue import Replicas
from cluster.errors import DatabaseUnavailable
from cluster.ids import JobId
from cluster.messages.machines import EngineOrder, Hardware, NodeOrders, NodeReport
from cluster.messages.work import Released
from tests.support.plain_system import run, settled
from tests.support.scheduler_stage import E0, E1, GRACE_S, N0, N1, OFFLINE_AFTER_S, M, Stage, job


def test_a_tick_that_comes_late_loses_nobody() -> None:
    """The Scheduler's process stood still. Heartbeats wait in its inbox."""

    async def scenario() -> None:
        async with Stage([replace(M, replicas=Replicas(2, 2))], tick_s=0.5) as stage:
            await stage.heartbeat(N0, E0)
            await stage.heartbeat(N1, E1)
            await stage.submit(job("a"), job("b"))
            await stage.tick(OFFLINE_AFTER_S + 1)
            await stage.tick(60.0)
            assert {node.status for node in await stage.scheduler.nodes()} == {"online"}
            assert stage.journal.fenced == []
            for _ in range(int(OFFLINE_AFTER_S / 0.5) + 1):
                await stage.tick(0.5)
            assert {node.status for node in await stage.scheduler.nodes()} == {"offline"}
            assert sorted(stage.journal.fenced) == [("a", 1), ("b", 1)]

    run(scenario())


def test_a_silent_node_loses_its_jobs_and_a_pinned_one_fails() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("pinned", node=N0), job("free"))
            assert stage.e0.jobs == ["pinned", "free"]
            await stage.tick(OFFLINE_AFTER_S + 1)
            assert stage.failures == [("pinned", "node_disconnected")]
            assert stage.queued == ["free"]
            assert [(node.id, node.status) for node in await stage.scheduler.nodes()] == [(N0, "offline")]
            assert await stage.submit(job("again", node=N0)) == ["no_capacity"]

    run(scenario())


def test_a_lost_node_is_told_of_until_the_ledger_has_it() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.tick()
            stage.ledger.failing = DatabaseUnavailable("away")
            await stage.tick(OFFLINE_AFTER_S + 1)
            assert stage.ledger.happenings == []
            stage.ledger.failing = None
            await stage.tick()
            await stage.tick()
            (event,) = stage.ledger.happenings
            assert (event.type, event.data, event.account_id) == ("node.offline", {"id": N0}, None)

    run(scenario())


def test_nodes_that_end_with_the_system_are_missed_by_nobody() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.tick()
            assert await stage.scheduler.quiesce(0.1)
            await stage.tick(OFFLINE_AFTER_S + 1)
            assert stage.ledger.happenings == []

    run(scenario())


def test_a_pinned_job_does_not_outlive_its_node() -> None:
    """Whether it waits there, or has lost its engine before the node's silence was noticed."""

    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0)
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("running", node=N0), job("waiting", node=N0))
            await stage.lost(E0)
            assert stage.failures == []
            await stage.tick(OFFLINE_AFTER_S + 1)
            assert stage.failures == [("running", "node_disconnected"), ("waiting", "node_disconnected")]

    run(scenario())


def test_a_node_being_drained_gets_no_more_jobs_and_stops_its_engine_when_it_is_idle() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.heartbeat(N1)
            await stage.submit(job("a"))
            draining = asyncio.create_task(stage.scheduler.drain_node(N0, drains=True))
            await settled()
            assert await stage.heartbeat(N0, E0, running=[("a", 1)]) == [EngineOrder(E0, "m")]
            await settled()
            assert not draining.done()  # the node has not said that it knows
            await stage.heartbeat(N0, E0, running=[("a", 1)], draining=True)
            await draining
            assert await stage.heartbeat(N1) == [EngineOrder(E1, "m")]
            assert await stage.submit(job("b"), job("pinned", N0)) == [None, "no_capacity"]
            await stage.heartbeat(N1, E1)
            assert (stage.e0.jobs, stage.e1.jobs) == (["a"], ["b"])
            await stage.released(Released(JobId("a"), 1))
            await stage.tick()
            assert await stage.heartbeat(N0, E0) == []

    run(scenario())


def test_a_pinned_job_whose_node_will_not_have_the_model_any_more_fails() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=0)
            await stage.submit(job("pinned", N0))
            draining = asyncio.create_task(stage.scheduler.drain_node(N0, drains=True))
            await settled()
            await stage.heartbeat(N0, E0, slots=0, draining=True)
            await draining
            for _ in range(2):
                await stage.heartbeat(N0, E0, slots=0)
                await stage.tick((GRACE_S - 1) / 2)
            assert stage.failures == []
            for _ in range(2):
                await stage.heartbeat(N0, E0, slots=0)
                await stage.tick((GRACE_S + 1) / 2)
            assert stage.failures == [("pinned", "no_capacity")]

    run(scenario())


def test_a_node_agent_whose_place_another_has_taken_is_told_so() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            before = NodeReport(N0, Hardware("host", 1.0, 1 << 30), (), agent="before")
            after = replace(before, agent="after")
            assert not (await stage.scheduler.report(before)).superseded
            assert not (await stage.scheduler.report(replace(after, begins=True))).superseded
            assert not (await stage.scheduler.report(after)).superseded
            assert (await stage.scheduler.report(before)) == NodeOrders(superseded=True)
            assert not (await stage.scheduler.report(replace(before, node_id=N1))).superseded

    run(scenario())
