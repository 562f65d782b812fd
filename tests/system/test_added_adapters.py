"""LoRA adapters that an admin adds while the system runs, and removes again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from msgspec.structs import replace

from actors.backends.simulated import simulated_text
from cluster.catalogue import Adapter, Model, Price
from cluster.ids import JobId
from cluster.messages.people import KeyLimits
from cluster.messages.work import ChatMessage, Submission
from tests.support.plain_system import SIM, PlainSystem, replicated, run

MESSAGES = (ChatMessage("user", "Hello"),)
TOKENS = 20
MODEL: Model = replace(SIM, price=Price(1.0, 1.0), adapters=(Adapter("poet", "org/poet"),))
BODY = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": TOKENS}
PIRATE = {"id": "pirate", "source": "org/pirate", "price": {"prompt": 2, "completion": 4.5}}
ADAPTERS = "/api/v1/models/sim/adapters"
OFTEN = KeyLimits(submissions_per_minute=100_000, submissions_per_hour=100_000, reads_per_minute=100_000)


def text(adapter: str, tokens: int = TOKENS) -> str:
    return simulated_text(MESSAGES, None, tokens, adapter=adapter)


@asynccontextmanager
async def serving(database: Path, model: Model = MODEL, engines: int = 1, **engine: Any) -> AsyncIterator[PlainSystem]:
    model = replicated(replace(model, engine=dict(model.engine) | engine), engines)
    async with PlainSystem(database, [model], nodes=engines, limits=OFTEN) as system:
        await system.ready()
        yield system


async def add(client: httpx.AsyncClient, **adapter: Any) -> httpx.Response:
    return await client.post(ADAPTERS, json=PIRATE | adapter)


async def told(client: httpx.AsyncClient, adapter: str = "pirate") -> dict[str, Any] | None:
    model = (await client.get("/api/v1/models/sim")).json()
    return next((each for each in model.get("adapters", []) if each["id"] == adapter), None)


async def answer(system: PlainSystem, client: httpx.AsyncClient, adapter: str = "pirate") -> str:
    accepted = await client.post("/api/v1/jobs", json=BODY | {"model": adapter})
    assert accepted.status_code == 200, accepted.text
    await system.ended(JobId(accepted.json()["id"]))
    job = (await client.get(f"/api/v1/jobs/{accepted.json()['id']}")).json()
    assert job["model"] == adapter
    return str(job["result"]["content"])


def test_an_adapter_is_added_and_answers_at_once_without_another_engine(database: Path) -> None:
    async def scenario() -> None:
        async with serving(database, engines=2) as system, system.client() as client:
            before = set(system.known_engines())
            other = system.new_gateway()  # it has heard of nothing yet
            made = await add(client)
            assert made.status_code == 201
            assert [each["id"] for each in made.json()["adapters"]] == ["poet", "pirate"]
            expected = {
                "id": "pirate",
                "avg_tokens_per_second": 0,
                "engines": 0,
                "price": {"prompt": 2.0, "completion": 4.5},
                "set_by": "admin",
                "source": "org/pirate",
            }
            assert await told(client) == expected
            assert (await add(client)).status_code == 201  # said again, it is answered again
            assert await answer(system, client) == text("pirate")
            system.gateway = other
            async with system.client() as elsewhere:
                assert await answer(system, elsewhere) == text("pirate")
                listed = (await elsewhere.get("/v1/models")).json()["data"]
                assert [(each["id"], each["root"]) for each in listed][-1] == ("pirate", "org/pirate")
            assert set(system.known_engines()) == before
            costs = dict(system.rows("SELECT model, SUM(cost) FROM usage GROUP BY model"))
            assert costs == {"pirate": 2 * (2 * 5 + 4.5 * TOKENS)}

    run(scenario())


def test_a_removed_adapter_is_unknown_everywhere_and_its_jobs_go_on(database: Path) -> None:
    async def scenario() -> None:
        async with serving(database, engines=2, token_s=0.005) as system, system.client() as client:
            await add(client)
            other = system.new_gateway()
            async with system.client() as elsewhere:
                await answer(system, elsewhere)
            job = system.job("Hello", 100, adapter="pirate")
            await system.scheduler.submit([Submission(job)])
            assert (await client.delete(f"{ADAPTERS}/pirate")).status_code == 204
            first = system.gateway
            for gateway in (other, first):
                system.gateway = gateway
                async with system.client() as asking:
                    refused = await asking.post("/api/v1/jobs", json=BODY | {"model": "pirate"})
                    assert (refused.status_code, refused.json()["error"]) == (404, "model_not_found")
            assert await told(client) is None
            assert (await client.delete(f"{ADAPTERS}/pirate")).status_code == 404
            assert (await system.read(job.id))[0] == text("pirate", 100)

    run(scenario())
