"""GET /jobs/{id}/timeline, of jobs that lose their engine or their Journal."""

from pathlib import Path
from typing import Any

import httpx
from msgspec.structs import replace

from cluster.catalogue import Replicas
from cluster.ids import JobId
from tests.support.http_door import with_api
from tests.support.plain_system import SIM, PlainSystem, until
from tests.support.watch import Watch

SLOW = replace(SIM, engine={**SIM.engine, "token_s": 0.005})
TWO = replace(SLOW, replicas=Replicas(2, 2), cpus=0.5)


async def timeline(client: httpx.AsyncClient, job_id: JobId) -> list[dict[str, Any]]:
    answer = await client.get(f"/api/v1/jobs/{job_id}/timeline")
    assert answer.status_code == 200, answer.text
    events: list[dict[str, Any]] = answer.json()["timeline"]
    return events


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


def test_a_job_that_loses_its_engine_tells_both_its_lives_while_it_runs_and_after(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        await system.ready(engines=2)
        job = system.job(max_tokens=200)
        watch = Watch(system, [job])
        await watch.some(10)
        (first,) = [report.id for report in await system.engine_reports() if report.running]
        system.kill_engine(first)

        async def goes_on() -> bool:
            return names(await timeline(client, job.id)).count("first_token") == 2

        await until(goes_on, "the second first token")
        running = await timeline(client, job.id)
        assert names(running) == ["queued", "placed", "first_token", "moved", "placed", "first_token"]
        moved, placed = running[3], running[4]
        assert (moved["engine_id"], moved["attempt"], moved["moved_by"]) == (first, 1, "engine died")
        assert placed["engine_id"] != first
        assert placed["attempt"] == 2
        await watch.exact()
        ended = await timeline(client, job.id)
        assert ended[:-1] == running
        assert ended[-1]["event"] == "ended"

    with_api(database, scenario, models=[TWO])


def test_what_a_journal_before_may_have_heard_first_is_not_told(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        job = system.job(max_tokens=200)
        watch = Watch(system, [job])
        await watch.some(10)
        await system.restart_journal()
        await watch.exact()
        assert names(await timeline(client, job.id)) == ["queued", "placed", "ended"]

    with_api(database, scenario, models=[SLOW])
