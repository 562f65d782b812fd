"""Jobs at the HTTP door, from their submission to their end: what the contract promises, answer by answer."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from cluster.ids import JobId
from tests.support.api_jobs import BODY, HANGING, PARTIAL, PROMPT, TEXT, completed, hung
from tests.support.http_door import Stream, bare_client, door, is_error, names_field, with_api
from tests.support.plain_system import PATIENCE_S, SIM, PlainSystem, run, until


def test_a_job_from_pending_to_completed(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        body = BODY | {"model": "sim-alias", "metadata": {"trace": "é"}}
        response = await client.post("/api/v1/jobs", json=body)
        accepted = response.json()
        assert response.status_code == 200
        assert set(accepted) == {"id", "status", "model", "created_at"}
        assert (accepted["status"], accepted["model"]) == ("pending", "sim")
        await system.ended(JobId(accepted["id"]))
        job = (await client.get(f"/api/v1/jobs/{accepted['id']}")).json()
        assert job["result"] == {
            "content": TEXT,
            "finish_reason": "length",
            "usage": {"prompt_tokens": PROMPT, "completion_tokens": 40, "total_tokens": PROMPT + 40},
        }
        assert (job["status"], job["node_id"], job["metadata"]) == ("completed", system.node_ids[0], {"trace": "é"})
        assert isinstance(job["latency_ms"], int)
        wanted = {"id", "status", "model", "created_at", "node_id", "result", "completed_at", "latency_ms", "metadata"}
        assert set(job) == wanted
        assert job["created_at"] == accepted["created_at"]

    with_api(database, scenario)


def test_pending_processing_and_failed_jobs_have_only_their_keys(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        async def told(job_id: str) -> dict[str, Any]:
            answer: dict[str, Any] = (await client.get(f"/api/v1/jobs/{job_id}")).json()
            return answer

        running = await hung(system, client)
        waiting = (await client.post("/api/v1/jobs", json=BODY)).json()["id"]
        job = await told(running)
        assert set(job) == {"id", "status", "model", "created_at", "node_id"}
        assert job["status"] == "processing"
        assert set(await told(waiting)) == {"id", "status", "model", "created_at"}

        for job_id in (running, waiting):
            assert (await system.ended(JobId(job_id))).error == "timeout"
        job = await told(running)
        assert set(job) == {
            "id",
            "status",
            "model",
            "created_at",
            "node_id",
            "error",
            "error_message",
            "completed_at",
        }
        assert (job["status"], job["error"]) == ("failed", "timeout")

        stream = Stream((await client.get(f"/api/v1/jobs/{running}/stream")).text)
        assert stream.text == PARTIAL
        assert json.loads(stream.last) == {"error": "timeout", "message": job["error_message"]}

    with_api(database, scenario, models=[HANGING], job_timeout_s=1)


def test_a_cancelled_job_stops_and_is_billed_for_what_it_produced(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        job_id = await hung(system, client)
        response = await client.post(f"/api/v1/jobs/{job_id}/cancel")
        job = response.json()
        assert response.status_code == 200
        assert (job["id"], job["status"], job["error"]) == (job_id, "failed", "cancelled")
        assert job == (await client.get(f"/api/v1/jobs/{job_id}")).json()
        assert system.rows("SELECT job_id, prompt_tokens, completion_tokens FROM usage") == [(job_id, PROMPT, 5)]
        stream = Stream((await client.get(f"/api/v1/jobs/{job_id}/stream")).text)
        assert (stream.text, json.loads(stream.last)["error"]) == (PARTIAL, "cancelled")

        async def forgotten() -> bool:
            (report,) = await system.engine_reports()
            return report.running == ()

        await until(forgotten, "an engine without jobs")
        assert system.scheduler.leases.idle
        await hung(system, client)  # its place is free

    with_api(database, scenario, models=[HANGING])


def test_a_job_that_waits_can_be_cancelled(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        running = await hung(system, client)
        waiting = (await client.post("/api/v1/jobs", json=BODY)).json()["id"]
        job = (await client.post(f"/api/v1/jobs/{waiting}/cancel")).json()
        assert (job["status"], job["error"]) == ("failed", "cancelled")
        assert len(system.scheduler.leases.places.queue) == 0
        assert (await client.get(f"/api/v1/jobs/{running}")).json()["status"] == "processing"

    with_api(database, scenario, models=[HANGING])


def test_a_job_that_has_ended_cannot_be_cancelled(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        job_id = await completed(system, client)
        assert is_error(await client.post(f"/api/v1/jobs/{job_id}/cancel"), 409, "conflict", job_id)
        assert (await client.get(f"/api/v1/jobs/{job_id}")).json()["status"] == "completed"
        assert len(system.rows("SELECT 1 FROM usage")) == 1

    with_api(database, scenario)


def test_why_a_job_runs_where_it_runs(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        async def placement(job_id: str) -> dict[str, Any]:
            answer: dict[str, Any] = (await client.get(f"/api/v1/jobs/{job_id}/placement")).json()
            return answer

        running = await hung(system, client)
        await until(lambda: system.rows("SELECT 1 FROM placements"), "a placement")
        told = await placement(running)
        (attempt,) = told["attempts"]
        assert (told["id"], attempt["attempt"], attempt["node_id"]) == (running, 1, system.node_ids[0])
        (candidate,) = attempt["candidates"]
        assert candidate["engine_id"] == attempt["engine_id"]
        assert set(candidate) == {"engine_id", "node_id", "score", "cached_tokens"}

        waiting = (await client.post("/api/v1/jobs", json=BODY)).json()["id"]
        told = await placement(waiting)
        assert told["attempts"] == []
        assert [candidate["ruled_out_by"] for candidate in told["waiting"]] == ["no room"]

        assert is_error(await client.get("/api/v1/jobs/job_none/placement"), 404, "job_not_found")
        await client.post(f"/api/v1/jobs/{running}/cancel")
        assert "waiting" not in await placement(running)

    with_api(database, scenario, models=[HANGING])


def test_a_job_is_cancelled_once(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        job_id = await hung(system, client)
        assert (await client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 200
        assert is_error(await client.post(f"/api/v1/jobs/{job_id}/cancel"), 409, "conflict", job_id)
        assert len(system.rows("SELECT 1 FROM usage")) == 1

    with_api(database, scenario, models=[HANGING])


def test_a_job_can_be_waited_for(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        path = f"/api/v1/jobs/{await hung(system, client)}"
        for too_short in (0, 1):
            assert (await client.get(path, params={"wait": too_short})).json()["status"] == "processing"
        waiting = asyncio.create_task(client.get(path, params={"wait": 60}))
        await until(lambda: system.gateway.streams.reading, "a request that waits")
        assert not waiting.done()
        cancelled = (await client.post(f"{path}/cancel")).json()
        async with asyncio.timeout(PATIENCE_S):
            assert (await waiting).json() == cancelled
            assert (await client.get(path, params={"wait": 60})).json() == cancelled
        assert system.gateway.streams.reading == set()

    with_api(database, scenario, models=[HANGING])


@pytest.mark.parametrize("wait", ["-1", "61", "1.5", "1.0", "x", "", "%20", "+5", "5&wait=5", "9" * 30, "\u0663"])
def test_a_bad_wait_is_named(wait: str) -> None:
    async def main() -> None:
        async with bare_client() as client:
            assert names_field(await client.get(f"/api/v1/jobs/job_x?wait={wait}"), "wait")

    run(main())


def test_null_means_the_default_and_unknown_fields_are_ignored(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        fields = ("temperature", "top_p", "stream", "node_id", "stop", "seed", "metadata")
        body = BODY | dict.fromkeys(fields) | {"nobody_knows": {"this": 1}, "temperature": 1}
        response = await client.post("/api/v1/jobs", json=body)
        assert response.status_code == 200
        assert (await system.ended(response.json()["id"])).content == TEXT
        response = await client.post("/api/v1/jobs", json=BODY | {"node_id": "node_unknown"})
        assert is_error(response, 404, "node_not_found", "node_id")
        response = await client.post("/api/v1/jobs", json=BODY | {"stream": True, "node_id": "node_unknown"})
        assert is_error(response, 404, "node_not_found")
        response = await client.post("/api/v1/jobs", json=BODY | {"node_id": system.node_ids[0], "stop": TEXT[20:24]})
        content = (await system.ended(response.json()["id"])).content
        assert content == TEXT.partition(TEXT[20:24])[0]

    with_api(database, scenario)


@pytest.mark.parametrize("context", [512, 16, 2048])
def test_an_answer_of_which_nobody_says_how_long_is_as_long_as_the_context_leaves(database: Path, context: int) -> None:
    narrow = replace(SIM, engine={**SIM.engine, "context_length": context})

    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        body = {name: value for name, value in BODY.items() if name != "max_tokens"}
        for said in ({}, {"max_tokens": None}):
            response = await client.post("/api/v1/jobs", json=body | said)
            assert response.status_code == 200, response.text
            usage = (await system.ended(response.json()["id"])).usage
            assert usage.completion_tokens == min(512, context - usage.prompt_tokens)
        response = await client.post("/api/v1/jobs", json=body | {"max_tokens": context})
        assert is_error(response, 400, "context_length_exceeded", f"maximum context length is {context} tokens")

    with_api(database, scenario, models=(narrow,))


def test_text_about_nul_is_text(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        body = BODY | {"messages": [{"role": "user", "content": r"What is \u0000 in C?"}]}
        assert (await client.post("/api/v1/jobs", json=body)).status_code == 200

    with_api(database, scenario)


def test_another_accounts_job_is_no_job(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        job_id = await completed(system, client)
        account = (await client.post("/api/v1/accounts", json={"name": "b"})).json()["id"]
        other = (await client.post("/api/v1/keys", json={"name": "b", "account": account})).json()["key"]
        async with door(system.gateway, other) as stranger:
            job_path = f"/api/v1/jobs/{job_id}"
            for method, path in (
                ("GET", job_path),
                ("GET", f"{job_path}?wait=60"),
                ("GET", f"{job_path}/stream"),
                ("GET", f"{job_path}/placement"),
                ("POST", f"{job_path}/cancel"),
                ("DELETE", job_path),
            ):
                theirs = await stranger.request(method, path)
                none = await stranger.request(method, path.replace(job_id, "job_none"))
                assert is_error(theirs, 404, "job_not_found")
                assert is_error(none, 404, "job_not_found")
                assert theirs.text.replace(job_id, "job_none") == none.text
            assert (await stranger.get("/api/v1/jobs")).json() == {"jobs": []}

    with_api(database, scenario)
