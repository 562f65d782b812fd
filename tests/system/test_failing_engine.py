"""An engine that fails at once always has the least to do. It must not attract every job."""

import asyncio
from pathlib import Path

from cluster.ids import EngineId
from cluster.messages.work import Failed, Finished, Submission
from tests.support.plain_system import SIM, PlainSystem, replicated, run

CLIENTS, JOBS_OF_EACH = 8, 15


def test_beside_a_good_engine_one_that_fails_at_once_gets_no_more_than_the_first_jobs(database: Path) -> None:
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
            assert ends.count(Failed) + ends.count(Finished) == CLIENTS * JOBS_OF_EACH
            assert 1 <= ends.count(Failed) <= CLIENTS

    run(scenario())
