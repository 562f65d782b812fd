"""LoRA adapters that an admin adds while the system runs, and removes again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from actors.backends.simulated import simulated_text
from cluster.catalogue import Adapter, Model, Price, Replicas
from cluster.clock import SystemClock
from cluster.ids import JobId, NodeId
from cluster.messages.people import KeyLimits
from cluster.messages.work import ChatMessage, Job, Submission
from tests.support.plain_system import SIM, PlainSystem, replicated, run, until

MESSAGES = (ChatMessage("user", "Hello"),)
TOKENS = 20
MODEL: Model = replace(SIM, price=Price(1.0, 1.0), adapters=(Adapter("poet", "org/poet"),))
BODY = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": TOKENS}
PIRATE = {"id": "pirate", "source": "org/pirate", "price": {"prompt": 2, "completion": 4.5}}
ADAPTERS = "/api/v1/models/sim/adapters"
OFTEN = KeyLimits(submissions_per_minute=100_000, submissions_per_hour=100_000, reads_per_minute=100_000)


class ForwardClock(SystemClock):
    """The machine's, whose wall clock a test can put forward."""

    forward_ms = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.forward_ms


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


def test_what_cannot_be_loaded_hurts_nobody_says_why_and_is_mended_by_removing_it(database: Path) -> None:
    async def scenario() -> None:
        async with serving(database, bad_adapter="torn") as system, system.client() as client:
            before = system.known_engines()
            assert (await add(client, source="org/torn")).status_code == 201
            adapter = await told(client)
            assert adapter is not None
            assert adapter["state_message"] == f"It cannot be loaded by {before[0]}: torn is in its source"
            refused = await client.post("/api/v1/jobs", json=BODY | {"model": "pirate"})
            assert (refused.status_code, refused.json()["error"]) == (503, "no_capacity")
            assert refused.json()["error_message"] == "Adapter pirate cannot be loaded: the list of models tells why"
            assert "pirate" not in (await client.get("/v1/models")).text
            assert await answer(system, client, "poet") == text("poet")
            # An engine that comes later comes up without it.
            system.kill_engine(before[0])
            await until(lambda: set(system.known_engines()) - set(before), "another engine")
            await system.ready(1)
            assert await answer(system, client, "poet") == text("poet")
            assert (await client.delete(f"{ADAPTERS}/pirate")).status_code == 204
            assert (await add(client)).status_code == 201
            assert await answer(system, client) == text("pirate")

    run(scenario())


def test_one_of_the_settings_that_cannot_be_loaded_fails_its_model_as_before(database: Path) -> None:
    async def scenario() -> None:
        model = replace(SIM, engine={**SIM.engine, "bad_adapter": "poet"}, adapters=MODEL.adapters)
        async with PlainSystem(database, [model]) as system, system.client() as client:

            async def has_failed() -> bool:
                return bool((await client.get("/api/v1/models/sim")).json()["failures"])

            await until(has_failed, "a failure")
            assert (await client.get("/api/v1/models/sim")).json()["failures"][0]["message"] == "poet is in its source"

    run(scenario())


def test_the_first_adapter_of_a_model_has_its_engines_replaced_and_no_job_notices(database: Path) -> None:
    async def scenario() -> None:
        plain = replace(MODEL, adapters=())
        options = {"lora_from_start": True, "token_s": 0.002, "load_s": 0.3}
        async with serving(database, plain, 2, **options) as system, system.client() as client:
            before = set(system.known_engines())
            running = [system.job("Hello", 200) for _ in range(4)]
            await system.scheduler.submit([Submission(job) for job in running])
            made = (await add(client)).json()
            (adapter,) = made["adapters"]
            assert adapter["state_message"].startswith("Its model's engines are being replaced for it: it was made wi")
            assert "without room for" in made["scaling"]
            assert {engine.get("outdated") for engine in made["engines"]} == {True}

            async def is_there() -> bool:
                return "state_message" not in (await told(client) or {"state_message": ""})

            await until(is_there, "new engines")
            assert await answer(system, client) == text("pirate")
            for job in running:
                assert (await system.read(job.id))[0] == text("", 200)

            async def are_new() -> bool:
                model = (await client.get("/api/v1/models/sim")).json()
                return model["replicas"] == 2 and not before & {each["engine_id"] for each in model["engines"]}

            await until(are_new, "new engines in the place of both")
            await until(lambda: not before & set(system.known_engines()), "the end of those before")
            # One that is removed replaces nothing.
            now = set(system.known_engines())
            assert (await client.delete(f"{ADAPTERS}/pirate")).status_code == 204
            await system.ticks(5)
            assert set(system.known_engines()) == now

    run(scenario())


def test_an_adapter_of_other_weights_under_the_same_name_is_never_mistaken(database: Path) -> None:
    async def scenario() -> None:
        async with serving(database, token_s=0.003) as system, system.client() as client:
            await add(client)
            first = system.job("Hello", 200, adapter="pirate")
            await system.scheduler.submit([Submission(first)])
            assert (await add(client, source="org/other")).status_code == 409
            await client.delete(f"{ADAPTERS}/pirate")
            assert (await add(client, source="org/other")).status_code == 201
            second = system.job("Hello", 200, adapter="pirate")
            await system.scheduler.submit([Submission(second)])
            numbers = {job.id: job.adapter_number for job in await asked(system, first.id, second.id)}
            (engine,) = await system.engine_reports()
            assert len(set(numbers.values())) == 2
            assert set(numbers.values()) <= set(engine.known)
            for job in (first, second):
                assert (await system.read(job.id))[1].finish_reason == "length"

    run(scenario())


async def asked(system: PlainSystem, *job_ids: JobId) -> list[Job]:
    return [job for job_id in job_ids if (job := await system.ledger.asked(job_id, None)) is not None]


async def has_looked(system: PlainSystem, node_id: NodeId) -> bool:
    process = system.nodes[node_id].process
    return process is not None and (await process.content.describe()).complete


def test_what_was_added_and_removed_outlives_everybody(database: Path) -> None:
    async def scenario() -> None:
        async with serving(database, engines=2, token_s=0.004) as system, system.client() as client:
            await add(client)
            job = system.job("Hello", 300, adapter="pirate")
            await system.scheduler.submit([Submission(job)])
            await system.restart_scheduler()
            await client.delete(f"{ADAPTERS}/pirate")
            await system.restart_scheduler()
            for node_id in system.node_ids:
                await system.kill_node(node_id)
                await system.start_node(node_id)
                await until(partial(has_looked, system, node_id), "the engines that ran before")
            placed = [attempt.engine_id for attempt in await system.ledger.placements(job.id)]
            system.kill_engine(placed[-1])  # it goes on at the other, which has to know it yet
            assert (await system.read(job.id))[0] == text("pirate", 300)
            refused = await client.post("/api/v1/jobs", json=BODY | {"model": "pirate"})
            assert refused.status_code == 404
            await add(client, id="corsair")
            await system.restart_scheduler()
            await system.ready()
            assert await answer(system, client, "corsair") == text("corsair")

    run(scenario())


def test_settings_that_use_the_name_go_before_and_say_so(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with serving(database) as system, system.client() as client:
            await add(client)
            model, *_ = system.settings.models
            for changed, reason in (
                ([model, replace(SIM, id="pirate", aliases=())], "pirate is a model in the settings"),
                ([replace(model, aliases=("pirate",))], "pirate is an alias of sim in the settings"),
                ([replace(model, adapters=(*model.adapters, Adapter("pirate")))], "pirate is an adapter of sim in"),
            ):
                await system.change(*changed)
                await system.gateway.stop()
                system.gateway = system.new_gateway()
                async with system.client() as asking:
                    shown = (await asking.get("/api/v1/models/sim")).json()["adapters"]
                    (added,) = [each for each in shown if each["set_by"] == "admin"]
                    assert added["state_message"].startswith(reason)
                    assert any(reason in record.message for record in caplog.records)
                    assert (await add(asking, source="org/x")).status_code == 409
                    metrics = (await asking.get("/metrics")).text
                    assert metrics.count('infernet_output_tokens_per_second{model="pirate"}') == 1
            async with system.client() as asking:
                assert (await asking.delete(f"{ADAPTERS}/pirate")).status_code == 204
                again = await asking.delete(f"{ADAPTERS}/pirate")
                assert (again.status_code, again.json()["error"]) == (409, "conflict")
                assert "settings file" in again.json()["error_message"]
            await system.change(model)
            await until(lambda: not system.scheduler.fleet.models.overruled, "the settings of before")

    run(scenario())


def test_what_the_settings_would_be_refused_for_is_refused(database: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        models = (
            MODEL,
            Model("real", source="org/real", gpus=0, cpus=0.0, replicas=Replicas(0, 1)),
            Model("vectors", source="org/v", gpus=0, cpus=0.0, engine={"runner": "pooling"}, replicas=Replicas(0, 1)),
            Model("wide", source="org/w", gpus=8, machines=2, replicas=Replicas(0, 1)),
            Model("plain", source="org/p", gpus=0, engine={"enable_lora": False}, replicas=Replicas(0, 1)),
        )
        (tmp_path / "no_lora").mkdir()
        async with PlainSystem(database, models, limits=OFTEN) as system, system.client() as client:
            for model, wrong, status, words in (
                ("sim", {"id": "sim"}, 409, "sim is a model in the settings"),
                ("sim", {"id": "real"}, 409, "real is a model in the settings"),
                ("sim", {"id": "sim-alias"}, 409, "sim-alias is an alias of sim in the settings"),
                ("real", {"id": "poet"}, 409, "poet is an adapter of sim in the settings"),
                ("sim", {"id": "a/adapters/b"}, 400, "id: must not contain /adapters/"),
                ("sim", {"source": "/nowhere/at/all"}, 400, "source: there is no folder /nowhere/at/all"),
                ("sim", {"source": str(tmp_path / "no_lora")}, 400, "it is not a LoRA adapter"),
                ("sim", {"source": "builtin:nothing"}, 400, "there is no built-in model nothing"),
                ("sim", {"source": "https://huggingface.co/org/x"}, 400, "source: must be a hub id, not its URL"),
                ("real", {"source": ""}, 400, "source: is required"),
                ("vectors", {}, 400, "vectors is a pooling model"),
                ("wide", {}, 400, "wide is on several machines"),
                ("plain", {}, 400, "plain has engine.enable_lora: false"),
                ("nothing", {}, 404, "nothing"),
            ):
                refused = await client.post(f"/api/v1/models/{model}/adapters", json=PIRATE | wrong)
                assert (refused.status_code, words in refused.json()["error_message"]) == (status, True), refused.text
            assert (await client.post(ADAPTERS, json={"id": "nameless"})).status_code == 201  # as in the settings
            assert (await client.delete(f"{ADAPTERS}/poet")).status_code == 409
            assert (await client.delete("/api/v1/models/real/adapters/nameless")).status_code == 404
            member = await client.post("/api/v1/keys", json={"name": "member"})
            async with system.client(member.json()["key"]) as theirs:
                assert (await add(theirs)).status_code == 403
                assert (await theirs.delete(f"{ADAPTERS}/nameless")).status_code == 403

    run(scenario())


def test_keys_are_confined_to_what_was_added(database: Path) -> None:
    async def scenario() -> None:
        async with serving(database) as system, system.client() as client:
            await add(client)
            made = (await client.post("/api/v1/keys", json={"name": "k", "models": ["pirate"]})).json()
            assert made["models"] == ["pirate"]
            async with system.client(made["key"]) as theirs:
                assert [each["id"] for each in (await theirs.get("/v1/models")).json()["data"]] == ["pirate"]
                for name, status in (("pirate", 200), ("poet", 403), ("sim", 403)):
                    job = await theirs.post("/api/v1/jobs", json=BODY | {"model": name})
                    assert (name, job.status_code) == (name, status)

    run(scenario())


def test_removed_ones_are_forgotten_once_their_jobs_have_ended(database: Path) -> None:
    async def scenario() -> None:
        clock = ForwardClock()
        model = replicated(replace(MODEL, engine={**SIM.engine, "hang_at_token": 5}), 1)
        async with PlainSystem(database, [model], limits=OFTEN, clock=clock) as system, system.client() as client:
            await system.ready()
            await add(client)
            job = system.job("Hello", 200, adapter="pirate", deadline_ms=system.clock.wall_ms() + 3_600_000)
            await system.scheduler.submit([Submission(job)])
            await client.delete(f"{ADAPTERS}/pirate")
            clock.forward_ms += 120_000
            await system.scheduler.comparing.taken()
            (engine,) = await system.engine_reports()
            assert len(engine.known) == 2
            await system.scheduler.cancel(job.id)
            await until(lambda: not system.rows("SELECT id FROM adapters"), "forgetting it")

            async def is_unloaded() -> bool:
                return len((await system.engine_reports())[0].known) == 1

            await until(is_unloaded, "unloading it")

    run(scenario())
