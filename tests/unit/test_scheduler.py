"""The Scheduler: which job goes to which engine, and when none does."""

import asyncio
from collections.abc import Callable
from threading import Event

import pytest
from msgspec.structs import replace

from cluster.catalogue import Model, Replicas
from cluster.fleet.fleet import Fleet
from cluster.fleet.gpu_memory import Demand
from cluster.ids import JobId
from cluster.messages.machines import EngineOrder, EngineReport, Gpu, Hardware, NodeReport
from cluster.messages.work import Released
from tests.support.plain_system import run, settled, until
from tests.support.scheduler_stage import E0, E1, N0, N1, M, Stage, job


def test_jobs_go_to_the_engine_in_order_as_far_as_it_has_slots() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            assert await stage.submit(job("a")) == [None]
            assert await stage.heartbeat() == [EngineOrder(E0, "m")]
            assert stage.e0.jobs == []
            await stage.heartbeat(N0, E0)
            assert stage.journal.attached == [E0]
            assert await stage.submit(job("b"), job("c"), job("d")) == [None] * 3
            assert stage.e0.jobs == ["a", "b"]
            assert [(p.job_id, p.node_id, p.engine_id, p.attempt) for p in stage.ledger.placements] == [
                ("a", N0, E0, 1),
                ("b", N0, E0, 1),
            ]
            (view,) = await stage.scheduler.models()
            assert (view.state, view.queued) == ("ready", 2)
            await stage.released(Released(JobId("a"), 1))
            assert stage.e0.jobs == ["a", "b", "c"]
            await stage.released(Released(JobId("b"), 1), Released(JobId("c"), 1))
            assert stage.e0.jobs == ["a", "b", "c", "d"]

    run(scenario())


def test_a_release_of_another_attempt_or_of_nothing_frees_nothing() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("a"), job("b"))
            await stage.released(Released(JobId("a"), 7), Released(JobId("unknown"), 1))
            assert stage.e0.jobs == ["a"]

    run(scenario())


def test_work_is_spread() -> None:
    async def scenario() -> None:
        async with Stage([replace(M, replicas=Replicas(2, 2))]) as stage:
            await stage.heartbeat(N0, E0)
            await stage.heartbeat(N1, E1)
            await stage.submit(*(job(name) for name in "abc"))
            assert sorted(map(len, (stage.e0.jobs, stage.e1.jobs))) == [1, 2]

    run(scenario())


def test_draining_lets_what_runs_end_and_starts_nothing() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("running"), job("waiting"))
            draining = asyncio.create_task(stage.scheduler.quiesce(60.0))
            await settled()
            assert await stage.submit(job("late")) == ["no_capacity"]
            assert not draining.done()
            await stage.released(Released(JobId("running"), 1))
            assert await draining
            assert stage.e0.jobs == ["running"]
            assert stage.queued == ["waiting"]

    run(scenario())


def test_draining_does_not_wait_forever() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("running"))
            assert not await stage.scheduler.quiesce(0.001)

    run(scenario())


def test_an_engine_that_fails_jobs_is_given_fewer_until_that_is_a_minute_ago() -> None:
    async def scenario() -> None:
        async with Stage([replace(M, replicas=Replicas(2, 2))]) as stage:
            for _ in range(2):
                await stage.heartbeat(N0, E0)
                await stage.heartbeat(N1, E1)
            await stage.submit(job("a"))
            assert stage.e0.jobs == ["a"]
            await stage.released(Released(JobId("a"), 1, failed=True))
            await stage.submit(job("b"), job("c"))
            assert (stage.e0.jobs, stage.e1.jobs) == (["a"], ["b", "c"])
            await stage.released(Released(JobId("b"), 1), Released(JobId("c"), 1))
            for _ in range(10):
                await stage.tick(6.0)
                await stage.heartbeat(N0, E0)
                await stage.heartbeat(N1, E1)
            await stage.tick()
            await stage.submit(job("d"))
            assert stage.e0.jobs == ["a", "d"]

    run(scenario())


def test_what_there_ought_to_be_is_planned_once_a_tick_however_many_nodes_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A plan looks at every machine. At once it is made for a machine that joins, and where an engine was lost."""

    async def scenario() -> None:
        plans = []
        plan = Fleet.plan

        def counted(self: Fleet, now_s: float, waiting: Callable[[str], int]) -> None:
            plans.append(now_s)
            plan(self, now_s, waiting)

        monkeypatch.setattr(Fleet, "plan", counted)
        async with Stage([M, replace(M, id="big", cpus=999.0)]) as stage:
            await stage.heartbeat(N0, E0)
            await stage.heartbeat(N1)
            await stage.tick()
            plans.clear()
            for _ in range(10):
                for node, engines in ((N0, (EngineReport(E0, "m", N0, "ready"),)), (N1, ())):
                    await stage.scheduler.report(NodeReport(node, Hardware("host", 1.0, 1 << 30), engines))
            assert plans == []
            await stage.tick()
            assert len(plans) == 1
            await stage.scheduler.report(NodeReport(N0, Hardware("host", 1.0, 1 << 30)))
            assert len(plans) == 2

    run(scenario())


def test_a_waiting_job_is_explained_and_a_placed_one_keeps_what_was_considered() -> None:
    async def scenario() -> None:
        async with Stage([replace(M, replicas=Replicas(2, 2))]) as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("a"), job("b"))
            waiting = await stage.scheduler.explain(JobId("b"))
            assert waiting is not None
            assert waiting.stage == "waiting"
            assert [(v.engine_id, v.ruled_out_by) for v in waiting.verdicts if v.node_id == N0] == [(E0, "no room")]
            assert waiting.model is not None and (waiting.model.id, waiting.model.queued) == ("m", 1)
            placed_one = await stage.scheduler.explain(JobId("a"))
            assert placed_one is not None
            assert (placed_one.stage, placed_one.turn, placed_one.verdicts) == ("with an engine", None, ())
            assert await stage.scheduler.explain(JobId("nobody's")) is None
            (placed,) = stage.ledger.placements
            assert [(v.engine_id, v.ruled_out_by) for v in placed.considered] == [(E0, None)]

    run(scenario())


def test_what_models_take_of_gpus_is_found_out_before_they_are_started() -> None:
    on_gpu, on_cpu = replace(M, gpus=1), replace(M, id="cpu")
    asked: list[str] = []

    def measure(model: Model) -> Demand:
        asked.append(model.id)
        return Demand(90 << 30)

    async def scenario() -> None:
        async with Stage((on_gpu, on_cpu), measure=measure) as stage:
            await until(lambda: asked == ["m"], "it was asked for, of the model on a GPU alone")
            hardware = Hardware("host", 4.0, 1 << 30, 1, (Gpu("H100", 80 << 30),))
            stage.cluster.join(N0, hardware)
            await stage.survey()
            await stage.scheduler.report(NodeReport(N0, hardware))
            for _ in range(2):
                await stage.survey()
            assert await stage.scheduler.has_looked_for_room()
            views = {view.id: view for view in await stage.scheduler.models()}
            assert views["m"].message.startswith("needs 90 GiB of GPU memory for its weights, on 1 GPUs")
            assert (views["m"].fits, views["cpu"].fits) == (False, True)

    run(scenario())


@pytest.mark.parametrize("takes_too_long", [False, True])
def test_a_model_of_which_it_cannot_be_found_out_is_started(takes_too_long: bool) -> None:
    may_end = Event()

    def measure(model: Model) -> Demand | None:
        if takes_too_long:
            may_end.wait()
            return None
        raise OSError("the hub is away")

    async def scenario() -> None:
        async with Stage((replace(M, gpus=1),), measure=measure, measure_s=0.02) as stage:
            hardware = Hardware("host", 4.0, 1 << 30, 1)
            stage.cluster.join(N0, hardware)
            await stage.scheduler.report(NodeReport(N0, hardware))
            await until(lambda: bool(stage.scheduler.fleet.orders(N0).engines), "its engine is ordered")
        may_end.set()

    try:
        run(scenario())
    finally:
        may_end.set()
