"""The NodeAgent: runs the engines that it is told to, and tells the truth about them."""

import asyncio
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from actors.backends.base import BackendDied
from actors.node import NodeAgent
from actors.wire.calls import Gone, Unreached
from cluster.catalogue import Adapter
from cluster.ids import EngineId, NodeId
from cluster.liveness.silence import Vitals
from cluster.messages.machines import EngineOrder, EngineReport, EngineState, GpuLoad, Hardware, NodeOrders, NodeReport
from cluster.timing import Timing
from tests.support.clocks import StillClock
from tests.support.plain_system import run, settled, until

ME = NodeId("node_0")
QUICK = Timing(heartbeat_s=0.002)
NEVER_S = 3600.0
E0, E1, E2 = EngineId("m/0"), EngineId("m/1"), EngineId("m/2")


class PlainScheduler:
    """Wants the engines in `orders`, and keeps the last report."""

    def __init__(self) -> None:
        self.orders: list[EngineOrder] = []
        self.draining = False
        self.has_another = False
        self.reports: list[NodeReport] = []
        self.failure: Exception | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def report(self, report: NodeReport) -> NodeOrders:
        self.reports.append(report)
        answer = NodeOrders(tuple(self.orders), self.draining, self.has_another)
        await self.may_answer.wait()
        if self.failure is not None:
            raise self.failure
        return answer

    def told(self) -> dict[EngineId, EngineState]:
        return {engine.id: engine.state for engine in self.reports[-1].engines} if self.reports else {}

    def phases(self) -> list[str]:
        return [engine.phase for report in self.reports[-1:] for engine in report.engines]

    def draining_reported(self) -> bool | None:
        return self.reports[-1].draining if self.reports else None

    def wants(self, *engine_ids: EngineId) -> None:
        self.orders = [EngineOrder(engine_id, "m") for engine_id in engine_ids]


class PlainEngine:
    def __init__(self, engine_id: EngineId, state: EngineState = "starting") -> None:
        self.report = EngineReport(engine_id, "m", ME, state, pid=4711)
        self.loads = 0
        self.stopped = False
        self.dead = False
        self.unreached = 0
        self.failure = ""
        self.loaded = asyncio.Event()
        self.loaded.set()
        self.told: list[list[str]] = []
        self.adapted = asyncio.Event()
        self.adapted.set()
        self.may_stop = asyncio.Event()
        self.may_stop.set()

    async def describe(self) -> EngineReport:
        if self.dead:
            raise Gone(f"{self.report.id} died")
        if self.unreached:
            self.unreached -= 1
            raise Unreached(f"{self.report.id} cannot be reached")
        return self.report

    async def adapt(self, adapters: Sequence[Adapter]) -> EngineReport:
        self.told.append([adapter.id for adapter in adapters])
        await self.adapted.wait()
        self.report = replace(self.report, known=tuple(adapter.number for adapter in adapters))
        return await self.describe()

    async def load(self) -> EngineReport:
        self.loads += 1
        await self.loaded.wait()
        if self.failure:
            raise BackendDied(self.failure)
        self.report = replace(self.report, state="ready", slots=4)
        return await self.describe()

    async def stop(self) -> None:
        await self.may_stop.wait()
        if self.dead:
            raise Gone(f"{self.report.id} died")
        self.stopped = True


class PlainLauncher:
    def __init__(self) -> None:
        self.engines: dict[EngineId, PlainEngine] = {}
        self.launched: list[EngineId] = []
        self.killed: list[EngineReport] = []
        self.killed_at_once: list[EngineId] = []
        self.left_running: list[PlainEngine] = []
        self.no_room = ""
        self.broken: Exception | None = None
        self.cancelled: list[EngineId] = []
        self.load_s = 60.0
        self.looks: list[Vitals] = []
        self.may_kill, self.may_look, self.may_launch = asyncio.Event(), asyncio.Event(), asyncio.Event()
        for event in (self.may_kill, self.may_look, self.may_launch):
            event.set()

    async def launch(self, order: EngineOrder) -> PlainEngine:
        self.launched.append(order.id)
        if self.no_room:
            raise Gone(self.no_room)
        if self.broken is not None:
            raise self.broken
        try:
            await self.may_launch.wait()
        except asyncio.CancelledError:
            self.cancelled.append(order.id)
            raise
        return self.engines.setdefault(order.id, PlainEngine(order.id))

    def load_timeout_s(self, model: str) -> float:
        return self.load_s

    async def vitals(self, report: EngineReport) -> Vitals | None:
        return self.looks.pop(0) if self.looks else None

    async def kill(self, report: EngineReport, at_once: bool = False) -> None:
        self.killed.append(report)
        self.killed_at_once += [report.id] if at_once else []
        await self.may_kill.wait()
        self.left_running = [engine for engine in self.left_running if engine.report.id != report.id]

    async def running(self, known: Collection[EngineId]) -> Sequence[tuple[PlainEngine, EngineReport]]:
        await self.may_look.wait()
        return [(engine, engine.report) for engine in self.left_running if engine.report.id not in known]


class Stage:
    def __init__(self, timing: Timing = QUICK) -> None:
        self.weights: list[str] = []
        self.gpu_loads: list[GpuLoad] = []
        self.scheduler = PlainScheduler()
        self.launcher = PlainLauncher()
        collaborators: Any = (self.scheduler, self.launcher)
        self.clock = StillClock()
        self.node = NodeAgent(
            ME,
            Hardware("host", 8.0, 1 << 30),
            *collaborators,
            self.clock,
            timing,
            look_for_weights=lambda: list(self.weights),
            gpu_loads=lambda: list(self.gpu_loads),
        )

    async def __aenter__(self) -> "Stage":
        await self.node.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.node.stop()

    async def told(self, **states: EngineState) -> None:
        wanted = {EngineId(f"m/{number[1:]}"): state for number, state in states.items()}
        await until(lambda: self.scheduler.reports and self.scheduler.told() == wanted, f"{wanted}")

    def tells_of_gpus(self, loads: list[GpuLoad]) -> bool:
        return bool(self.scheduler.reports) and self.scheduler.reports[-1].gpu_loads == tuple(loads)

    async def some_heartbeats(self) -> None:
        reports = len(self.scheduler.reports)
        await until(lambda: len(self.scheduler.reports) > reports + 2, "heartbeats")


def test_what_is_ordered_is_started_loaded_and_reported() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.told()
            engine = stage.launcher.engines[E0] = PlainEngine(E0)
            engine.loaded.clear()
            stage.scheduler.wants(E0)
            await stage.told(e0="starting")
            engine.loaded.set()
            await stage.told(e0="ready")
            assert stage.launcher.launched == [E0]
            assert engine.loads == 1
            assert stage.scheduler.reports[-1].node_id == ME

    run(scenario())


def test_a_node_tells_what_its_gpus_are_used_for_now() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            for loads in ([GpuLoad(1, 0.5), GpuLoad(2, None)], [], [GpuLoad(3, 1.0)]):
                stage.gpu_loads = loads
                told = partial(stage.tells_of_gpus, loads)
                await until(told, "the GPUs' loads")

    run(scenario())


def test_a_node_tells_which_weights_are_there_from_its_start_and_when_an_engine_has_loaded() -> None:
    async def scenario() -> None:
        stage = Stage()
        stage.weights = ["old"]
        assert (await stage.node.describe()).cached is None
        async with stage:
            await until(lambda: stage.scheduler.reports and stage.scheduler.reports[-1].cached == ("old",), "weights")
            engine = stage.launcher.engines[E0] = PlainEngine(E0)
            engine.failure = "CUDA out of memory"
            stage.weights = ["old", "m"]  # it has downloaded them, and that is all
            stage.scheduler.wants(E0)
            await until(lambda: stage.scheduler.reports[-1].cached == ("old", "m"), "the new weights")

    run(scenario())


def test_an_engine_is_told_of_adapters_once_it_serves_and_until_it_has_told_of_them() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.told()
            engine = stage.launcher.engines[E0] = PlainEngine(E0)
            engine.loaded.clear()
            engine.adapted.clear()
            german, greek = Adapter("german", "org/german"), Adapter("greek", "org/greek")
            stage.scheduler.orders = [EngineOrder(E0, "m", adapters=(german,))]
            await stage.told(e0="starting")
            await stage.some_heartbeats()
            assert engine.told == []
            engine.loaded.set()
            await until(lambda: engine.told, "telling it")
            await stage.some_heartbeats()
            assert engine.told == [["german"]]  # not again before it has answered
            stage.scheduler.orders = [EngineOrder(E0, "m", adapters=(german, greek))]
            engine.adapted.set()
            await until(lambda: ["german", "greek"] in engine.told, "telling it of both")
            told = {german.number, greek.number}
            await until(lambda: set(stage.scheduler.reports[-1].engines[0].known) == told, "a report")
            stage.scheduler.orders = [EngineOrder(E0, "m")]
            await stage.some_heartbeats()
            times = len(engine.told)
            await stage.some_heartbeats()
            assert len(engine.told) == times

    run(scenario())


def test_what_is_no_longer_ordered_is_stopped() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.scheduler.wants(E0, E1)
            await stage.told(e0="ready", e1="ready")
            stage.scheduler.wants(E1)
            await stage.told(e1="ready")
            assert stage.launcher.engines[E0].stopped
            assert not stage.launcher.engines[E1].stopped
            assert [(report.id, report.pid) for report in stage.launcher.killed] == [(E0, 4711)]

    run(scenario())


def test_a_model_that_does_not_load_keeps_its_reason() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            engine = stage.launcher.engines[E0] = PlainEngine(E0)
            engine.failure = "CUDA out of memory"
            stage.scheduler.wants(E0)
            await stage.told(e0="failed")
            assert stage.scheduler.reports[-1].engines[0].message == "CUDA out of memory"
            stage.scheduler.wants()
            await stage.told()
            assert not engine.stopped  # there is nobody to ask
            assert [report.id for report in stage.launcher.killed] == [E0]

    run(scenario())


def test_an_engine_without_a_process_is_reported_as_failed() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.launcher.no_room = "something else holds the room"
            stage.scheduler.wants(E0)
            await stage.told(e0="failed")
            assert stage.scheduler.reports[-1].engines[0].message == "something else holds the room"

    run(scenario())


def test_an_engine_that_dies_while_loading_is_reported_as_failed() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            engine = stage.launcher.engines[E0] = PlainEngine(E0)
            engine.loaded.clear()
            stage.scheduler.wants(E0)
            await until(lambda: engine.loads)
            engine.dead = True
            engine.loaded.set()
            await stage.told(e0="failed")

    run(scenario())


def test_a_dead_engine_vanishes_and_what_is_left_of_it_is_ended() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.scheduler.wants(E0)
            await stage.told(e0="ready")
            stage.scheduler.wants()
            stage.launcher.engines[E0].dead = True
            await stage.told()
            await until(lambda: [report.id for report in stage.launcher.killed] == [E0])

    run(scenario())


def test_an_engine_that_hangs_is_taken_for_dead() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, hang_s=0.005)) as stage:
            stage.scheduler.wants(E0)
            await stage.told(e0="ready")

            stage.launcher.engines[E0].describe = hang  # type: ignore[method-assign]
            await until(lambda: any(not report.engines for report in stage.scheduler.reports[1:]))
            await until(lambda: [report.id for report in stage.launcher.killed] == [E0])

    run(scenario())


def stopped_process(stopped: bool = True) -> Vitals:
    return Vitals(4711, 1.0, stopped=stopped, busy_s=1.0, queued_s=0.0, hindered=False)


async def hang() -> EngineReport:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "does nothing"])
def test_an_engine_whose_process_hangs_is_ended_at_once_and_reported_before_it_has_ended(stopped: bool) -> None:
    async def scenario() -> None:
        timing = replace(QUICK, silent_s=0.002, pulse_s=0.002, stopped_s=0.004, stuck_s=0.004)
        async with Stage(timing) as stage:
            stage.scheduler.wants(E0)
            await stage.told(e0="ready")
            stage.launcher.may_kill.clear()
            stage.launcher.looks = [stopped_process(stopped)] * 100
            stage.launcher.engines[E0].describe = hang  # type: ignore[method-assign]

            async def time_passes() -> bool:
                stage.clock.advance(0.002)
                return stage.launcher.killed_at_once == [E0]

            await until(time_passes)
            stage.scheduler.wants()
            await stage.told()
            stage.launcher.may_kill.set()

    run(scenario())


def test_a_process_that_works_may_be_silent() -> None:
    async def scenario() -> None:
        timing = replace(QUICK, silent_s=0.002, pulse_s=0.002, stopped_s=0.004, stuck_s=0.004)
        async with Stage(timing) as stage:
            stage.scheduler.wants(E0)
            await stage.told(e0="ready")
            stage.launcher.looks = [replace(stopped_process(False), busy_s=float(second)) for second in range(20)]
            engine = stage.launcher.engines[E0]
            tell, engine.describe = engine.describe, hang  # type: ignore[method-assign]

            async def time_passes() -> bool:
                stage.clock.advance(0.002)
                return not stage.launcher.looks

            await until(time_passes)
            engine.describe = tell  # type: ignore[method-assign]
            await stage.some_heartbeats()
            assert stage.launcher.killed == []

    run(scenario())


def test_an_engine_that_generates_no_more_is_ended() -> None:
    async def scenario() -> None:
        timing = replace(QUICK, stall_s=0.05)
        async with Stage(timing) as stage:
            engine = stage.launcher.engines[E0] = PlainEngine(E0, "ready")
            stage.scheduler.wants(E0)
            await stage.told(e0="ready")
            engine.report = replace(engine.report, generating=1, steps=3)

            async def time_passes() -> bool:
                stage.clock.advance(0.004)
                return stage.launcher.killed_at_once == [E0]

            begun_s = stage.clock.monotonic_s()
            await until(time_passes)
            assert stage.clock.monotonic_s() - begun_s >= timing.stall_s

    run(scenario())


def test_an_engine_that_cannot_be_reached_for_a_moment_is_asked_again() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, pulse_s=0.002)) as stage:
            stage.scheduler.wants(E0)
            engine = stage.launcher.engines[E0] = PlainEngine(E0)
            failing = engine.unreached = 3
            await stage.told(e0="ready")
            engine.unreached = failing
            await until(lambda: engine.unreached == 0)
            await stage.some_heartbeats()
            assert stage.launcher.killed == []

    run(scenario())


def test_what_an_engine_does_while_it_loads_is_reported() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            engine = stage.launcher.engines[E0] = PlainEngine(E0)
            engine.loaded.clear()
            stage.scheduler.wants(E0)
            for phase in ("importing", "warming up"):
                engine.report = replace(engine.report, phase=phase)
                await until(lambda phase=phase: stage.scheduler.phases() == [phase])
            engine.unreached = 1
            engine.report = replace(engine.report, phase="still there")
            await until(lambda: stage.scheduler.phases() == ["still there"])
            engine.loaded.set()
            await stage.told(e0="ready")

    run(scenario())


def test_an_engine_that_loads_for_too_long_has_failed() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            engine = stage.launcher.engines[E0] = PlainEngine(E0)
            engine.loaded.clear()
            stage.launcher.load_s = 0.01
            stage.scheduler.wants(E0)
            await stage.told(e0="failed")
            assert stage.scheduler.reports[-1].engines[0].message == "it did not load within 0.01 s"
            stage.scheduler.wants()
            await until(lambda: [report.id for report in stage.launcher.killed] == [E0])

    run(scenario())


def test_a_node_reports_at_once_and_starts_nothing_before_it_knows_what_runs() -> None:
    """The engine that is ordered may be one of those that have not answered yet."""

    async def scenario() -> None:
        stage = Stage()
        stage.launcher.may_look.clear()
        stage.launcher.left_running = [PlainEngine(E0, "ready")]
        stage.scheduler.wants(E0)
        async with stage:
            await stage.some_heartbeats()
            assert (stage.scheduler.told(), stage.scheduler.reports[-1].complete) == ({}, False)
            stage.launcher.may_look.set()
            await stage.told(e0="ready")
            assert stage.scheduler.reports[-1].complete
            assert stage.launcher.launched == []

    run(scenario())


def test_an_engine_that_is_found_while_the_scheduler_takes_long_to_answer_is_not_ended_by_that_answer() -> None:
    """It begins anew at the same moment, and what it answers is about a report that lists no engine yet."""

    async def scenario() -> None:
        stage = Stage()
        stage.launcher.may_look.clear()
        stage.launcher.left_running = [PlainEngine(E0, "ready")]
        stage.scheduler.may_answer.clear()
        async with stage:
            await until(lambda: stage.scheduler.reports, "a report without engines")
            stage.launcher.may_look.set()
            await until(lambda: is_complete(stage.node), "all engines are known")
            stage.scheduler.wants(E0)
            stage.scheduler.may_answer.set()
            await stage.told(e0="ready")
            await stage.some_heartbeats()
            assert (stage.launcher.killed, stage.launcher.launched) == ([], [])

    run(scenario())


async def is_complete(node: NodeAgent) -> bool:
    return (await node.describe()).complete


def test_an_engine_that_was_left_behind_is_found_and_ended() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, reconcile_s=0.005)) as stage:
            stage.scheduler.wants(E0)
            await stage.told(e0="ready")
            stage.launcher.left_running = [PlainEngine(E1, "ready")]
            await until(lambda: [report.id for report in stage.launcher.killed] == [E1])
            await stage.told(e0="ready")

    run(scenario())


def test_an_engine_that_is_being_stopped_is_not_found_again() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, reconcile_s=0.005)) as stage:
            stage.scheduler.wants(E0)
            await stage.told(e0="ready")
            stage.launcher.may_kill.clear()
            stage.launcher.left_running = [stage.launcher.engines[E0]]
            stage.scheduler.wants()
            await until(lambda: [report.id for report in stage.launcher.killed] == [E0])
            reports = len(stage.scheduler.reports)
            await until(lambda: len(stage.scheduler.reports) > reports + 10)
            assert all(not report.engines for report in stage.scheduler.reports[reports:])
            stage.launcher.may_kill.set()

    run(scenario())


def test_an_engine_that_is_given_up_while_it_is_launched_is_ended_once_it_is_there() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.launcher.may_launch.clear()
            stage.scheduler.wants(E0)
            await stage.told(e0="starting")
            stage.scheduler.wants()
            await stage.told()
            await until(lambda: [report.id for report in stage.launcher.killed] == [E0])
            assert stage.launcher.cancelled == [E0]

    run(scenario())


def test_an_engine_whose_process_cannot_be_started_has_failed() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.launcher.broken = RuntimeError("something of Ray's")
            stage.scheduler.wants(E0)
            await stage.told(e0="failed")
            assert stage.scheduler.reports[-1].engines[0].message == "its process could not be started (RuntimeError)"

    run(scenario())


def test_what_runs_already_is_taken_over() -> None:
    async def scenario() -> None:
        stage = Stage()
        ready, starting = PlainEngine(E0, "ready"), PlainEngine(E1)
        stage.launcher.left_running = [ready, starting]
        stage.scheduler.wants(E0, E1)
        async with stage:
            await stage.told(e0="ready", e1="ready")
            assert (ready.loads, starting.loads, stage.launcher.launched) == (0, 1, [])
            ready.dead = True
            await until(lambda: [report.id for report in stage.launcher.killed] == [E0])

    run(scenario())


@pytest.mark.parametrize("failure", [Unreached("scheduler is not answering"), RuntimeError("database is locked")])
def test_heartbeats_go_on_whatever_one_fails_with(failure: Exception) -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.scheduler.failure = failure
            await stage.some_heartbeats()
            stage.scheduler.wants(E0)
            stage.scheduler.failure = None
            await stage.told(e0="ready")

    run(scenario())


def test_an_engine_that_does_not_stop_by_itself_is_killed() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, engine_stop_s=0.005)) as stage:
            stage.scheduler.wants(E0)
            await stage.told(e0="ready")

            async def hang() -> None:
                await asyncio.Event().wait()

            stage.launcher.engines[E0].stop = hang  # type: ignore[method-assign]
            stage.scheduler.wants()
            await until(lambda: [report.id for report in stage.launcher.killed] == [E0])
            await stage.told()

    run(scenario())


def test_an_engine_that_stops_slowly_holds_up_no_heartbeat() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.scheduler.wants(E0)
            await stage.told(e0="ready")
            stage.launcher.engines[E0].may_stop.clear()
            stage.scheduler.wants()
            await stage.told()
            await stage.some_heartbeats()
            assert stage.launcher.killed == []
            stage.launcher.engines[E0].may_stop.set()
            await until(lambda: [report.id for report in stage.launcher.killed] == [E0])

    run(scenario())


def test_an_engine_may_die_while_another_one_is_stopped() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.scheduler.wants(E0, E1)
            await stage.told(e0="ready", e1="ready")
            for engine in stage.launcher.engines.values():
                engine.may_stop.clear()
            stage.scheduler.wants()
            await until(lambda: len(stage.scheduler.told()) < 2, "an engine being stopped")
            for engine in stage.launcher.engines.values():
                engine.dead = True
            await stage.some_heartbeats()
            for engine in stage.launcher.engines.values():
                engine.may_stop.set()
            await until(lambda: {report.id for report in stage.launcher.killed} == {E0, E1})
            await stage.some_heartbeats()

    run(scenario())


def test_stopping_stops_every_engine() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.scheduler.wants(E0, E1, E2)
            await stage.told(e0="ready", e1="ready", e2="ready")
        assert all(engine.stopped for engine in stage.launcher.engines.values())
        assert {report.id for report in stage.launcher.killed} == {E0, E1, E2}
        reports = len(stage.scheduler.reports)
        await settled()
        assert len(stage.scheduler.reports) == reports

    run(scenario())


def test_news_do_not_wait_for_the_next_heartbeat() -> None:
    """The interval would outlast the test."""

    async def scenario() -> None:
        stage = Stage(Timing(heartbeat_s=NEVER_S))
        engine = stage.launcher.engines[E0] = PlainEngine(E0)
        engine.loaded.clear()
        stage.scheduler.wants(E0)
        async with stage:
            await until(lambda: engine.loads, "an engine that loads")
            assert [report.complete for report in stage.scheduler.reports] == [False, True]
            engine.loaded.set()
            await stage.told(e0="ready")

    run(scenario())


@pytest.mark.parametrize("failure", ["no room", "does not load"])
def test_a_failure_does_not_wait_for_the_next_heartbeat(failure: str) -> None:
    async def scenario() -> None:
        stage = Stage(Timing(heartbeat_s=NEVER_S))
        engine = stage.launcher.engines[E0] = PlainEngine(E0)
        if failure == "no room":
            stage.launcher.no_room = failure
        else:
            engine.failure = failure
        stage.scheduler.wants(E0)
        async with stage:
            await stage.told(e0="failed")
            assert stage.scheduler.reports[-1].engines[0].message == failure

    run(scenario())


def test_a_death_does_not_wait_for_the_next_heartbeat() -> None:
    async def scenario() -> None:
        stage = Stage(Timing(heartbeat_s=NEVER_S))
        engine = PlainEngine(E0, "ready")
        engine.dead = True
        stage.launcher.left_running = [engine]
        stage.scheduler.wants(E0)
        async with stage:
            await until(lambda: any(not report.engines for report in stage.scheduler.reports), "a report without it")

    run(scenario())


def test_a_node_that_is_drained_says_so_until_it_is_not() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            for draining in (True, False):
                stage.scheduler.draining = draining
                await until(lambda draining=draining: stage.scheduler.draining_reported() is draining)
                assert (await stage.node.describe()).draining is draining

    run(scenario())


def test_a_report_tells_how_old_the_news_of_an_engine_are() -> None:
    async def scenario() -> None:
        async with Stage(Timing(heartbeat_s=NEVER_S)) as stage:
            stage.scheduler.wants(E0)
            await stage.node.apply(NodeOrders(tuple(stage.scheduler.orders)), reported=set())
            await stage.told(e0="ready")
            stage.clock.advance(2.5)
            assert [engine.age_s for engine in (await stage.node.describe()).engines] == [2.5]

    run(scenario())


def test_what_is_abandoned_runs_on_and_is_not_reported_any_more() -> None:
    async def scenario() -> None:
        stage = Stage()
        stage.scheduler.wants(E0)
        async with stage:
            await stage.told(e0="ready")
            await stage.node.abandon()
            await settled()
            reports = len(stage.scheduler.reports)
            stage.launcher.engines[E0].dead = True
            await asyncio.sleep(5 * QUICK.heartbeat_s)
            assert (len(stage.scheduler.reports), stage.launcher.killed) == (reports, [])

    run(scenario())


def test_an_agent_whose_place_another_has_taken_does_nothing_more() -> None:
    """It stood still, and would end what the other one has started."""

    async def scenario() -> None:
        async with Stage() as stage:
            engine = stage.launcher.engines[E0] = PlainEngine(E0)
            stage.scheduler.wants(E0)
            await stage.told(e0="ready")
            stage.scheduler.orders.clear()
            stage.scheduler.has_another = True
            told = len(stage.scheduler.reports)
            await until(lambda: len(stage.scheduler.reports) > told, "a report")
            told = len(stage.scheduler.reports)
            engine.dead = True
            await settled()
            assert len(stage.scheduler.reports) == told
            assert stage.launcher.killed == []

    run(scenario())
