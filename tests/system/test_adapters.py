"""LoRA adapters: submitted by their ids, billed under them, and answered where they are loaded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from actors.backends.simulated import simulated_text
from cluster.catalogue import Adapter, Model, Price, Replicas
from cluster.ids import JobId, new_key_id
from cluster.keys import new_secret
from cluster.messages.people import KeyLimits, NewKey
from cluster.messages.placements import Placed
from cluster.messages.work import ChatMessage, Submission
from cluster.placement import LOADING_COST_TOKENS
from tests.support.plain_system import QUICK, SIM, PlainSystem, replicated, run, until
from tests.support.watch import at_rest

MESSAGES = (ChatMessage("user", "Hello"),)
TOKENS = 20
PIRATE = Adapter("pirate", "org/pirate", Price(2.0, 4.0))
POET = Adapter("poet", "org/poet")
MODEL: Model = replace(SIM, price=Price(1.0, 1.0), adapters=(PIRATE, POET))
BODY = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": TOKENS}


def text(adapter: str, tokens: int = TOKENS) -> str:
    return simulated_text(MESSAGES, None, tokens, adapter=adapter)


@asynccontextmanager
async def serving(database: Path, model: Model = MODEL, engines: int = 1) -> AsyncIterator[PlainSystem]:
    # A job of which the Ledger says first that it has ended tells nothing of what was found: comparing waits here.
    timing = replace(QUICK, compare_s=60.0)
    async with PlainSystem(database, [replicated(model, engines)], nodes=engines, timing=timing) as system:
        await system.ready()
        yield system


async def new_key(system: PlainSystem, *models: str) -> str:
    secret = new_secret()
    key = NewKey(new_key_id(), system.principal.account_id, "a key", secret, "member", created_ms=0, models=models)
    await system.ledger.create_key(system.principal, key)
    return secret


async def asked(system: PlainSystem, adapter: str, question: str = "Hello", tokens: int = TOKENS) -> Placed:
    """Ask, and wait until the Scheduler has heard the answer, and what its engine has loaded."""
    async with system.client() as client:
        body = {"model": adapter, "messages": [{"role": "user", "content": question}], "max_tokens": tokens}
        job_id = JobId((await client.post("/api/v1/jobs", json=body)).json()["id"])
    await system.ended(job_id)
    await until(lambda: len(system.scheduler.leases.places) == 0, "a released job")
    (attempt,) = await system.ledger.placements(job_id)
    await until(lambda: attempt.engine_id in system.scheduler.fleet.models.having(SIM.id, adapter), "a report")
    return attempt


def test_an_adapter_is_submitted_by_its_id_and_is_called_so_wherever_its_job_is_told_of(database: Path) -> None:
    async def scenario() -> None:
        async with serving(database) as system, system.client() as client:
            for name, told in (("sim-alias", ""), ("pirate", "pirate"), ("poet", "poet")):
                accepted = (await client.post("/api/v1/jobs", json=BODY | {"model": name})).json()
                assert accepted["model"] == (told or "sim")
                await system.ended(JobId(accepted["id"]))
                job = (await client.get(f"/api/v1/jobs/{accepted['id']}")).json()
                assert (job["model"], job["result"]["content"]) == (told or "sim", text(told))
            completion = (await client.post("/v1/chat/completions", json=BODY | {"model": "pirate"})).json()
            assert completion["model"] == "pirate"
            assert completion["choices"][0]["message"]["content"] == text("pirate")
            assert len({text("pirate"), text("poet"), text("")}) == 3

    run(scenario())


def test_usage_is_counted_under_the_adapter_at_its_own_price_or_its_models(database: Path) -> None:
    async def scenario() -> None:
        async with serving(database) as system, system.client() as client:
            for name in ("sim", "pirate", "poet", "pirate"):
                accepted = (await client.post("/api/v1/jobs", json=BODY | {"model": name})).json()
                await system.ended(JobId(accepted["id"]))
            groups = (await client.get("/api/v1/usage?group_by=model")).json()["usage"]
            prompt = 5
            assert [(g["model"], g["jobs"], g["completion_tokens"]) for g in groups] == [
                ("pirate", 2, 2 * TOKENS),
                ("poet", 1, TOKENS),
                ("sim", 1, TOKENS),
            ]
            rows = dict(system.rows("SELECT model, SUM(cost) FROM usage GROUP BY model"))
            assert rows == {"pirate": 2 * (2 * prompt + 4 * TOKENS), "poet": prompt + TOKENS, "sim": prompt + TOKENS}
            metrics = (await client.get("/metrics")).text
            assert 'infernet_jobs_total{model="pirate",outcome="completed"} 2.0' in metrics

    run(scenario())


def test_models_are_listed_with_their_adapters(database: Path) -> None:
    async def scenario() -> None:
        async with serving(database) as system, system.client() as client:
            listed = (await client.get("/v1/models")).json()["data"]
            assert [(each["id"], each["root"], each["parent"]) for each in listed] == [
                ("sim", "sim", None),
                ("pirate", "org/pirate", "sim"),
                ("poet", "org/poet", "sim"),
            ]
            assert (await client.get("/v1/models/poet")).json() == listed[2]
            await asked(system, "poet")
            (model,) = (await client.get("/api/v1/models?all=true")).json()["models"]
            told = [(each["id"], each["engines"], each["price"]["completion"]) for each in model["adapters"]]
            assert told == [("pirate", 0, 4.0), ("poet", 1, 1.0)]
            (model,) = (await client.get("/api/v1/models")).json()["models"]
            assert [each["id"] for each in model["adapters"]] == ["pirate", "poet"]

    run(scenario())


def test_a_key_for_a_model_may_use_its_adapters_and_one_for_an_adapter_nothing_else(database: Path) -> None:
    async def scenario() -> None:
        async with serving(database) as system:
            for models, may in ((("sim",), {"sim", "pirate", "poet"}), (("poet",), {"poet"})):
                async with system.client(await new_key(system, *models)) as client:
                    listed = {each["id"] for each in (await client.get("/v1/models")).json()["data"]}
                    statuses = {
                        name: (await client.post("/api/v1/jobs", json=BODY | {"model": name})).status_code
                        for name in ("sim", "pirate", "poet")
                    }
                    assert listed == may == {name for name, status in statuses.items() if status == 200}
                    assert set(statuses.values()) <= {200, 403}

    run(scenario())


def test_a_key_can_be_made_for_an_adapter(database: Path) -> None:
    async def scenario() -> None:
        async with serving(database) as system, system.client() as client:
            made = await client.post("/api/v1/keys", json={"name": "k", "models": ["poet", "sim-alias"]})
            assert (made.status_code, made.json()["models"]) == (201, ["poet", "sim"])

    run(scenario())


def test_a_job_goes_where_its_adapter_is_loaded_and_says_so(database: Path) -> None:
    async def scenario() -> None:
        async with serving(database, engines=3) as system, system.client() as client:
            first = await asked(system, "poet")
            other = await asked(system, "pirate", "Ahoy")
            for question in ("What", "is", "it?"):
                assert (await asked(system, "poet", question)).engine_id == first.engine_id
            job_id = (await asked(system, "pirate", "Again")).job_id
            (attempt,) = (await client.get(f"/api/v1/jobs/{job_id}/placement")).json()["attempts"]
            assert attempt["engine_id"] == other.engine_id
            assert "has the adapter loaded" in attempt["reason"]
            having = {each["engine_id"] for each in attempt["candidates"] if each.get("has_adapter")}
            assert having == {other.engine_id}

    run(scenario())


def test_an_engine_with_the_adapter_that_has_much_more_to_do_is_passed_over(database: Path) -> None:
    async def scenario() -> None:
        async with serving(database, engines=2) as system:
            first = await asked(system, "poet")
            long = [system.job("tell me " * LOADING_COST_TOKENS, adapter="poet") for _ in range(2)]
            await system.scheduler.submit([Submission(job) for job in long])
            placed = [(await system.ledger.placements(job.id))[0].engine_id for job in long]
            assert first.engine_id in placed
            assert len(set(placed)) == 2

    run(scenario())


def test_a_stream_survives_its_engine_with_the_text_of_its_adapter(database: Path) -> None:
    async def scenario() -> None:
        async with serving(database, engines=2) as system:
            job = system.job("Hello", 400, adapter="poet")
            await system.scheduler.submit([Submission(job)])
            reading = asyncio.create_task(system.read(job.id))
            await until(lambda: system.rows(f"SELECT 1 FROM placements WHERE job_id = '{job.id}'"), "a placement")
            (attempt, *_) = await system.ledger.placements(job.id)
            system.kill_engine(attempt.engine_id)
            told, _ = await reading
            assert told == text("poet", 400)

    run(scenario())


def test_a_job_has_its_adapter_after_a_restart_of_the_scheduler(database: Path) -> None:
    async def scenario() -> None:
        slow: dict[str, Any] = {**SIM.engine, "batch_slots": 1}
        async with serving(database, replace(MODEL, engine=slow)) as system:
            jobs = [system.job("Hello", 100, adapter=name) for name in ("poet", "pirate", "")]
            await system.scheduler.submit([Submission(job) for job in jobs])
            await system.restart_scheduler()
            for job in jobs:
                assert (await system.read(job.id))[0] == text(job.adapter, 100)
                assert (await system.record(job.id)).model == (job.adapter or "sim")

    run(scenario())


def test_no_jobs_are_taken_for_a_new_adapter_before_all_engines_have_it(database: Path) -> None:
    async def scenario() -> None:
        slow = {**SIM.engine, "load_s": 0.5, "lora_from_start": True}
        before = replace(MODEL, adapters=(), replicas=Replicas(1, 1), engine=slow)
        often = KeyLimits(
            submissions_per_minute=100_000, submissions_per_hour=100_000
        )  # it is asked for again and again
        async with PlainSystem(database, [before], nodes=2, limits=often) as system:
            await system.ready(1)
            await system.change(replace(before, adapters=(POET, PIRATE)))
            await system.ready(1)
            system.gateway = system.new_gateway()
            async with system.client() as client:
                refused = await client.post("/api/v1/jobs", json=BODY | {"model": "pirate"})
                assert (refused.status_code, refused.json()["error"]) == (503, "no_capacity")
                assert refused.json()["error_message"].startswith("Adapter pirate is new")
                listed = [each["id"] for each in (await client.get("/v1/models")).json()["data"]]
                assert listed == ["sim"]
                assert (await client.post("/api/v1/jobs", json=BODY | {"model": "sim"})).status_code == 200

                async def is_listed() -> bool:  # a job is asked for once: those that are refused count as requests too
                    listed = (await client.get("/v1/models")).json()["data"]
                    return "pirate" in [each["id"] for each in listed]

                await until(is_listed, "the new adapter")
                assert (await client.post("/api/v1/jobs", json=BODY | {"model": "pirate"})).status_code == 200
                await at_rest(system)

    run(scenario())
