"""Engines that fail, hang or die of a prompt, beside one that is well."""

import asyncio
from pathlib import Path

from msgspec.structs import replace

from actors.backends.simulated import simulated_text
from cluster.ids import EngineId
from cluster.leases.suspicion import MOST_LOSSES
from cluster.messages.work import Failed, Finished, Submission
from tests.support.plain_system import QUICK, SIM, PlainSystem, replicated, run

CLIENTS, JOBS_OF_EACH = 8, 15


def test_beside_a_good_engine_one_that_fails_at_once_fails_no_job(database: Path) -> None:
    """It always has the least to do: without memory of its failures it would get every job."""

    async def scenario() -> None:
        faults = {EngineId("sim/0"): {"fail_at_token": 0}}
        async with PlainSystem(database, [replicated(SIM, 2)], nodes=2, faults=faults) as system:
            await system.ready()

            async def client() -> list[type]:
                """Ask one job after the other. Returns how each ended."""
                ends = []
                for _ in range(JOBS_OF_EACH):
                    job = system.job(max_tokens=5)
                    await system.gateway.intake.submit(Submission(job))
                    _, end = await system.read(job.id)
                    ends.append(type(end))
                return ends

            ends = [end for ends in await asyncio.gather(*(client() for _ in range(CLIENTS))) for end in ends]
            assert ends == [Finished] * (CLIENTS * JOBS_OF_EACH)
            tried = system.rows("SELECT count(*) FROM placements WHERE engine_id = 'sim/0'")[0][0]
            assert 1 <= tried <= 2 * CLIENTS

    run(scenario())


def test_an_engine_that_fails_after_the_first_token_ends_the_job(database: Path) -> None:
    async def scenario() -> None:
        faults = {EngineId("sim/0"): {"fail_at_token": 3}}
        async with PlainSystem(database, faults=faults) as system:
            await system.ready()
            job = system.job(max_tokens=5)
            await system.gateway.intake.submit(Submission(job))
            text, end = await system.read(job.id)
            assert text == simulated_text(job.messages, None, 3)
            assert isinstance(end, Failed) and end.error == "engine_error"

    run(scenario())


def test_the_jobs_of_an_engine_that_hangs_go_on_elsewhere(database: Path) -> None:
    """It answers whoever asks, and the thread that generates waits for something that will not come."""

    async def scenario() -> None:
        faults = {EngineId("sim/0"): {"freeze_at_token": 20}}
        timing = replace(QUICK, stall_s=0.2)
        async with PlainSystem(database, [replicated(SIM, 2)], nodes=2, faults=faults, timing=timing) as system:
            await system.ready()
            jobs = [system.job(f"Job {n}", max_tokens=60) for n in range(8)]
            for job in jobs:
                await system.gateway.intake.submit(Submission(job))
            for job in jobs:
                text, end = await system.read(job.id)
                assert isinstance(end, Finished)
                assert text == simulated_text(job.messages, None, 60)
            assert EngineId("sim/0") not in system.known_engines()

    run(scenario())


def test_a_generation_that_hangs_beside_others_does_not_cost_them_their_engine(database: Path) -> None:
    async def scenario() -> None:
        faults = {EngineId("sim/0"): {"hang_at_token": 20}}
        async with PlainSystem(database, faults=faults, timing=replace(QUICK, stall_s=0.2)) as system:
            await system.ready()
            hanging, short = system.job("hangs", max_tokens=30), system.job("ends", max_tokens=10)
            await system.gateway.intake.submit(Submission(replace(hanging, deadline_ms=hanging.created_ms + 1000)))
            await system.gateway.intake.submit(Submission(short))
            assert (await system.read(short.id))[0] == simulated_text(short.messages, None, 10)
            _, end = await system.read(hanging.id)
            assert isinstance(end, Failed) and end.error == "timeout"
            assert system.known_engines() == ["sim/0"]

    run(scenario())


def test_a_prompt_that_engines_die_of_ends_and_takes_nobody_with_it(database: Path) -> None:
    async def scenario() -> None:
        model = replace(replicated(SIM, 2), engine={**SIM.engine, "die_of": "poison"})
        async with PlainSystem(database, [model], nodes=2) as system:
            await system.ready()
            jobs = [system.job(f"Job {n}", max_tokens=200) for n in range(12)]
            poison = system.job("poison")
            for job in (*jobs[:6], poison, *jobs[6:]):
                await system.gateway.intake.submit(Submission(job))
            text, end = await system.read(poison.id)
            assert text == ""
            assert isinstance(end, Failed) and end.error == "engine_error"
            for job in jobs:
                text, end = await system.read(job.id)
                assert isinstance(end, Finished)
                assert text == simulated_text(job.messages, None, 200)
            numbers = [int(engine_id.rpartition("/")[2]) for engine_id in system.engines]
            assert max(numbers) + 1 <= 2 + MOST_LOSSES

    run(scenario())
