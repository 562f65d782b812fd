"""What of nodes and models is told, whoever was away when it happened."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cluster.clock import SYSTEM_CLOCK
from cluster.ids import NodeId
from tests.support.plain_system import QUICK, SIM, PlainSystem, prepare_database, replicated, run, until
from tests.support.webhook_host import Receiver, receiver
from tests.support.webhook_scene import HERE, Scene, play

SOON = replace(QUICK, offline_after_s=0.5, settle_s=0.5)
OF_THE_SYSTEM = ["node.offline", "model.failed"]
TWICE = (replicated(SIM, 2),)
BROKEN = replace(SIM, engine={**SIM.engine, "fail_on_load": "no such file"})


async def admins_hook(stage: Scene) -> dict[str, Any]:
    return await stage.hook("/admin", events=OF_THE_SYSTEM)


async def are_known(system: PlainSystem, nodes: Collection[NodeId]) -> None:
    """Return once it is written down that these are online, and no others."""
    await until(lambda: {row[0] for row in system.rows("SELECT id FROM online_nodes")} == set(nodes), "what is known")


async def lose_node(system: PlainSystem, node_id: NodeId) -> None:
    """The machine goes."""
    await system.kill_node(node_id)
    system.cluster.leave(node_id)


async def have_looked(system: PlainSystem) -> None:
    """Return once all nodes have had their time to be heard by the Scheduler that there is now."""
    give_up_s = SYSTEM_CLOCK.monotonic_s() + max(system.timing.offline_after_s, system.timing.settle_s)
    while SYSTEM_CLOCK.monotonic_s() < give_up_s:
        await system.ticks(1)
    await system.ticks(2)


def told_of(host: Receiver, kind: str) -> list[str]:
    return [told.event["data"]["id"] for told in host.told if told.event["type"] == kind]


def offline(stage: Scene) -> list[str]:
    return told_of(stage.host, "node.offline")


def failed(stage: Scene) -> list[str]:
    return told_of(stage.host, "model.failed")


def test_a_node_that_is_lost_while_there_is_no_scheduler_is_told_of_once(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        system = stage.system
        await admins_hook(stage)
        kept, lost = system.node_ids
        await are_known(system, [kept, lost])
        await system.lose_scheduler()
        await lose_node(system, lost)
        await system.start_scheduler()
        await stage.host.hears(lambda: offline(stage))
        await are_known(system, [kept])
        await system.restart_scheduler()
        await have_looked(system)
        await lose_node(system, kept)
        await stage.host.hears(lambda: len(offline(stage)) > 1)
        assert offline(stage) == [lost, kept]

    play(tmp_path, scenario, nodes=2, models=TWICE, timing=SOON)


def test_a_node_that_does_not_answer_any_more_is_told_of_by_the_next_scheduler_though_its_machine_is_there(
    tmp_path: Path,
) -> None:
    async def scenario(stage: Scene) -> None:
        system = stage.system
        await admins_hook(stage)
        await are_known(system, system.node_ids)
        await system.lose_scheduler()
        await system.kill_node(system.node_ids[0])
        await system.start_scheduler()
        await stage.host.hears(lambda: offline(stage))
        assert offline(stage) == system.node_ids

    play(tmp_path, scenario, timing=SOON)


def test_what_a_scheduler_could_not_tell_before_it_was_lost_is_told_by_the_next(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        system = stage.system
        await admins_hook(stage)
        kept, lost = system.node_ids
        await are_known(system, [kept, lost])
        await system.lose_ledger()
        await lose_node(system, lost)
        await have_looked(system)
        await system.lose_scheduler()
        await system.start_ledger()
        await system.start_scheduler()
        await stage.host.hears(lambda: offline(stage))
        await have_looked(system)
        assert offline(stage) == [lost]

    play(tmp_path, scenario, nodes=2, models=TWICE, timing=SOON)


def test_a_scheduler_in_whose_place_another_has_begun_tells_nothing(tmp_path: Path) -> None:
    """It stood still, and takes the silence of nodes that report to the other one for their loss."""

    async def scenario(stage: Scene) -> None:
        system = stage.system
        await admins_hook(stage)
        await are_known(system, system.node_ids)
        former = system.scheduler
        await system.start_scheduler()
        await until(lambda: former.fleet.node_statuses() == dict.fromkeys(system.node_ids, "offline"), "its belief")
        for _ in range(3):
            await former.ticking.taken()
        await former.stop()
        await are_known(system, system.node_ids)
        await lose_node(system, system.node_ids[0])
        await stage.host.hears(lambda: offline(stage))
        assert offline(stage) == system.node_ids

    play(tmp_path, scenario, timing=replace(SOON, hold_s=60.0))


def test_a_node_that_is_drained_is_missed_by_no_scheduler(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        system = stage.system
        await admins_hook(stage)
        kept, drained = system.node_ids
        await are_known(system, [kept, drained])
        assert (await stage.client.post(f"/api/v1/nodes/{drained}/drain")).status_code == 200
        await are_known(system, [kept])
        await system.lose_scheduler()
        await lose_node(system, drained)
        await system.start_scheduler()
        await have_looked(system)
        await lose_node(system, kept)
        await stage.host.hears(lambda: offline(stage))
        assert offline(stage) == [kept]

    play(tmp_path, scenario, nodes=2, models=TWICE, timing=SOON)


def test_a_model_that_failed_is_told_of_once_whoever_looks(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        system = stage.system
        await admins_hook(stage)
        await system.lose_scheduler()
        for engine_id in system.known_engines():
            system.kill_engine(engine_id)
        await system.change(BROKEN)
        await stage.host.hears(lambda: failed(stage))
        await until(lambda: system.rows("SELECT id FROM failed_models") == [("sim",)], "what is known")
        await system.restart_scheduler()
        await until(lambda: system.scheduler.fleet.models.states() == {"sim": "failed"}, "failed again")
        await system.ticks(2)
        assert failed(stage) == ["sim"]
        await system.change(SIM)
        await system.ready()
        await until(lambda: system.rows("SELECT id FROM failed_models") == [], "forgotten")
        await system.change(BROKEN)
        await stage.host.hears(lambda: len(failed(stage)) == 2)

    play(tmp_path, scenario, timing=SOON)


def test_a_model_that_is_tried_again_in_vain_is_told_of_once(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        system = stage.system
        await admins_hook(stage)
        await system.change(BROKEN)
        await stage.host.hears(lambda: failed(stage))

        async def has_failed_twice() -> bool:
            detail = await system.scheduler.model("sim")
            return detail is not None and len(detail.failures) == 2

        await until(has_failed_twice, "the second failure")
        await system.ticks(2)
        assert failed(stage) == ["sim"]

    play(tmp_path, scenario, timing=SOON)


def test_a_system_ends_though_its_ledger_cannot_be_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(stage: Scene) -> None:
        await are_known(stage.system, stage.system.node_ids)
        await stage.system.lose_ledger()
        assert await stage.system.scheduler.quiesce(5.0)
        await stage.system.start_ledger()

    play(tmp_path, scenario, timing=replace(SOON, database_s=0.2))
    assert "the next start may miss nodes that end with this system" in caplog.text


async def _system_with_a_hook(path: Path, host: Receiver, ends_well: bool) -> None:
    """A system of two nodes, which ends well or badly."""
    async with (
        PlainSystem(path, webhooks=HERE, nodes=2, models=TWICE, timing=SOON) as system,
        system.client() as client,
    ):
        await system.ready()
        answer = await client.post("/api/v1/webhooks", json={"url": host.url("/admin"), "events": OF_THE_SYSTEM})
        assert answer.status_code == 201
        await are_known(system, system.node_ids)
        if ends_well:
            assert await system.scheduler.quiesce(5.0)
        else:
            await system.lose_scheduler()


def test_nodes_that_ended_with_their_system_are_not_missed_by_the_next(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "infernet.db"
        await prepare_database(path)
        async with receiver() as host:
            await _system_with_a_hook(path, host, ends_well=True)
            async with PlainSystem(path, webhooks=HERE, timing=SOON) as system:
                await system.start_courier()
                await have_looked(system)
                await lose_node(system, system.node_ids[0])
                await host.hears(lambda: told_of(host, "node.offline"))
                assert told_of(host, "node.offline") == system.node_ids

    run(scenario())


def test_a_node_that_does_not_come_back_after_a_crash_of_everything_is_missed(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "infernet.db"
        await prepare_database(path)
        async with receiver() as host:
            await _system_with_a_hook(path, host, ends_well=False)
            async with PlainSystem(path, webhooks=HERE, timing=SOON) as system:
                await system.start_courier()
                await host.hears(lambda: told_of(host, "node.offline"))
                assert told_of(host, "node.offline") == ["node_0000000000000001"]
                await are_known(system, system.node_ids)

    run(scenario())
