"""The Supervisor: what is missing is started, whatever fails meanwhile."""

import asyncio
import logging
from collections.abc import Set

import pytest

from actors.supervising.watch import Ward
from actors.supervisor import Supervisor
from cluster.release import Release
from cluster.settings.schema import Settings
from cluster.timing import Timing
from tests.support.plain_system import run, until
from tests.support.wards import PlainWard


class PlainWorld:
    """Notes what is started. `failures` are raised by the next calls for a node."""

    def __init__(self, *machines: str) -> None:
        self.alive = set(machines)
        self.idle: set[str] = set()
        self.noded: set[str] = set()
        self.calls: list[str] = []
        self.failures: list[Exception] = []
        self.watched: set[str] = set()
        self.proxies_kept = 0
        self.restarted: dict[str, int] = {"ledger": 0, "journal": 2}
        self.core: list[PlainWard] = []
        self.nodes: list[PlainWard] = []

    def start_core(self) -> None:
        self.calls.append("core")

    async def hear_all(self) -> None:
        self.calls.append("hear all")

    def end_outdated(self) -> None:
        self.calls.append("end outdated")

    def machines_with_node(self) -> set[str]:
        return self.noded & self.alive

    def machines(self) -> set[str]:
        return self.alive - self.idle

    def start_node(self, machine: str) -> None:
        if self.failures:
            raise self.failures.pop()
        self.calls.append(machine)
        self.noded.add(machine)

    def end_node(self, machine: str) -> None:
        self.calls.append(f"end {machine}")
        self.noded.remove(machine)

    def restarts(self) -> dict[str, int]:
        return dict(self.restarted)

    def keep_proxies(self) -> None:
        self.proxies_kept += 1

    def wards(self, looked_after: Set[str]) -> list[Ward]:
        self.watched = set(looked_after)
        return [*self.core, *self.nodes]

    def started(self, machine: str) -> int:
        return self.calls.count(machine)


RELEASE = Release(Settings(), made_ms=7)
QUICK = Timing(look_s=0.002, pulse_s=0.002, silent_s=0.004, stopped_s=0.006, stuck_s=0.01)


def test_the_core_is_started_before_any_node() -> None:
    async def scenario() -> None:
        world = PlainWorld("a", "b")
        supervisor = Supervisor(world, RELEASE, QUICK)
        await supervisor.start()
        await supervisor.stop()
        started = [call for call in world.calls if " " not in call]
        assert started[0] == "core"
        assert sorted(started[1:]) == ["a", "b"]

    run(scenario())


def test_a_node_is_started_where_there_is_none() -> None:
    async def scenario() -> None:
        world = PlainWorld("a")
        supervisor = Supervisor(world, RELEASE, QUICK)
        await supervisor.look()
        await supervisor.look()
        assert world.started("a") == 1
        world.alive = {"a", "b"}
        world.noded = set()  # one died for good, as an actor does whose process could not even begin
        await supervisor.look()
        assert (world.started("a"), world.started("b")) == (2, 1)

    run(scenario())


def test_a_node_that_nobody_needs_is_ended() -> None:
    async def scenario() -> None:
        world = PlainWorld("a", "b")
        supervisor = Supervisor(world, RELEASE, QUICK)
        await supervisor.look()
        world.idle = {"b"}
        await supervisor.look()
        await supervisor.look()
        assert (world.noded, world.calls.count("end b")) == ({"a"}, 1)
        world.idle = set()
        await supervisor.look()
        assert world.noded == {"a", "b"}

    run(scenario())


def test_what_is_made_of_other_settings_ends_before_anything_is_started() -> None:
    async def scenario() -> None:
        world = PlainWorld()
        supervisor = Supervisor(world, RELEASE, QUICK)
        await supervisor.start()
        await supervisor.stop()
        assert world.calls[:3] == ["hear all", "end outdated", "core"]
        assert await supervisor.release() == RELEASE.described()

    run(scenario())


def test_core_actors_are_looked_after_forever() -> None:
    async def scenario() -> None:
        world = PlainWorld()
        supervisor = Supervisor(world, RELEASE, QUICK)
        await supervisor.start()
        await until(lambda: world.started("core") > 3)
        await supervisor.stop()
        await asyncio.sleep(0)
        looked = world.started("core")
        await asyncio.to_thread(lambda: None)
        assert world.started("core") <= looked + 1

    run(scenario())


def test_a_failure_is_tried_again() -> None:
    async def scenario() -> None:
        world = PlainWorld()
        supervisor = Supervisor(world, RELEASE, QUICK)
        await supervisor.start()
        world.failures = [RuntimeError("not now"), RuntimeError("not yet")]
        world.alive = {"late"}
        await until(lambda: world.started("late") == 1)
        await supervisor.stop()

    run(scenario())


def test_what_hangs_is_ended_and_nobody_waits_for_it() -> None:
    async def scenario() -> None:
        world = PlainWorld("a")
        hung, awake = PlainWard("journal"), PlainWard("scheduler")
        world.core, world.nodes = [hung, awake], [PlainWard("node/a")]
        supervisor = Supervisor(world, RELEASE, QUICK)
        await supervisor.start()
        await until(lambda: world.watched == {"a"} and awake.asked > 2)
        hung.stop()
        await until(lambda: hung.ended)
        await supervisor.stop()
        assert awake.ended == []

    run(scenario())


def test_proxies_are_looked_after_although_something_else_fails() -> None:
    async def scenario() -> None:
        world = PlainWorld()
        supervisor = Supervisor(world, RELEASE, QUICK)
        await supervisor.start()
        world.failures = [RuntimeError("not now")] * 1000
        world.alive = {"late"}
        await until(lambda: world.proxies_kept > 3)
        await supervisor.stop()

    run(scenario())


def test_restarts_are_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        world = PlainWorld()
        supervisor = Supervisor(world, RELEASE, QUICK)
        await supervisor.start()
        assert await supervisor.restarts() == {"ledger": 0, "journal": 2}
        world.restarted = {"ledger": 3, "journal": 2}
        await until(lambda: len(caplog.records) > 0)
        looked = world.started("core")
        await until(lambda: world.started("core") > looked + 3)
        assert await supervisor.restarts() == {"ledger": 3, "journal": 2}
        await supervisor.stop()

    with caplog.at_level(logging.WARNING):
        run(scenario())
    assert caplog.messages == ["ledger has ended and is started again (3 by now)"]
