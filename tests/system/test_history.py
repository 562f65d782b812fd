"""GET /api/v1/history, and what it is made of: the ends of jobs, and what the Scheduler sees."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from msgspec.structs import replace

from cluster.catalogue import Price
from cluster.measures.measures import Measures
from tests.support.http_door import door, is_error, names_field, with_api
from tests.support.plain_system import SIM, PlainSystem, replicated, run, until
from tests.support.watch import Watch

PRICED = replace(SIM, price=Price(prompt=1, completion=2))
JOB: dict[str, Any] = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 40}
COUNTS = {"minute", "jobs_completed", "jobs_failed", "prompt_tokens", "completion_tokens", "cost"}
SEEN = {"queued", "running"}


async def measured(system: PlainSystem) -> Measures:
    (counted,) = (await system.ledger.totals()).measures
    return counted.measures


async def history(client: httpx.AsyncClient, query: str = "") -> Any:
    answer = await client.get(f"/api/v1/history{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def of_all(minutes: list[dict[str, Any]], name: str) -> int:
    return sum(minute[name] for minute in minutes)


def test_the_last_hour_is_told_by_minutes(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        done = [(await client.post("/api/v1/jobs", json=JOB)).json()["id"] for _ in range(3)]
        for job_id in done:
            await system.ended(job_id)
        refused = await client.post("/api/v1/jobs", json=JOB | {"model": "none"})
        assert refused.status_code == 404
        await until(lambda: system.scheduler.leases.idle, "an engine that is idle")
        report = await history(client)
        minutes = report["minutes"]
        assert len(minutes) == 60
        starts = [datetime.fromisoformat(minute["minute"]) for minute in minutes]
        assert all(later - earlier == timedelta(minutes=1) for earlier, later in pairwise(starts))
        assert timedelta() <= datetime.now(UTC) - starts[-1] < timedelta(minutes=1, seconds=10)
        assert of_all(minutes, "jobs_completed") == 3
        assert of_all(minutes, "completion_tokens") == 120
        (usage,) = (await client.get("/api/v1/usage")).json()["usage"]
        assert report["cost_today"] == usage["cost"] == of_all(minutes, "cost") > 0
        # What nobody saw is left out, and so are percentiles of nothing.
        assert set(minutes[0]) == COUNTS
        assert set(minutes[-1]) >= COUNTS | SEEN
        busy = next(minute for minute in minutes if minute["jobs_completed"])
        assert 0 < busy["first_text_p50_s"] <= busy["first_text_p95_s"] < 10
        assert all(minute["tokens_per_second"] >= 0 for minute in minutes if "tokens_per_second" in minute)

    with_api(database, scenario, models=[PRICED])


def test_so_many_minutes_as_are_asked_for(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        for minutes in (1, 1440):
            assert len((await history(client, f"?minutes={minutes}"))["minutes"]) == minutes
        for wrong in ("0", "1441", "-1", "x", "1.5", ""):
            assert names_field(await client.get(f"/api/v1/history?minutes={wrong}"), "minutes")
        assert names_field(await client.get("/api/v1/history?minute=5"), "minute")

    with_api(database, scenario)


def test_only_admins_are_told(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        made = await client.post("/api/v1/keys", json={"name": "member"})
        async with door(system.gateway, made.json()["key"]) as member:
            assert is_error(await member.get("/api/v1/history"), 403, "forbidden")

    with_api(database, scenario)


def test_what_waits_and_runs_and_how_fast_tokens_come_is_seen(database: Path) -> None:
    one_slot = replace(SIM, engine=dict(SIM.engine) | {"batch_slots": 1})

    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        jobs = [(await client.post("/api/v1/jobs", json=JOB | {"max_tokens": 300})).json()["id"] for _ in range(4)]

        async def is_seen() -> bool:
            last = (await history(client, "?minutes=2"))["minutes"]
            most = {name: max(minute.get(name, 0) for minute in last) for name in ("queued", "running")}
            fast = any(minute.get("tokens_per_second", 0) > 0 for minute in last)
            return most["queued"] >= 1 and most["running"] >= 1 and fast

        await until(is_seen, "jobs that wait and run in the history")
        for job_id in jobs:
            await system.ended(job_id)

    with_api(database, scenario, models=[one_slot])


def test_a_job_that_moves_is_measured_with_its_attempts_and_its_silence(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [replicated(SIM, 2)], nodes=2) as system:
            await system.ready()
            watch = Watch(system, [system.job(f"Job {n}", max_tokens=100) for n in range(6)])
            await watch.some(100)
            victim = next(r.id for r in system.scheduler.fleet.replicas if r.tokens_of)
            moved = len(next(r for r in system.scheduler.fleet.replicas if r.id == victim).tokens_of)
            system.kill_engine(victim)
            await watch.exact()
            sums = await measured(system)
            assert sums.completed == 6
            assert sums.attempts == {"new job": 6, "engine died": moved}
            assert sums.queue_wait.count == sums.first_text.count == sums.per_token.count == 6
            assert 1 <= sums.gaps.count <= moved  # one that had said nothing yet has no silence

    run(scenario())


def test_who_restarts_does_not_count_again_and_tells_no_first_word_that_it_did_not_hear(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database) as system:
            await system.ready()
            watch = Watch(system, [system.job(f"Job {n}", max_tokens=150) for n in range(5)])
            await watch.some(50)
            await system.restart_journal()
            await system.restart_scheduler()
            await watch.exact()
            sums = await measured(system)
            assert (sums.completed, sums.completion_tokens, sums.first_text.count) == (5, 750, 0)
            await system.ledger.stop()
            await system.start_ledger()
            assert await measured(system) == sums

    run(scenario())
