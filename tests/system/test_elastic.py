"""Models that scale with their jobs, and nodes that are drained under streams: every text stays exact."""

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from cluster.catalogue import Model, Replicas
from cluster.ids import NodeId
from cluster.messages.machines import Hardware, ModelView
from tests.support.plain_system import SIM, PlainSystem, run, until
from tests.support.watch import Watch, at_rest


def elastic(least: int, most: int, slots: int = 16, drain_s: int = 0) -> Model:
    replicas = Replicas(least, most, idle_s=1, drain_s=drain_s)
    return replace(SIM, replicas=replicas, engine={**SIM.engine, "batch_slots": slots})


async def view(system: PlainSystem) -> ModelView:
    (model,) = await system.scheduler.models()
    return model


def test_a_model_at_rest_runs_nothing_and_its_next_job_starts_it(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [elastic(0, 1)]) as system:
            await until(lambda: system.scheduler.fleet.knows_node(system.node_ids[0]), "the node")
            for _ in range(2):
                assert ((await view(system)).state, system.known_engines()) == ("idle", [])
                watch = Watch(system, [system.job("Hello", max_tokens=50)])
                await watch.exact()
                assert (await view(system)).state == "ready"
                await at_rest(system)
                await until(lambda: not system.known_engines(), "no engine is left")

    run(scenario())


def test_replicas_follow_the_load_and_go_again(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [elastic(0, 3, slots=2)], nodes=3) as system:
            await until(lambda: all(map(system.scheduler.fleet.knows_node, system.node_ids)), "the nodes")
            watch = Watch(system, [system.job(f"Job {n}", max_tokens=400 + n) for n in range(6)])
            await system.ready(3)
            told = await view(system)
            assert (told.wanted, told.nodes) == (3, 3)
            assert told.scaling.startswith("3 replicas, the most there may be: 6 jobs")
            await watch.exact()
            await until(lambda: not system.known_engines(), "no engine is left")
            assert (await view(system)).scaling == "no replica: the next job starts one"
            await at_rest(system)

    run(scenario())


def test_clients_see_what_a_model_waits_for_and_its_job_runs_on_the_machine_that_comes(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [elastic(0, 1)], nodes=0) as system, system.client() as client:
            system.cluster.elastic = True
            system.cluster.join(NodeId("node_head"), Hardware("head", cpus=0.0, memory_bytes=1 << 30))
            watch = Watch(system, [system.job("Hello", max_tokens=50)])

            async def starting() -> str:
                (model,) = (await client.get("/api/v1/models", params={"all": "true"})).json()["models"]
                return str(model.get("starting", ""))

            await until(lambda: waits_for(starting, "waits for a machine"))
            (head,) = (await client.get("/api/v1/nodes")).json()["nodes"]
            assert (head["hostname"], head["status"], head["engines"]) == ("head", "idle", [])
            system.node_ids.append(NodeId("node_1"))
            await system.start_node(NodeId("node_1"))
            await watch.exact()
            assert await starting() == ""

    run(scenario())


async def waits_for(starting: Callable[[], Awaitable[str]], what: str) -> bool:
    return (await starting()).startswith(what)


def test_what_runs_on_a_node_that_is_drained_moves_in_the_middle_of_its_text(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [elastic(2, 2)], nodes=2) as system:
            await system.ready()
            watch = Watch(system, [system.job(f"Job {n}", max_tokens=300 + n) for n in range(12)])
            await watch.some(2_000)
            drained, other = system.node_ids
            await system.gateway.nodes.drain(drained, drains=True)
            await until(lambda: len(system.known_engines()) == 1, "the drained node's engine has ended")
            assert not watch.done
            await watch.exact()
            assert {(await system.record(job.id)).node_id for job in watch.jobs} == {other}
            await system.gateway.nodes.drain(drained, drains=False)
            await system.ready(2)
            await at_rest(system)

    run(scenario())


def test_pinned_jobs_and_those_without_room_elsewhere_end_where_they_are(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [elastic(2, 2, slots=2)], nodes=2) as system:
            await system.ready()
            drained, other = system.node_ids
            jobs = [system.job(f"Job {n}", max_tokens=200, node_id=drained) for n in range(2)]
            watch = Watch(system, [*jobs, *(system.job(f"Other {n}", max_tokens=100) for n in range(2))])
            await watch.some(500)
            await system.gateway.nodes.drain(drained, drains=True)
            await watch.exact()
            nodes = [(await system.record(job.id)).node_id for job in watch.jobs]
            assert nodes == [drained, drained, other, other]

    run(scenario())


@pytest.mark.parametrize("seed", range(3))
def test_streams_survive_drains_scaling_and_deaths_one_after_the_other_and_at_once(database: Path, seed: int) -> None:
    random_ = random.Random(seed)

    async def scenario() -> None:
        async with PlainSystem(database, [elastic(1, 3, slots=8)], nodes=3) as system:
            await system.ready(1)
            for round_ in range(4):
                jobs = [system.job(f"Job {round_}.{n}", max_tokens=random_.randint(50, 400)) for n in range(18)]
                watch = Watch(system, jobs)
                drained = random_.choice(system.node_ids)
                await watch.some(random_.randint(500, 3_000))
                await system.gateway.nodes.drain(drained, drains=True)
                if random_.random() < 0.7:
                    await disturb(system, random_)
                await watch.some(random_.randint(200, 2_000))
                await system.gateway.nodes.drain(drained, drains=False)
                await watch.exact()
            await at_rest(system)

    run(scenario())


@pytest.mark.parametrize("seed", range(5))
def test_no_stream_is_lost_with_ten_machines_that_are_taken_away_with_notice(database: Path, seed: int) -> None:
    """Fifty of them in all, some while another process is killed. Each is gone when its notice has run out."""
    random_ = random.Random(seed)

    async def scenario() -> None:
        async with PlainSystem(database, [elastic(2, 3, slots=12, drain_s=30)], nodes=3) as system:
            system.cluster.elastic = True
            await system.ready(2)
            longest_s = 0.0
            for round_ in range(10):
                jobs = [system.job(f"Job {round_}.{n}", max_tokens=random_.randint(100, 300)) for n in range(12)]
                watch = Watch(system, jobs)
                await watch.some(random_.randint(200, 2_000))
                taken = random_.choice(system.node_ids)
                system.cluster.leaves_at_ms[taken] = system.clock.wall_ms() + NOTICE_MS
                if random_.random() < 0.5:
                    await disturb(system, random_)
                await until(lambda node_id=taken: not running_on(system, node_id), "its jobs have gone on elsewhere")
                await watch.each_goes_on()  # as they do long before the notice has run out
                await take_away(system, taken)
                await watch.exact()
                longest_s = max(longest_s, watch.longest_silence_s)
                del system.cluster.leaves_at_ms[taken]
                await system.start_node(taken)
                await system.ready(2)
            await at_rest(system)
            assert longest_s < 2.0, longest_s

    run(scenario(), limit_s=90.0)


NOTICE_MS = 10_050
"""All that runs on a machine goes on elsewhere ten seconds before it is taken away."""


def running_on(system: PlainSystem, node_id: NodeId) -> int:
    return sum(len(replica.tokens_of) for replica in system.scheduler.fleet.replicas if replica.node_id == node_id)


async def take_away(system: PlainSystem, node_id: NodeId) -> None:
    """The machine ends, and with it all that is there."""
    for engine_id, place in list(system.cluster.places.items()):
        if place == node_id and engine_id in system.known_engines():
            system.kill_engine(engine_id)
    await system.kill_node(node_id)
    system.cluster.leave(node_id)


async def disturb(system: PlainSystem, random_: random.Random) -> None:
    """One process dies: an engine, the Journal, the Scheduler, or a node's agent."""
    match random_.randrange(4):
        case 0:
            if engines := system.known_engines():
                system.kill_engine(random_.choice(engines))
        case 1:
            await system.restart_journal()
        case 2:
            await system.restart_scheduler()
        case _:
            node_id = random_.choice(system.node_ids)
            await system.kill_node(node_id)
            await system.start_node(node_id)
