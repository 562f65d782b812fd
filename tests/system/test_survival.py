"""The whole system in plain objects, and what may be killed while jobs run: every stream stays exact."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.journal import Journal
from cluster.ids import NodeId
from cluster.leases.suspicion import MAX_ATTEMPTS
from tests.support.plain_system import QUICK, SIM, PlainSystem, replicated, run, until
from tests.support.watch import Watch, at_rest, expected

TWO = replicated(SIM, 2)
Deed = Callable[[PlainSystem], Awaitable[None]]


async def _is_empty(journal: Journal) -> bool:
    return not (await journal.held())[0]


async def kill_an_engine(system: PlainSystem) -> None:
    working = [r.id for r in system.scheduler.fleet.replicas if r.tokens_of]
    for engine_id in working[:1]:
        system.kill_engine(engine_id)


async def kill_every_engine(system: PlainSystem) -> None:
    for engine_id in system.known_engines():
        system.kill_engine(engine_id)


async def restart_journal(system: PlainSystem) -> None:
    await system.restart_journal()


async def restart_scheduler(system: PlainSystem) -> None:
    await system.restart_scheduler()


async def restart_a_node(system: PlainSystem) -> None:
    node_id = system.node_ids[0]
    await system.kill_node(node_id)
    await system.start_node(node_id)


async def another_ingress(system: PlainSystem) -> None:
    """A reader that comes through a replica of its own, and leaves."""
    gateway = system.new_gateway()
    await gateway.start()
    await gateway.stop()


DEEDS: dict[str, Deed] = {
    deed.__name__: deed
    for deed in (kill_an_engine, restart_journal, restart_scheduler, restart_a_node, another_ingress)
}


def test_an_undisturbed_run(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database) as system:
            watch = Watch(system, [system.job(f"Job {n}", max_tokens=30 + n, seed=n) for n in range(5)])
            await watch.exact()
            await at_rest(system)

    run(scenario())


def test_streams_that_are_renewed_again_and_again_lose_nothing(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.wire.frames.RENEW_AFTER_FRAMES", 3)

    async def scenario() -> None:
        async with PlainSystem(database, [TWO]) as system:
            await system.ready()
            watch = Watch(system, [system.job(f"Job {n}", max_tokens=60 + n) for n in range(20)])
            await watch.exact()
            await at_rest(system)

    run(scenario())


def test_an_engine_is_killed_midway(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [TWO], nodes=2) as system:
            await system.ready()
            watch = Watch(system, [system.job(f"Job {n}", max_tokens=100 + n) for n in range(20)])
            await watch.some(2000)
            before = set(system.known_engines())
            await kill_an_engine(system)
            await watch.exact()
            await system.ready(2)
            assert len(set(system.known_engines()) - before) == 1
            await at_rest(system)

    run(scenario())


def test_jobs_move_to_the_engine_that_is_left(database: Path) -> None:
    """No machine has room for a new engine: the jobs of the dead one go on where the others run."""

    async def scenario() -> None:
        async with PlainSystem(database, [TWO], nodes=2) as system:
            await system.ready()
            watch = Watch(system, [system.job(f"Job {n}", max_tokens=80) for n in range(12)])
            await watch.some(1000)
            victim = next(iter(system.scheduler.fleet.replicas))
            await system.kill_node(victim.node_id)
            system.kill_engine(victim.id)
            await watch.exact()
            nodes = {(await system.record(job.id)).node_id for job in watch.jobs}
            assert nodes - {victim.node_id}

    run(scenario())


def test_every_engine_is_killed_at_once(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [TWO], nodes=2) as system:
            await system.ready()
            watch = Watch(system, [system.job(f"Job {n}", max_tokens=60) for n in range(10)])
            await watch.some(500)
            for engine_id in system.known_engines():
                system.kill_engine(engine_id)
            await watch.exact()
            await at_rest(system)

    run(scenario())


def test_the_journal_is_restarted_midway(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [TWO], nodes=2) as system:
            await system.ready()
            watch = Watch(system, [system.job(f"Job {n}", max_tokens=100) for n in range(20)])
            for _ in range(3):
                await watch.some(1000)
                await system.restart_journal()
            await watch.exact()
            await at_rest(system)

    run(scenario())


def test_journal_and_engine_are_lost_together(database: Path) -> None:
    """What was streamed is known to readers only. They are told that it is lost, though the new text is the same."""

    async def scenario() -> None:
        async with PlainSystem(database, [TWO], nodes=2) as system:
            await system.ready()
            watch = Watch(system, [system.job(f"Job {n}", max_tokens=100) for n in range(10)])
            await watch.some(1500)
            await kill_an_engine(system)
            await system.restart_journal()
            await watch.exact(may_lose=True)
            assert watch.lost

    run(scenario())


@pytest.mark.parametrize(
    "deeds", [(kill_every_engine, restart_journal), (restart_scheduler, kill_every_engine, restart_journal)]
)
def test_an_end_that_was_heard_and_not_written_is_not_lost_with_the_journal(
    database: Path, deeds: tuple[Deed, ...]
) -> None:
    """All that is left to say of the jobs is that they ended, and the Journal was about to write it down."""

    async def scenario() -> None:
        async with PlainSystem(database, [TWO], nodes=2) as system:
            await system.ready()
            finish, never = system.ledger.finish, asyncio.Event()
            system.ledger.finish = lambda *_: never.wait()  # type: ignore[method-assign, assignment, return-value]
            watch = Watch(system, [system.job(f"Job {n}", max_tokens=5) for n in range(4)])

            async def generated() -> bool:
                reports = await system.engine_reports()
                return sum(len(r.running) for r in reports) == 4 and not any(r.generating for r in reports)

            await until(generated, "four ends")
            for deed in deeds:
                # What follows from the deed before.
                await system.ticks(15)
                await deed(system)
            system.ledger.finish = finish  # type: ignore[method-assign]
            await watch.exact(may_lose=True)
            await at_rest(system)

    run(scenario())


def test_the_scheduler_is_restarted_midway(database: Path) -> None:
    """Engines go on with what they run; what waited in the queue runs afterwards."""

    async def scenario() -> None:
        async with PlainSystem(database, [TWO], nodes=2) as system:
            await system.ready()
            watch = Watch(system, [system.job(f"Job {n}", max_tokens=80) for n in range(40)])
            await watch.some(1500)
            engines = set(system.known_engines())
            await system.restart_scheduler()
            await watch.exact()
            await at_rest(system)
            assert set(system.known_engines()) == engines

    run(scenario())


def test_any_number_of_scheduler_restarts_does_not_fail_a_job_that_never_ran(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, nodes=0) as system:
            watch = Watch(system, [system.job()])
            await until(lambda: len(system.scheduler.leases.places.queue), "a job that waits")
            for _ in range(MAX_ATTEMPTS + 1):
                await system.restart_scheduler()
                await until(lambda: len(system.scheduler.leases.places.queue), "the job waiting again")
            system.node_ids.append(NodeId("node_late"))
            await system.start_node(system.node_ids[0])
            await watch.exact()

    run(scenario())


def test_a_node_actor_is_restarted_midway(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database) as system:
            await system.ready()
            watch = Watch(system, [system.job(f"Job {n}", max_tokens=80) for n in range(8)])
            await watch.some(500)
            engines = system.known_engines()
            await restart_a_node(system)
            await watch.exact()
            assert system.known_engines() == engines

    run(scenario())


def test_the_scheduler_dies_with_an_engine(database: Path) -> None:
    """The new one waits for engines that will not come, then takes the jobs up again."""

    async def scenario() -> None:
        async with PlainSystem(database, [TWO], nodes=2) as system:
            await system.ready()
            watch = Watch(system, [system.job(f"Job {n}", max_tokens=80) for n in range(10)])
            await watch.some(800)
            await kill_an_engine(system)
            await system.restart_scheduler()
            await watch.exact()
            await at_rest(system)

    run(scenario())


def test_readers_of_another_replica_see_the_same(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [TWO], nodes=2) as system:
            await system.ready()
            other = system.new_gateway()
            await other.start()
            job = system.job(max_tokens=150)
            watch = Watch(system, [job])
            await watch.some(200)
            elsewhere = [asyncio.create_task(system.read(job.id, after, other)) for after in (0, 7, 150)]
            await kill_an_engine(system)
            await watch.exact()
            for after, reading in zip((0, 7, 150), elsewhere, strict=True):
                assert (await reading)[0] == expected(job)[after:]
            await other.stop()

    run(scenario())


def test_a_job_that_ended_long_ago_is_read_as_often_as_asked(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, timing=replace(QUICK, linger_s=0.0)) as system:
            await system.ready()
            job = system.job()
            watch = Watch(system, [job])
            await watch.exact()
            await until(lambda: _is_empty(system.journal), "an empty journal")
            other = system.new_gateway()
            await other.start()
            for gateway in (system.gateway, other, system.gateway):
                assert (await system.read(job.id, gateway=gateway))[0] == expected(job)
            await until(lambda: _is_empty(system.journal), "an empty journal")
            await other.stop()

    run(scenario())


def test_an_attempt_that_was_shut_out_before_a_restart_does_not_hold_the_job(database: Path) -> None:
    """Its node was silent, so the job was fenced and queued; then the Scheduler dies, and the node comes back."""

    async def scenario() -> None:
        slow = replace(SIM, engine={**SIM.engine, "token_s": 0.005})
        async with PlainSystem(database, [slow]) as system:
            await system.ready()
            watch = Watch(system, [system.job(max_tokens=60)])
            await watch.some(20)
            await system.journal.fence([(watch.jobs[0].id, 1)])
            await system.restart_scheduler()
            await watch.exact()

    run(scenario())


@pytest.mark.parametrize("seed", range(10))
def test_any_disturbance_at_any_moment(database: Path, seed: int) -> None:
    chance = random.Random(seed)

    async def scenario() -> None:
        async with PlainSystem(database, [TWO], nodes=2) as system:
            await system.ready()
            jobs = [system.job(f"{seed} {n}", max_tokens=chance.randint(1, 90)) for n in range(20)]
            watch = Watch(system, jobs)
            deeds = [chance.choice(sorted(DEEDS)) for _ in range(chance.randint(1, 4))]
            for deed in deeds:
                await watch.some(chance.randint(1, 1200))
                await DEEDS[deed](system)
            # Where two processes were lost, a text may be, and then it is told.
            await watch.exact(may_lose={"kill_an_engine", "restart_journal"} <= set(deeds))
            late = chance.choice(jobs)
            for _ in range(2):
                assert (await system.read(late.id))[0] == expected(late)
            await at_rest(system)

    run(scenario())
