"""Replicas over two machines: what is done to the further one is done to the replica, and every text stays exact."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from cluster.catalogue import Model, Replicas
from cluster.ids import EngineId, NodeId
from tests.support.plain_system import SIM, PlainSystem, run, until
from tests.support.watch import Watch, at_rest


def over_two(drain_s: int = 0) -> Model:
    return replace(SIM, machines=2, replicas=Replicas(1, 1, drain_s=drain_s))


def machines_of(system: PlainSystem, engine_id: EngineId) -> tuple[NodeId, ...]:
    return system.cluster.machines_of(engine_id)


def jobs(system: PlainSystem) -> Watch:
    return Watch(system, [system.job(f"Job {n}", max_tokens=300 + n) for n in range(12)])


@pytest.mark.parametrize("part_ends_its_engine", [True, False])
def test_streams_go_on_when_a_further_machine_is_lost(database: Path, part_ends_its_engine: bool) -> None:
    """Whether the engine hears of it first, or only the cluster tells."""

    async def scenario() -> None:
        async with PlainSystem(database, [over_two()], nodes=3) as system:
            await system.ready(1)
            (engine,) = system.known_engines()
            first, further = machines_of(system, engine)
            watch = jobs(system)
            await watch.some(2_000)
            await system.kill_node(further)
            system.cluster.leave(further)
            if part_ends_its_engine:
                system.kill_engine(engine)
            await watch.exact()
            (again,) = system.known_engines()
            assert again != engine
            assert set(machines_of(system, again)) == {*system.node_ids} - {further}
            assert {order.engine_id for order in system.cluster.seats.values()} == {again}
            assert {(await system.record(job.id)).node_id for job in watch.jobs} <= {first, *machines_of(system, again)}
            await at_rest(system)

    run(scenario())


def test_what_a_replica_runs_moves_when_its_further_machine_is_drained(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [over_two()], nodes=4) as system:
            await system.ready(1)
            (engine,) = system.known_engines()
            _, further = machines_of(system, engine)
            watch = jobs(system)
            await watch.some(2_000)
            await system.gateway.nodes.drain(further, drains=True)
            await until(lambda: system.known_engines() and engine not in system.known_engines(), "it has ended")
            assert not watch.done
            await watch.exact()
            (again,) = system.known_engines()
            assert further not in machines_of(system, again)
            await at_rest(system)

    run(scenario())


def test_what_a_replica_runs_moves_before_its_further_machine_is_taken_away(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [over_two(drain_s=30)], nodes=4) as system:
            await system.ready(1)
            (engine,) = system.known_engines()
            _, further = machines_of(system, engine)
            watch = jobs(system)
            await watch.some(1_000)
            system.cluster.leaves_at_ms[further] = system.clock.wall_ms() + 10_050
            await until(lambda: engine not in system.known_engines(), "it has ended")
            await system.kill_node(further)
            system.cluster.leave(further)
            await watch.exact()
            assert watch.longest_silence_s < 2.0
            await at_rest(system)

    run(scenario())


def test_a_new_scheduler_keeps_the_replica_and_loses_it_with_its_further_machine(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [over_two()], nodes=4) as system:
            await system.ready(1)
            (engine,) = system.known_engines()
            _, further = machines_of(system, engine)
            watch = jobs(system)
            await watch.some(1_000)
            await system.restart_scheduler()
            await system.ready(1)
            assert system.known_engines() == [engine]
            await until(lambda: len(_replica_machines(system, engine)) == 2, "it knows both machines")
            await system.kill_node(further)
            system.cluster.leave(further)
            await watch.exact()
            assert engine not in system.known_engines()
            await at_rest(system)

    run(scenario())


def test_it_is_one_replica_at_two_nodes(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [over_two()], nodes=2) as system, system.client() as client:
            await system.ready(1)
            nodes = (await client.get("/api/v1/nodes")).json()["nodes"]
            assert [[engine["id"] for engine in node["engines"]] for node in nodes] == [["sim/0"], ["sim/0"]]
            (model,) = (await client.get("/api/v1/models", params={"all": "true"})).json()["models"]
            assert (model["replicas"], model["nodes"]) == (1, 2)
            metrics = (await client.get("/metrics")).text
            assert 'infernet_replicas{model="sim",state="ready"} 1.0' in metrics

    run(scenario())


def _replica_machines(system: PlainSystem, engine_id: EngineId) -> tuple[NodeId, ...]:
    replica = system.scheduler.fleet.replica(engine_id)
    return () if replica is None else tuple(machine.id for machine in replica.machines)
