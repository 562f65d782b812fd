"""`max_queued` of an account: how many of its jobs may wait for an engine, whatever they came by."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from msgspec.structs import replace

from api.replica.gateway import Gateway
from cluster.messages.people import KeyLimits
from tests.support.http_door import door, is_error, names_field, with_api
from tests.support.plain_system import SIM, PlainSystem

HANGING = replace(SIM, engine={**SIM.engine, "batch_slots": 2, "hang_at_token": 3})
OTHER = replace(SIM, id="other", aliases=(), engine={**SIM.engine, "batch_slots": 2, "hang_at_token": 3})
MANY = KeyLimits(submissions_per_minute=10_000, submissions_per_hour=10_000)
MOST = 5


def job(model: str = "sim", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9, **fields}


async def secret_of(admin: httpx.AsyncClient, **account: Any) -> str:
    made = (await admin.post("/api/v1/accounts", json={"name": "someone", **account})).json()
    secret: str = (await admin.post("/api/v1/keys", json={"name": "a key", "account": made["id"]})).json()["key"]
    return secret


@asynccontextmanager
async def replica(system: PlainSystem) -> AsyncIterator[Gateway]:
    """Another ingress replica."""
    gateway = system.new_gateway()
    await gateway.start()
    yield gateway
    await gateway.stop()


def test_so_many_may_wait_and_no_more_through_all_replicas_at_once(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        secret = await secret_of(admin, max_queued=MOST)
        async with replica(system) as second, door(system.gateway, secret) as here, door(second, secret) as there:
            answers = await asyncio.gather(
                *(client.post("/api/v1/jobs", json=job()) for client in (here, there) for _ in range(30))
            )
            # Two begin at once, and so many wait.
            assert Counter(answer.status_code for answer in answers) == {200: 2 + MOST, 429: 58 - MOST}
            refused = next(answer for answer in answers if answer.status_code == 429)
            assert is_error(refused, 429, "rate_limited", f"no more than {MOST}")
            assert refused.headers["Retry-After"] == "1"
            assert (refused.headers["X-RateLimit-Limit"], refused.headers["X-RateLimit-Remaining"]) == (str(MOST), "0")
            assert system.rows("SELECT count(*) FROM jobs") == [(2 + MOST,)]

    with_api(database, scenario, models=[HANGING], limits=MANY)


def test_it_counts_all_models_together_and_no_other_account(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        secret = await secret_of(admin, max_queued=MOST)
        async with door(system.gateway, secret) as client:
            # Each model has an engine of two slots: three jobs of the one wait, and two of the other.
            for model in ("sim", "other", "sim", "other", "sim", "other", "sim", "other", "sim"):
                assert (await client.post("/api/v1/jobs", json=job(model))).status_code == 200
            for model in ("sim", "other", "sim-alias"):
                assert is_error(await client.post("/api/v1/jobs", json=job(model)), 429, "rate_limited")
            assert (await admin.post("/api/v1/jobs", json=job())).status_code == 200

    with_api(database, scenario, models=[HANGING, OTHER], nodes=2, limits=MANY)


def test_whoever_needs_not_wait_may_come_and_one_that_is_gone_leaves_its_place(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        secret = await secret_of(admin, max_queued=1)
        async with door(system.gateway, secret) as client:
            running = [(await client.post("/api/v1/jobs", json=job())).json()["id"] for _ in range(2)]
            waiting = (await client.post("/api/v1/jobs", json=job())).json()["id"]
            assert is_error(await client.post("/api/v1/jobs", json=job()), 429, "rate_limited")
            # One that runs ends, and the one that waits has its place.
            await client.post(f"/api/v1/jobs/{running[0]}/cancel")
            second = await client.post("/api/v1/jobs", json=job())
            assert second.status_code == 200
            assert is_error(await client.post("/api/v1/jobs", json=job()), 429, "rate_limited")
            # One that waits is cancelled.
            await client.post(f"/api/v1/jobs/{second.json()['id']}/cancel")
            assert (await client.post("/api/v1/jobs", json=job())).status_code == 200
            assert (await client.get(f"/api/v1/jobs/{waiting}")).json()["status"] == "processing"

    with_api(database, scenario, models=[HANGING], limits=MANY)


def test_openais_clients_are_refused_in_their_own_shape(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        secret = await secret_of(admin, max_queued=1)
        async with door(system.gateway, secret) as client:
            for _ in range(3):
                assert (await client.post("/api/v1/jobs", json=job())).status_code == 200
            answer = await client.post("/v1/chat/completions", json=job())
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
            assert answer.headers["Retry-After"] == "1"

    with_api(database, scenario, models=[HANGING], limits=MANY)


def test_what_waited_before_a_restart_of_the_scheduler_still_counts(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        secret = await secret_of(admin, max_queued=MOST)
        async with door(system.gateway, secret) as client:
            for _ in range(2 + MOST):
                assert (await client.post("/api/v1/jobs", json=job())).status_code == 200
            await system.restart_scheduler()
            for _ in range(2):
                answers = await asyncio.gather(*(client.post("/api/v1/jobs", json=job()) for _ in range(10)))
                assert {answer.status_code for answer in answers} == {429}
                await system.ticks(30)  # by now all are where they were before

    with_api(database, scenario, models=[HANGING], limits=MANY)


def test_a_repeat_under_an_idempotency_key_is_no_second_job(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        secret = await secret_of(admin, max_queued=1)
        async with door(system.gateway, secret) as client:
            for _ in range(2):
                await client.post("/api/v1/jobs", json=job())
            named = {"Idempotency-Key": "a name"}
            first = await client.post("/api/v1/jobs", json=job(), headers=named)
            again = await client.post("/api/v1/jobs", json=job(), headers=named)
            assert (first.status_code, again.status_code) == (200, 200)
            assert first.json()["id"] == again.json()["id"]

    with_api(database, scenario, models=[HANGING], limits=MANY)


def test_it_is_told_and_checked_where_an_account_is_made(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        made = await admin.post("/api/v1/accounts", json={"name": "few", "max_queued": 7})
        assert (made.status_code, made.json()["max_queued"]) == (201, 7)
        any_number = await admin.post("/api/v1/accounts", json={"name": "any", "max_queued": None})
        assert "max_queued" not in any_number.json()
        for wrong in (0, -1, "7", 1.5, 10_000_000):
            assert names_field(
                await admin.post("/api/v1/accounts", json={"name": "x", "max_queued": wrong}), "max_queued"
            )

    with_api(database, scenario)
