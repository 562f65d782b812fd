"""The launcher of one machine: what it asks of Ray, and what it does while Ray takes its time. Ray itself is played."""

import asyncio
import threading
from typing import Any

import pytest
from msgspec.structs import replace
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from actors.ray import launcher as subject
from actors.ray import seats
from actors.ray.launcher import RayLauncher
from actors.ray.seats import Group
from actors.wire.calls import Gone, Unreached
from cluster.catalogue import Catalogue, Model
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import EngineOrder, EngineReport
from cluster.timing import Timing
from tests.support.plain_system import run, settled

HERE, THERE = NodeId("node_here"), NodeId("node_there")
E0, E1, E2 = EngineId("m/0"), EngineId("m/1"), EngineId("m/2")
MODEL = Model(id="m", backend="simulated", gpus=0, cpus=1.0, load_timeout_s=77)
FREE = replace(MODEL, id="free", cpus=0.0)
ORDER = EngineOrder(E0, "m")
RAY_NODE = "ab" * 28


class PlainEngine:
    def __init__(self, engine_id: EngineId, node_id: NodeId) -> None:
        self.report = EngineReport(engine_id, "m", node_id, "ready")
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.failures: list[Exception] = []

    async def describe(self) -> EngineReport:
        self.asked += 1
        await self.answers.wait()
        if self.failures:
            raise self.failures.pop(0)
        return self.report


class PlainKind:
    """Ray's engines, by name. `may_start` holds up the call that makes one, as a busy head does."""

    def __init__(self) -> None:
        self.engines: dict[str, PlainEngine] = {}
        self.options: list[dict[str, object]] = []
        self.killed: list[str] = []
        self.starting = threading.Event()
        self.may_start = threading.Event()
        self.may_start.set()

    def start(self, key: str, *_: object, **options: object) -> None:
        self.options.append(options)
        self.starting.set()
        assert self.may_start.wait(10.0)
        self.engines.setdefault(key, PlainEngine(EngineId(key), HERE))

    def at(self, key: str) -> PlainEngine:
        return self.engines[key]

    def kill(self, key: str) -> None:
        self.killed.append(key)
        self.engines.pop(key, None)

    def existing(self) -> list[str]:
        return list(self.engines)


class Stage:
    """`seats` are the groups of Ray's that are for engines, and where."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seats: dict[EngineId, Group] = {E0: Group("a group", E0, RAY_NODE)}
        monkeypatch.setattr(seats, "groups", lambda: self.seats)
        monkeypatch.setattr(seats, "handle", lambda group: group.id)
        self.kind = PlainKind()
        kind: Any = self.kind
        timing = Timing(introduction_s=0.02)
        self.parts = PlainKind()
        parts: Any = self.parts
        self.launcher = RayLauncher(kind, Catalogue((MODEL, FREE)), HERE, RAY_NODE, 0.02, timing, parts)

    def engine(self, engine_id: EngineId, node_id: NodeId = HERE) -> PlainEngine:
        engine = self.kind.engines[engine_id] = PlainEngine(engine_id, node_id)
        return engine

    async def running(self, *known: EngineId) -> list[EngineId]:
        return [report.id for _, report in await self.launcher.running(known)]


def test_engines_are_asked_at_once_and_one_that_does_not_answer_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        stage = Stage(monkeypatch)
        silent = [stage.engine(EngineId(f"m/{number}"), THERE) for number in range(10, 60)]
        for engine in silent:
            engine.answers.clear()
        stage.engine(E0)
        gone = stage.engine(E1)
        gone.failures = [Gone("it died")]
        async with asyncio.timeout(1.0):  # one after the other it would be as long
            assert await stage.running() == [E0]
        assert all(engine.asked == 1 for engine in silent)

    run(scenario())


def test_engines_of_other_machines_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        stage = Stage(monkeypatch)
        here, there = stage.engine(E0), stage.engine(E1, THERE)
        for _ in range(3):
            assert await stage.running() == [E0]
        assert (here.asked, there.asked) == (3, 1)
        assert await stage.running(E0) == []
        assert here.asked == 3
        # Numbers are used again once an engine is gone.
        stage.kind.kill(E1)
        assert await stage.running(E0) == []
        stage.engine(E1)
        assert await stage.running(E0) == [E1]

    run(scenario())


def test_who_cancels_a_launch_goes_on_once_there_is_something_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        stage = Stage(monkeypatch)
        stage.kind.may_start.clear()
        launching = asyncio.create_task(stage.launcher.launch(ORDER))
        await asyncio.to_thread(stage.kind.starting.wait, 5.0)
        launching.cancel()
        await settled()
        assert not launching.done()
        stage.kind.may_start.set()
        await asyncio.wait({launching})
        assert launching.cancelled()
        assert stage.kind.existing() == [E0]
        await stage.launcher.kill(EngineReport(E0, "m", HERE, "starting"))
        assert stage.kind.existing() == []

    run(scenario())


def test_an_engine_that_cannot_be_reached_while_it_begins_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_ASK_AGAIN_S", 0.001)

    async def scenario() -> None:
        stage = Stage(monkeypatch)
        engine = stage.engine(E0)
        engine.failures = [Unreached("not yet")] * 3
        assert await stage.launcher.launch(ORDER) is engine

    run(scenario())


def test_a_process_that_does_not_begin_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "BEGIN_S", 0.02)

    async def scenario() -> None:
        stage = Stage(monkeypatch)
        stage.engine(E0).answers.clear()
        with pytest.raises(Gone, match="no process"):
            await stage.launcher.launch(ORDER)
        assert stage.kind.killed == [E0]

    run(scenario())


@pytest.mark.parametrize("seat", [None, Group("a group", E0, None), Group("a group", E0, "cd" * 28)])
def test_an_engine_whose_seat_is_not_here_is_not_made(seat: Group | None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        stage = Stage(monkeypatch)
        stage.seats = {} if seat is None else {E0: seat}
        with pytest.raises(Gone, match="its place on this machine is gone"):
            await stage.launcher.launch(ORDER)
        assert stage.kind.engines == {}

    run(scenario())


def test_an_engine_sits_in_its_seat_and_one_that_books_nothing_anywhere_here(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        stage = Stage(monkeypatch)
        await stage.launcher.launch(ORDER)
        await stage.launcher.launch(EngineOrder(EngineId("free/1"), "free"))
        seated, free = (options["scheduling_strategy"] for options in stage.kind.options)
        assert isinstance(seated, PlacementGroupSchedulingStrategy)
        assert (seated.placement_group, seated.placement_group_bundle_index) == ("a group", 0)
        assert isinstance(free, NodeAffinitySchedulingStrategy)
        assert (free.node_id, free.soft) == (RAY_NODE, False)

    run(scenario())


def test_what_is_left_of_an_engine_on_further_machines_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        stage = Stage(monkeypatch)
        stage.engine(E0)
        for key in ("m/0/1", "m/0/2", "m/01/1"):
            stage.parts.start(key)
        await stage.launcher.kill(EngineReport(E0, "m", HERE, "ready"))
        assert (stage.kind.killed, stage.parts.killed) == ([E0], ["m/0/1", "m/0/2"])

    run(scenario())


def test_a_model_has_its_own_time_to_load(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    assert stage.launcher.load_timeout_s("m") == 77
    assert stage.launcher.load_timeout_s("removed from the catalogue") == Model.load_timeout_s
