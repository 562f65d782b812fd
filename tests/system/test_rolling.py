"""A model's settings change under streams: its engines are replaced, and every text stays exact."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from cluster.catalogue import Model, Replicas
from cluster.fleet.makes import make_of
from cluster.messages.records import FailedRecord
from tests.support.plain_system import SIM, PlainSystem, run, until
from tests.support.watch import Watch, at_rest


def model(replicas: int, drain_s: int = 0, **options: object) -> Model:
    return replace(SIM, replicas=Replicas(replicas, replicas, drain_s=drain_s), engine={**SIM.engine, **options})


def jobs(system: PlainSystem, count: int, max_tokens: int) -> Watch:
    return Watch(system, [system.job(f"Job {n}", max_tokens=max_tokens + n) for n in range(count)])


async def is_new(system: PlainSystem, wanted: Model) -> bool:
    """All engines that run are ready, and made of this."""
    reports = await system.engine_reports()
    made = [report for report in reports if report.state == "ready" and report.made_of == make_of(wanted)]
    return len(made) == len(reports) == wanted.replicas.min


async def fewest_ready(system: PlainSystem, wanted: Model) -> int:
    """The fewest replicas that the model had ready before all were new."""
    await system.ready(wanted.replicas.min)
    fewest = wanted.replicas.min
    while not await is_new(system, wanted):
        (view,) = await system.scheduler.models()
        fewest = min(fewest, view.replicas)
        await asyncio.sleep(0.001)
    return fewest


@pytest.mark.parametrize("drain_s", [0, 30])
def test_streams_go_on_while_one_replica_after_the_other_is_replaced(database: Path, drain_s: int) -> None:
    async def scenario() -> None:
        before, wanted = model(2, drain_s), model(2, drain_s, load_s=0.1)
        async with PlainSystem(database, [before], nodes=3) as system:
            await system.ready(2)
            watch = jobs(system, 12, 500)
            await watch.some(2_000)
            await system.change(wanted)
            assert await fewest_ready(system, wanted) == 2
            await watch.exact()
            assert watch.longest_silence_s < 1.0
            await at_rest(system)

    run(scenario())


def test_where_there_is_no_room_for_one_more_the_others_go_on(database: Path) -> None:
    async def scenario() -> None:
        before, wanted = model(2), model(2, load_s=0.1)
        async with PlainSystem(database, [before], nodes=2) as system:
            await system.ready(2)
            watch = jobs(system, 12, 800)
            await watch.some(2_000)
            await system.change(wanted)
            assert await fewest_ready(system, wanted) == 1
            await watch.exact()
            await at_rest(system)

    run(scenario())


def test_the_jobs_of_the_only_one_wait_for_its_successor_where_it_has_to_make_room(database: Path) -> None:
    async def scenario() -> None:
        before, wanted = model(1), model(1, load_s=0.2)
        async with PlainSystem(database, [before]) as system:
            await system.ready(1)
            watch = jobs(system, 8, 900)
            await watch.some(1_000)
            await system.change(wanted)
            await until(lambda: is_new(system, wanted), "the new one is there")
            assert not watch.done
            await watch.exact()

    run(scenario())


def test_old_ones_serve_on_where_new_ones_do_not_load_and_clients_are_told(database: Path) -> None:
    async def scenario() -> None:
        before, wanted = model(2), model(2, fail_on_load="no kernel for this")
        async with PlainSystem(database, [before], nodes=3) as system, system.client() as client:
            await system.ready(2)
            watch = jobs(system, 12, 500)
            await watch.some(2_000)
            await system.change(wanted)

            async def failed() -> bool:
                (told,) = (await client.get("/api/v1/models", params={"all": "true"})).json()["models"]
                return "no kernel for this" in told.get("state_message", "")

            await until(failed, "why it is not replaced is told")
            (told,) = (await client.get("/api/v1/models", params={"all": "true"})).json()["models"]
            assert (told["state"], told["replicas"]) == ("ready", 2)
            assert told["scaling"].endswith("; 2 of 2 replicas are of the settings before")
            await watch.exact()
            await Watch(system, [system.job("One more")]).exact()

    run(scenario())


def test_what_is_too_long_for_the_new_ones_ends_where_it_runs(database: Path) -> None:
    async def scenario() -> None:
        before, wanted = model(1), model(1, context_length=300)
        async with PlainSystem(database, [before], nodes=2) as system:
            await system.ready(1)
            (old,) = await system.engine_reports()
            watch = Watch(system, [system.job("Long", max_tokens=1_000), system.job("Short", max_tokens=250)])
            await watch.some(500)
            await system.change(wanted)
            await watch.exact()
            long, short = [await system.record(job.id) for job in watch.jobs]
            assert long.node_id == old.node_id != short.node_id
            await until(lambda: is_new(system, wanted), "the new one is alone")

    run(scenario())


def test_what_is_too_long_for_the_old_ones_is_refused_until_they_have_gone(database: Path) -> None:
    async def scenario() -> None:
        before, wanted = model(1, context_length=300), model(1, context_length=2_000, load_s=0.5)
        async with PlainSystem(database, [before], nodes=2) as system, system.client() as client:
            await system.ready(1)
            await system.change(wanted)
            await system.ready(1)
            body = {"model": "sim", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 900}
            refused = await client.post("/api/v1/jobs", json=body)
            assert (refused.status_code, refused.json()["error"]) == (400, "context_length_exceeded")
            await until(lambda: is_new(system, wanted), "the new one is alone")
            assert (await client.post("/api/v1/jobs", json=body)).status_code == 200

    run(scenario())


def test_the_jobs_of_a_model_that_is_no_longer_listed_end(database: Path) -> None:
    async def scenario() -> None:
        gone = replace(SIM, id="gone", aliases=())
        async with PlainSystem(database, [gone], nodes=1) as system:
            await system.ready(1)
            pinned = [system.job("Pinned", max_tokens=900, node_id=system.node_ids[0])]
            watch = Watch(system, [*pinned, system.job("Free", max_tokens=900)])
            await watch.some(100)
            await system.change(SIM)
            for job in watch.jobs:
                record = await system.ended(job.id)
                assert isinstance(record, FailedRecord)
                assert (record.error, record.error_message) == (
                    "model_not_found",
                    "Model gone is not registered on the network",
                )
                assert record.usage.completion_tokens > 0

    run(scenario())
