"""The HTTP door over the plain system: what the contract promises, answer by answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from actors.backends.simulated import prompt_tokens, simulated_text
from actors.rate_limiter import RateLimiter
from api.app import create_app
from api.dependencies import MAX_BODY_BYTES
from api.gateway import Gateway
from api.routes import jobs as job_routes
from cluster.catalogue import Model
from cluster.ids import AccountId, JobId, KeyId
from cluster.keys import secret_hash
from cluster.messages import ChatMessage, KeyLimits, Principal
from cluster.settings import Settings
from cluster.store import accounts, keys
from tests.unit.plain_system import ADMIN_KEY, PATIENCE_S, SIM, PlainSystem, run, until

pytestmark = pytest.mark.usefixtures("quick")

MESSAGES = [{"role": "user", "content": "Größe?"}]
BODY: dict[str, Any] = {"model": "sim", "messages": MESSAGES, "max_tokens": 40}
TEXT = simulated_text((ChatMessage("user", "Größe?"),), None, 40)
PROMPT = prompt_tokens((ChatMessage("user", "Größe?"),))

HANGING = replace(SIM, engine={**SIM.engine, "batch_slots": 1, "hang_at_token": 5})
"""Runs one job at a time, and each of them only up to this text."""
PARTIAL = simulated_text((ChatMessage("user", "Größe?"),), None, 5)

Scenario = Callable[[PlainSystem, httpx.AsyncClient], Awaitable[None]]


def with_api(database: Path, scenario: Scenario, **options: Any) -> None:
    async def main() -> None:
        async with PlainSystem(database, **options) as system:
            await system.ready()
            async with system.client() as client:
                await scenario(system, client)

    run(main())


class Stream:
    """Server-sent events, taken apart."""

    def __init__(self, body: str) -> None:
        self.blocks = body.split("\n\n")
        assert self.blocks.pop() == ""
        events = [dict(line.split(": ", 1) for line in block.split("\n")) for block in self.blocks if block[0] != ":"]
        self.ids = [int(event["id"]) for event in events if "id" in event]
        self.last: str = events[-1]["data"]
        self.texts: list[str] = [json.loads(event["data"])["text"] for event in events if "id" in event]
        self.text = "".join(self.texts)


def is_error(response: httpx.Response, status: int, code: str, names: str = "") -> bool:
    body = response.json()
    assert (response.status_code, body["error"]) == (status, code), body
    assert set(body) == {"error", "error_message"}
    assert names in body["error_message"]
    return True


async def completed(system: PlainSystem, client: httpx.AsyncClient, **fields: Any) -> str:
    """The id of a job that has completed."""
    job_id = str((await client.post("/api/v1/jobs", json=BODY | fields)).json()["id"])
    await system.ended(JobId(job_id))
    return job_id


async def hung(system: PlainSystem, client: httpx.AsyncClient) -> str:
    """The id of a job that a `HANGING` model has taken as far as it goes."""
    job_id = str((await client.post("/api/v1/jobs", json=BODY)).json()["id"])
    entries = system.journal._entries
    await until(lambda: job_id in entries and entries[job_id].log.text == PARTIAL, "a job that hangs")
    await until(lambda: system.rows(f"SELECT 1 FROM jobs WHERE id = '{job_id}' AND state = 'processing'"))
    return job_id


# Jobs ---------------------------------------------------------------------------------------------------------------


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

        (engine,) = system._engine_objects
        await until(lambda: not engine._logs, "an engine without jobs")
        assert (await engine.describe()).running == ()
        assert system.scheduler._leases == {}
        await hung(system, client)  # its place is free

    with_api(database, scenario, models=[HANGING])


def test_a_job_that_waits_can_be_cancelled(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        running = await hung(system, client)
        waiting = (await client.post("/api/v1/jobs", json=BODY)).json()["id"]
        job = (await client.post(f"/api/v1/jobs/{waiting}/cancel")).json()
        assert (job["status"], job["error"]) == ("failed", "cancelled")
        assert len(system.scheduler._queue) == 0
        assert (await client.get(f"/api/v1/jobs/{running}")).json()["status"] == "processing"

    with_api(database, scenario, models=[HANGING])


def test_a_job_that_has_ended_cannot_be_cancelled(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        job_id = await completed(system, client)
        assert is_error(await client.post(f"/api/v1/jobs/{job_id}/cancel"), 409, "conflict", job_id)
        assert (await client.get(f"/api/v1/jobs/{job_id}")).json()["status"] == "completed"
        assert len(system.rows("SELECT 1 FROM usage")) == 1

    with_api(database, scenario)


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
        await until(lambda: system.gateway.streams._live, "a request that waits")
        assert not waiting.done()
        cancelled = (await client.post(f"{path}/cancel")).json()
        async with asyncio.timeout(PATIENCE_S):
            assert (await waiting).json() == cancelled
            assert (await client.get(path, params={"wait": 60})).json() == cancelled
        assert system.gateway.streams._live == {}

    with_api(database, scenario, models=[HANGING])


@pytest.mark.parametrize("wait", ["-1", "61", "1.5", "x", ""])
def test_a_bad_wait_is_named(wait: str) -> None:
    async def main() -> None:
        async with _bare_client() as client:
            assert is_error(await client.get(f"/api/v1/jobs/job_x?wait={wait}"), 400, "bad_request", "wait")

    run(main())


def test_the_list(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        ids = [await completed(system, client, max_tokens=1) for _ in range(5)]

        async def listed(**query: Any) -> dict[str, Any]:
            response = await client.get("/api/v1/jobs", params=query)
            assert response.status_code == 200, response.text
            answer: dict[str, Any] = response.json()
            return answer

        everything = await listed()
        assert set(everything) == {"jobs"}
        assert {job["id"] for job in everything["jobs"]} == set(ids)
        newest_first = [job["id"] for job in everything["jobs"]]
        assert everything["jobs"][0] == (await client.get(f"/api/v1/jobs/{newest_first[0]}")).json()

        pages, cursor = [], None
        while True:
            page = await listed(limit=2, **({"cursor": cursor} if cursor else {}))
            pages.append([job["id"] for job in page["jobs"]])
            if (cursor := page.get("next_cursor")) is None:
                break
        assert list(map(len, pages)) == [2, 2, 1]
        assert [job_id for page in pages for job_id in page] == newest_first

        assert len((await listed(status="completed"))["jobs"]) == len((await listed(status="all"))["jobs"]) == 5
        assert (await listed(status="failed"))["jobs"] == (await listed(status="pending"))["jobs"] == []
        since = everything["jobs"][-1]["created_at"]
        assert len((await listed(since=since))["jobs"]) == 5
        assert len((await listed(since=since.removesuffix("Z")))["jobs"]) == 5
        assert len((await listed(since="2020-01-31"))["jobs"]) == 5
        assert (await listed(since="2999-01-01T00:00:00+02:00"))["jobs"] == []

    with_api(database, scenario)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=", "limit"),
        ("limit=x", "limit"),
        ("status=", "status"),
        ("status=done", "status"),
        ("since=", "since"),
        ("since=yesterday", "since"),
        ("cursor=", "cursor"),
        ("cursor=!!", "cursor"),
        ("cursor=Zm9v", "cursor"),
        ("cursor=é", "cursor"),
        # "9999999999999999999999999999.job_x": no such time
        ("cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTkuam9iX3g=", "cursor"),
    ],
)
def test_a_bad_query_is_named(query: str, names: str) -> None:
    async def main() -> None:
        async with _bare_client() as client:
            assert is_error(await client.get(f"/api/v1/jobs?{query}"), 400, "bad_request", names)

    run(main())


# Streams ------------------------------------------------------------------------------------------------------------


def test_the_stream_of_a_submission(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        response = await client.post("/api/v1/jobs", json=BODY | {"stream": True})
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        job_id = response.headers["x-job-id"]
        assert response.headers["location"] == f"/api/v1/jobs/{job_id}"
        assert {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"} <= set(response.headers)
        stream = Stream(response.text)
        assert stream.text == TEXT
        assert stream.last == "[DONE]"
        lengths = [len("".join(stream.texts[: n + 1])) for n in range(len(stream.texts))]
        assert stream.ids == lengths  # code points, of which some here lie outside the BMP
        job = (await client.get(f"/api/v1/jobs/{job_id}")).json()
        assert job["result"]["content"] == stream.text

    with_api(database, scenario)


def test_streams_from_every_position(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        job_id = await completed(system, client)
        path = f"/api/v1/jobs/{job_id}/stream"

        async def streamed(query: str = "", **headers: str) -> Stream:
            response = await client.get(path + query, headers={k.replace("_", "-"): v for k, v in headers.items()})
            stream = Stream(response.text)
            assert stream.last == "[DONE]"
            return stream

        assert (await streamed()).text == TEXT
        assert (await streamed(last_event_id="9")).text == TEXT[9:]
        assert (await streamed("?after=9")).text == TEXT[9:]
        assert (await streamed("?after=0", last_event_id="9")).text == TEXT
        assert (await streamed("?after=9")).ids[-1] == len(TEXT)
        beyond = await streamed("?after=999999")
        assert (beyond.text, beyond.ids) == ("", [])
        for bad in ("-1", "x", "", "1.0", "٣", "9" * 30):
            assert is_error(await client.get(path, params={"after": bad}), 400, "bad_request", "after")
        response = await client.get(path, headers={"Last-Event-ID": "x"})
        assert is_error(response, 400, "bad_request", "Last-Event-ID")

    with_api(database, scenario)


def test_a_stream_is_sent_as_it_comes_and_goes_on_elsewhere(database: Path) -> None:
    async def main() -> None:
        async with PlainSystem(database) as system, system.served() as client:
            await system.ready()
            async with client.stream("POST", "/api/v1/jobs", json=BODY | {"max_tokens": 300, "stream": True}) as answer:
                job_id = answer.headers["x-job-id"]
                head = b""
                async with aclosing(answer.aiter_raw()) as parts:
                    async for part in parts:
                        head += part
                        if len(head) > 500:
                            break
            events = head.decode(errors="ignore").rpartition("\n\n")[0] + "\n\n"
            assert "[DONE]" not in events
            first = Stream(events)
            # The client has gone: the job goes on, and so can its reader.
            headers = {"Last-Event-ID": str(first.ids[-1])}
            rest = Stream((await client.get(f"/api/v1/jobs/{job_id}/stream", headers=headers)).text)
            whole = simulated_text((ChatMessage("user", "Größe?"),), None, 300)
            assert first.text + rest.text == whole
            assert rest.last == "[DONE]"

    run(main())


def test_silence_is_filled_with_comments(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_routes, "PING_S", 0.02)
    silent = Model(id="sim", backend="simulated", gpus=0, engine={"first_token_s": 0.1, "token_s": 0.001})

    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        response = await client.post("/api/v1/jobs", json=BODY | {"stream": True})
        stream = Stream(response.text)
        assert stream.blocks[0] == ": ping"
        assert stream.text == TEXT

    with_api(database, scenario, models=[silent])


# The rest of the paths ----------------------------------------------------------------------------------------------


def test_models_nodes_and_health(database: Path) -> None:
    idle = Model(id="big", backend="simulated", gpus=8)

    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        await completed(system, client)
        (model,) = (await client.get("/api/v1/models")).json()["models"]
        assert set(model) == {"id", "nodes", "avg_tokens_per_second"}
        assert (model["id"], model["nodes"]) == ("sim", 1)
        assert type(model["avg_tokens_per_second"]) is int
        assert model["avg_tokens_per_second"] > 0
        catalogue = (await client.get("/api/v1/models?all=true")).json()["models"]
        assert [(entry["id"], entry["state"], entry["replicas"]) for entry in catalogue] == [
            ("sim", "ready", 1),
            ("big", "failed", 0),
        ]

        node_id = system.node_ids[0]
        (node,) = (await client.get("/api/v1/nodes")).json()["nodes"]
        assert (node["id"], node["status"], node["models"]) == (node_id, "online", ["sim"])
        assert (await client.get(f"/api/v1/nodes/{node_id}")).json()["id"] == node_id
        assert is_error(await client.get("/api/v1/nodes/node_0"), 404, "node_not_found")
        async with system.client(key=None) as stranger:
            assert (await stranger.get(f"/api/v1/nodes/{node_id}/status")).json() == {"status": "online"}
            assert is_error(await stranger.get("/api/v1/nodes/node_0/status"), 404, "node_not_found")
            assert (await stranger.get("/healthz")).status_code == 200
            assert (await stranger.get("/readyz")).status_code == 200
            assert (await stranger.get("/openapi.json")).status_code == 200
            assert is_error(await stranger.get("/nowhere"), 404, "not_found")

    with_api(database, scenario, models=[SIM, idle])


def test_not_ready_when_no_model_can_be(database: Path) -> None:
    async def main() -> None:
        models = [Model(id="big", backend="simulated", gpus=8)]
        async with PlainSystem(database, models=models) as system, system.client() as client:
            await until(lambda: not system.scheduler._fleet.model_views({})[0].fits)
            assert is_error(await client.get("/readyz"), 503, "no_capacity")
            response = await client.post("/api/v1/jobs", json=BODY | {"model": "big"})
            assert is_error(response, 503, "no_capacity")
            assert system.rows("SELECT count(*) FROM jobs") == [(0,)]

    run(main())


# Errors -------------------------------------------------------------------------------------------------------------


class NoCluster:
    """Answers what the first steps of a request need, and fails at everything else."""

    def __init__(self, limits: KeyLimits | None = None) -> None:
        self.limits = limits or KeyLimits()

    async def authenticate(self, key_hash: str) -> Any:
        if key_hash != secret_hash(ADMIN_KEY):
            return None
        return Principal(AccountId("acct"), KeyId("key"), "admin", self.limits)

    def __getattr__(self, method: str) -> Any:
        if method.startswith("__"):
            raise AttributeError(method)

        async def fail(*_: Any) -> Any:
            raise RuntimeError(f"secret insides of {method}")

        return fail


def _bare_client(limits: KeyLimits | None = None, key: str | None = ADMIN_KEY) -> httpx.AsyncClient:
    """An application with nothing behind it but the keys: requests that are refused need no more."""
    cluster: Any = NoCluster(limits=limits)
    gateway = Gateway(Settings(models=(SIM,)), cluster, RateLimiter({}), cluster, cluster)
    transport = httpx.ASGITransport(create_app(gateway), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(transport=transport, base_url="http://infernet", headers=headers)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer    ",
        "Bearer nothing",
        f"Bearer {ADMIN_KEY}x",
        f"Bearer {ADMIN_KEY} x",
        f"Basic {ADMIN_KEY}",
        ADMIN_KEY,
        "Bearer " + "é" * 40,
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/nowhere", "/api/v2"])
def test_every_bad_token_gets_the_same_answer(header: str | None, path: str) -> None:
    async def main() -> None:
        async with _bare_client(key=None) as client:
            headers = {} if header is None else {b"Authorization": header.encode()}
            response = await client.get(path, headers=headers)
            assert is_error(response, 401, "unauthorized")
            assert response.json()["error_message"] == "Invalid or expired bearer token"
            assert response.headers["www-authenticate"] == "Bearer"
            assert "x-ratelimit-limit" not in response.headers

    run(main())


def test_the_scheme_is_matched_in_any_case() -> None:
    async def main() -> None:
        async with _bare_client(key=None) as client:
            response = await client.get("/api/v1/nowhere", headers={"Authorization": f"bEaReR {ADMIN_KEY}"})
            assert is_error(response, 404, "not_found")

    run(main())


def test_bad_bodies_are_refused_and_the_field_is_named() -> None:
    cases: list[tuple[str | dict[str, Any], str]] = [
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "body"),
        ("null", "body"),
        ({}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"model": 1}, "model"),
        ({"model": ""}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": 1.0}, "max_tokens"),
        ({"max_tokens": 2**63}, "max_tokens"),
        ({"max_tokens": 10**400}, "max_tokens"),
        ({"temperature": "0.7"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": 2.01}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_p": float("inf")}, "top_p"),
        ({"stream": 1}, "stream"),
        ({"stream": "true"}, "stream"),
        ({"node_id": 5}, "node_id"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"seed": 2**63}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"messages": [{"role": "user", "content": "a\0b"}]}, "NUL"),
        ('{"model": "sim", "messages": [{"role": "user", "content": "\\ud800"}]}', "JSON"),
    ]

    async def main() -> None:
        async with _bare_client(KeyLimits(submissions_per_minute=1000)) as client:
            for body, names in cases:
                if isinstance(body, dict):
                    body = json.dumps((BODY | body) if body else {})
                assert is_error(await client.post("/api/v1/jobs", content=body), 400, "bad_request", names), body
            response = await client.post("/api/v1/jobs", content=b'{"model": "\xff"}')
            assert is_error(response, 400, "bad_request", "JSON")
            response = await client.post("/api/v1/jobs", json=BODY | {"model": "nothing"})
            assert is_error(response, 404, "model_not_found", "nothing")

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


def test_text_about_nul_is_text(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        body = BODY | {"messages": [{"role": "user", "content": r"What is \u0000 in C?"}]}
        assert (await client.post("/api/v1/jobs", json=body)).status_code == 200

    with_api(database, scenario)


def test_unknown_paths_and_methods() -> None:
    async def main() -> None:
        async with _bare_client() as client:
            for path in ("/api/v1/nowhere", "/api/v1/jobs/", "/api/v2/jobs", "/api/"):
                response = await client.get(path)
                assert is_error(response, 404, "not_found")
                assert "x-ratelimit-limit" in response.headers
            for method, path in (("DELETE", "/api/v1/jobs"), ("POST", "/api/v1/models"), ("PUT", "/api/v1/jobs/x")):
                response = await client.request(method, path)
                assert is_error(response, 405, "method_not_allowed", method)
                assert "x-ratelimit-limit" in response.headers

    run(main())


def test_another_accounts_job_is_no_job(database: Path) -> None:
    other = "inft_" + "b" * 32

    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        job_id = await completed(system, client)
        store = system.ledger._database
        assert store is not None
        key = keys.NewKey(KeyId("key_b"), AccountId("acct_b"), "b", "inft_b", secret_hash(other), "member", 0)
        add_account = lambda connection: accounts.add(connection, AccountId("acct_b"), "b", 0)  # noqa: E731
        assert store.commit([add_account, lambda connection: keys.add(connection, key)]) == [None, None]
        async with system.client(other) as stranger:
            job_path = f"/api/v1/jobs/{job_id}"
            for method, path in (
                ("GET", job_path),
                ("GET", f"{job_path}?wait=60"),
                ("GET", f"{job_path}/stream"),
                ("POST", f"{job_path}/cancel"),
            ):
                theirs = await stranger.request(method, path)
                none = await stranger.request(method, path.replace(job_id, "job_none"))
                assert is_error(theirs, 404, "job_not_found")
                assert is_error(none, 404, "job_not_found")
                assert theirs.text.replace(job_id, "job_none") == none.text
            assert (await stranger.get("/api/v1/jobs")).json() == {"jobs": []}

    with_api(database, scenario)


def test_too_large_a_body() -> None:
    async def main() -> None:
        async with _bare_client() as client:
            large = b" " * (MAX_BODY_BYTES + 1)
            assert is_error(await client.post("/api/v1/jobs", content=large), 413, "payload_too_large")

            async def parts() -> Any:
                for _ in range(3):
                    yield large[: MAX_BODY_BYTES // 2]

            assert is_error(await client.post("/api/v1/jobs", content=parts()), 413, "payload_too_large")
            assert is_error(await client.post("/api/v1/jobs", content=large[:-1]), 400, "bad_request")

    run(main())


def test_the_limits_and_their_headers() -> None:
    async def main() -> None:
        async with _bare_client(KeyLimits(submissions_per_minute=2, reads_per_minute=1)) as client:
            left = []
            for _ in range(2):
                response = await client.post("/api/v1/jobs", content="refused, and charged")
                assert is_error(response, 400, "bad_request")
                left.append(response.headers["x-ratelimit-remaining"])
            assert left == ["1", "0"]
            response = await client.post("/api/v1/jobs", json=BODY)
            assert is_error(response, 429, "rate_limited")
            assert int(response.headers["retry-after"]) >= 1
            assert response.headers["x-ratelimit-limit"] == "2"
            assert response.headers["x-ratelimit-remaining"] == "0"
            assert int(response.headers["x-ratelimit-reset"]) % 60 == 0
            # Reads have a bucket of their own.
            response = await client.get("/api/v1/nowhere")
            assert is_error(response, 404, "not_found")
            assert response.headers["x-ratelimit-limit"] == "1"
            assert is_error(await client.get("/api/v1/nowhere"), 429, "rate_limited")

    run(main())


def test_what_fails_inside_stays_inside() -> None:
    async def main() -> None:
        async with _bare_client() as client:
            for path in ("/api/v1/jobs", "/api/v1/jobs/job_x", "/api/v1/models", "/readyz"):
                response = await client.get(path)
                assert is_error(response, 500, "internal_error")
                assert "secret" not in response.text
                assert ("x-ratelimit-limit" in response.headers) is path.startswith("/api/")
            assert "secret" not in (await client.post("/api/v1/jobs", json=BODY)).text

    run(main())
