"""The HTTP door over the plain system: what the contract promises, answer by answer."""

import asyncio
import json
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from actors.backends.prompts.by_length import prompt_tokens
from actors.backends.simulated import simulated_text
from actors.wire.calls import Unreachable
from api.http.dependencies import MAX_BODY_BYTES
from api.replica.gateway import Gateway
from cluster.catalogue import Model, Price
from cluster.ids import JobId
from cluster.messages.people import KeyLimits
from cluster.messages.work import ChatMessage
from cluster.settings.schema import Settings
from cluster.timing import Timing
from tests.support.http_door import Stream, bare_client, bare_gateway, door, is_error, names_field, with_api
from tests.support.plain_system import ADMIN_KEY, PATIENCE_S, QUICK, SIM, PlainSystem, run, until

MESSAGES = [{"role": "user", "content": "Größe?"}]
BODY: dict[str, Any] = {"model": "sim", "messages": MESSAGES, "max_tokens": 40}
TEXT = simulated_text((ChatMessage("user", "Größe?"),), None, 40)
PROMPT = prompt_tokens((ChatMessage("user", "Größe?"),))

HANGING = replace(SIM, engine={**SIM.engine, "batch_slots": 1, "hang_at_token": 5})
"""Runs one job at a time, and each of them only up to this text."""
PARTIAL = simulated_text((ChatMessage("user", "Größe?"),), None, 5)


async def completed(system: PlainSystem, client: httpx.AsyncClient, **fields: Any) -> str:
    """The id of a job that has completed."""
    job_id = str((await client.post("/api/v1/jobs", json=BODY | fields)).json()["id"])
    await system.ended(JobId(job_id))
    return job_id


async def hung(system: PlainSystem, client: httpx.AsyncClient) -> str:
    """The id of a job that a `HANGING` model has taken as far as it goes."""
    job_id = str((await client.post("/api/v1/jobs", json=BODY)).json()["id"])

    async def hangs() -> bool:
        return (await system.journal.output(JobId(job_id))).text == PARTIAL

    await until(hangs, "a job that hangs")
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


def test_the_same_key_and_body_give_the_same_job(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        async def posted(key: str = "order-1", **fields: Any) -> httpx.Response:
            return await client.post("/api/v1/jobs", json=BODY | fields, headers={"Idempotency-Key": key})

        first = await posted(stop="é", metadata={"a": "1", "b": "2"})
        assert first.status_code == 200
        await system.ended(first.json()["id"])
        # Neither nulls, defaults, spellings of the same nor the order of keys make another body.
        for same in (
            {"stop": ["é"], "metadata": {"b": "2", "a": "1"}},
            {"stop": "é", "metadata": {"a": "1", "b": "2"}, "seed": None, "top_p": 1, "temperature": 0.7, "new": 1},
        ):
            again = await posted(**same)
            assert (again.status_code, again.json()) == (200, first.json())
        assert system.rows("SELECT count(*) FROM jobs") == [(1,)]

        for other in ({}, {"stop": "e"}, {"stop": "é", "metadata": {"a": "1"}}, {"stop": "é", "temperature": 0.8}):
            assert is_error(await posted(**other), 409, "conflict")
        assert (await posted("order-2")).json()["id"] != first.json()["id"]

    with_api(database, scenario)


def test_the_same_key_gives_the_same_stream_from_the_start(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        async def posted() -> httpx.Response:
            headers = {"Idempotency-Key": "s"}
            return await client.post("/api/v1/jobs", json=BODY | {"stream": True}, headers=headers)

        answers = [await posted() for _ in range(3)]
        assert len({answer.headers["x-job-id"] for answer in answers}) == 1
        for answer in answers:
            stream = Stream(answer.text)
            assert (stream.text, stream.last) == (TEXT, "[DONE]")

    with_api(database, scenario)


def test_a_refused_submission_does_not_use_its_key_up(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        headers = {"Idempotency-Key": "k"}
        refused = await client.post("/api/v1/jobs", json=BODY | {"model": "nothing"}, headers=headers)
        assert is_error(refused, 404, "model_not_found")
        assert (await client.post("/api/v1/jobs", json=BODY, headers=headers)).status_code == 200

    with_api(database, scenario)


def test_bad_idempotency_keys_are_refused() -> None:
    async def main() -> None:
        async with bare_client() as client:
            bad: list[list[tuple[str, str]]] = [
                [("Idempotency-Key", "")],
                [("Idempotency-Key", "x" * 256)],
                [("Idempotency-Key", "a"), ("Idempotency-Key", "a")],
            ]
            for headers in bad:
                response = await client.post("/api/v1/jobs", json=BODY, headers=headers)
                assert names_field(response, "Idempotency-Key")

    run(main())


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
    "query",
    [
        *(f"limit={bad}" for bad in ("0", "101", "-1", "", "x", "1.0", "1e1", "0x5", "5&limit=5", "9" * 400, "%00")),
        *(f"status={bad}" for bad in ("", "done", "PENDING", "all&status=all", "pending%00")),
        *(f"since={bad}" for bad in ("", "yesterday", "1714486000", "2020-02-30", "2020-01-01T25:00", "0000-01-01")),
        *(f"since={bad}" for bad in ("10000-01-01", "2020-01-01%00", "2020-01-01T00:00:00 02:00", "2020-01-01T")),
        *(
            f"cursor={bad}"
            for bad in ("", "!!", "Zm9v", "é", "5.job_x", "5.job_0123456789abcdef%00", "5.job_" + "0" * 99)
        ),
        "cursor=9999999999999999999999999999.job_0123456789abcdef",
        "cursor=-5.job_0123456789abcdef",
    ],
)
def test_a_bad_query_is_named(query: str) -> None:
    async def main() -> None:
        async with bare_client() as client:
            assert names_field(await client.get(f"/api/v1/jobs?{query}"), query.partition("=")[0])

    run(main())


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("models", "all="),
        ("models", "all=1"),
        ("models", "all=TRUE"),
        ("models", "all=true&all=true"),
        ("usage", "group_by="),
        ("usage", "group_by=accounts"),
        ("usage", "group_by=day,"),
        ("usage", "group_by=day, model"),
        ("usage", "format="),
        ("usage", "format=CSV"),
        ("usage", "since=now"),
        ("usage", "until="),
        ("usage", "account="),
        ("usage", "account=a%00"),
        ("keys", "account="),
        ("keys", "account=a&account=b"),
    ],
)
def test_a_bad_query_of_another_path_is_named(path: str, query: str) -> None:
    async def main() -> None:
        async with bare_client() as client:
            assert names_field(await client.get(f"/api/v1/{path}?{query}"), query.partition("=")[0])

    run(main())


def test_extreme_times_are_times(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        job_id = await completed(system, client, max_tokens=1)

        async def ids(since: str) -> list[str]:
            response = await client.get("/api/v1/jobs", params={"since": since})
            assert response.status_code == 200, response.text
            return [job["id"] for job in response.json()["jobs"]]

        for ancient in (
            "0001-01-01",
            "0001-01-01T00:00:00+23:59",
            "2020-01-01T00:00:00.123456789Z",
            "2020-01-01t00:00z",
        ):
            assert await ids(ancient) == [job_id]
        for distant in ("9999-12-31", "9999-12-31T23:59:59-23:59"):
            assert await ids(distant) == []

    with_api(database, scenario)


def test_the_list_begins_at_since_to_the_millisecond(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        job_id = await completed(system, client, max_tokens=1)
        ((created_ms,),) = system.rows(f"SELECT created_ms FROM jobs WHERE id = '{job_id}'")

        async def count(ms: int) -> int:
            since = datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000).isoformat()
            return len((await client.get("/api/v1/jobs", params={"since": since})).json()["jobs"])

        assert [await count(created_ms - 1), await count(created_ms), await count(created_ms + 1)] == [1, 1, 0]

    with_api(database, scenario)


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
        for bad in ("x", "", "-1", "1.0", "9" * 30):
            assert names_field(await client.get(path, headers={"Last-Event-ID": bad}), "Last-Event-ID")
        assert (await streamed("?after=9", last_event_id="x")).text == TEXT[9:]

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
            first = Stream(events, is_whole=False)
            # The client has gone: the job goes on, and so can its reader.
            headers = {"Last-Event-ID": str(first.ids[-1])}
            rest = Stream((await client.get(f"/api/v1/jobs/{job_id}/stream", headers=headers)).text)
            whole = simulated_text((ChatMessage("user", "Größe?"),), None, 300)
            assert first.text + rest.text == whole
            assert rest.last == "[DONE]"

    run(main())


def test_silence_is_filled_with_comments(database: Path) -> None:
    silent = Model(id="sim", backend="simulated", gpus=0, engine={"first_token_s": 0.1, "token_s": 0.001})

    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        response = await client.post("/api/v1/jobs", json=BODY | {"stream": True})
        stream = Stream(response.text)
        assert stream.blocks[0] == ": ping"
        assert stream.text == TEXT

    with_api(database, scenario, models=[silent], timing=replace(QUICK, silence_s=0.02))


# The rest of the paths ----------------------------------------------------------------------------------------------


def test_models_nodes_and_health(database: Path) -> None:
    idle = Model(id="big", backend="simulated", gpus=8, price=Price(0.25, 1.5))

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
        assert [entry["price"] for entry in catalogue] == [
            {"prompt": 0.0, "completion": 0.0},
            {"prompt": 0.25, "completion": 1.5},
        ]
        assert (await client.get("/api/v1/models?all=false")).json()["models"] == [model]

        node_id = system.node_ids[0]
        (node,) = (await client.get("/api/v1/nodes")).json()["nodes"]
        assert (node["id"], node["status"], node["models"]) == (node_id, "online", ["sim"])
        assert (await client.get(f"/api/v1/nodes/{node_id}")).json()["id"] == node_id
        assert is_error(await client.get("/api/v1/nodes/node_0"), 404, "node_not_found")
        async with door(system.gateway, key=None) as stranger:
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
        async with PlainSystem(database, models=models) as system, door(system.gateway) as client:
            await until(lambda: not system.scheduler.fleet.models.views({}, 0.0)[0].fits)
            for path in ("/readyz", "/health", "/ping"):
                assert is_error(await client.get(path), 503, "no_capacity")
            response = await client.post("/api/v1/jobs", json=BODY | {"model": "big"})
            assert is_error(response, 503, "no_capacity")
            assert system.rows("SELECT count(*) FROM jobs") == [(0,)]

    run(main())


class Silent:
    """A control plane that does not answer."""

    def __getattr__(self, method: str) -> Any:
        async def wait_forever(*_: Any) -> Any:
            await asyncio.Event().wait()

        return wait_forever


def test_not_ready_when_the_control_plane_does_not_answer_and_metrics_say_so() -> None:
    silent: Any = Silent()
    impatient = Timing(health_s=0.01)
    gone = bare_gateway(error=Unreachable("scheduler"))

    async def main() -> None:
        nobody = Gateway(Settings(models=(SIM,)), silent, silent, silent, silent, timing=impatient)
        for gateway, counts in ((nobody, 0), (gone, 1)):
            async with door(gateway, key=None) as client:
                assert is_error(await client.get("/readyz"), 503, "no_capacity", "control plane")
                assert (await client.get("/healthz")).json() == {"status": "ok"}
                metrics = await client.get("/metrics")
                assert metrics.status_code == 200
                samples = [line for line in metrics.text.splitlines() if not line.startswith("#")]
                assert samples.pop().startswith("infernet_build_info{")
                up = {"scheduler": 0, "ledger": 0, "database": 0, "rate_limiter": counts, "journal": 0}
                assert samples == [f'infernet_up{{part="{part}"}} {value}.0' for part, value in up.items()]

    run(main())


def test_not_ready_when_all_queues_are_full(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        await hung(system, client)
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.post("/api/v1/jobs", json=BODY)).status_code == 200
        assert is_error(await client.get("/readyz"), 503, "no_capacity", "full")
        assert is_error(await client.post("/api/v1/jobs", json=BODY), 503, "no_capacity")

    with_api(database, scenario, models=[replace(HANGING, max_queue=1)])


def test_not_ready_while_it_stops_and_what_is_submitted_is_to_come_back(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        await hung(system, client)
        stopping = asyncio.create_task(system.scheduler.quiesce(PATIENCE_S))
        await until(lambda: system.scheduler.leases.quiescent)
        for path in ("/readyz", "/health", "/ping"):
            assert is_error(await client.get(path), 503, "no_capacity", "shutting down")
        for path in ("/api/v1/jobs", "/v1/chat/completions"):
            response = await client.post(path, json=BODY)
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "1"
        assert not stopping.done()
        stopping.cancel()

    with_api(database, scenario, models=[HANGING])


def test_identifiers_that_no_database_holds_name_nothing() -> None:
    async def main() -> None:
        async with bare_client() as client:
            for path in ("jobs/job_%00", "jobs/%00/stream", "jobs/%00/placement"):
                assert is_error(await client.get(f"/api/v1/{path}"), 404, "job_not_found")
            assert is_error(await client.post("/api/v1/jobs/%00/cancel"), 404, "job_not_found")
            assert is_error(await client.delete("/api/v1/keys/%00"), 404, "key_not_found")

    run(main())


# Errors -------------------------------------------------------------------------------------------------------------


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
        async with bare_client(key=None) as client:
            headers = {} if header is None else {b"Authorization": header.encode()}
            response = await client.get(path, headers=headers)
            assert is_error(response, 401, "unauthorized")
            assert response.json()["error_message"] == "Invalid or expired bearer token"
            assert response.headers["www-authenticate"] == "Bearer"
            assert "x-ratelimit-limit" not in response.headers

    run(main())


def test_the_scheme_is_matched_in_any_case() -> None:
    async def main() -> None:
        async with bare_client(key=None) as client:
            response = await client.get("/api/v1/nowhere", headers={"Authorization": f"bEaReR {ADMIN_KEY}"})
            assert is_error(response, 404, "not_found")

    run(main())


def test_bad_bodies_are_refused_and_the_field_is_named() -> None:
    cases: list[tuple[str | dict[str, Any], str]] = [
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "Request body"),
        ("null", "Request body"),
        ('{"model": ' + "[" * 100_000, "JSON"),
        (json.dumps(BODY)[:-1] + ', "unknown": ' + "[" * 1000 + "]" * 1000 + "}", "JSON"),
        (json.dumps(BODY)[:-1] + ', "max_tokens": ' + "9" * 5000 + "}", "JSON"),
        (json.dumps(BODY)[:-1] + ', "max_tokens": 1e400}', "max_tokens"),
        (json.dumps(BODY)[:-1] + ', "temperature": 1e400}', "temperature"),
        (json.dumps(BODY)[:-1] + ', "seed": 1e400}', "seed"),
        (json.dumps(BODY)[:-1] + ', "top_p": -1e400}', "top_p"),
        ("\ufeff" + json.dumps(BODY), "JSON"),
        (json.dumps(BODY) + "x", "JSON"),
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
        ({"metadata": {"a\0": "1"}}, "metadata"),
        ({"metadata": [["a", "b"]]}, "metadata"),
        ({"metadata": {"x" * 100_000: 1}}, "metadata." + "x" * 64 + ":"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": "a\0b"}]}, "messages[0].content"),
        ({"stop": "\0"}, "stop"),
        ({"node_id": "\0"}, "node_id"),
        ({"node_id": ""}, "node_id"),
        ({"model": "\0"}, "model"),
        ({"seed": True}, "seed"),
        ('{"model": "sim", "messages": [{"role": "user", "content": "\\ud800"}]}', "JSON"),
    ]

    async def main() -> None:
        async with bare_client(KeyLimits(submissions_per_minute=1000)) as client:
            for body, names in cases:
                if isinstance(body, dict):
                    body = json.dumps((BODY | body) if body else {})
                response = await client.post("/api/v1/jobs", content=body)
                assert is_error(response, 400, "bad_request", names), body
                assert names == "JSON" or response.json()["error_message"].startswith(names), response.json()
                assert "MessageRequest" not in response.text
                assert len(response.text) < 300
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


def test_unknown_paths_and_methods() -> None:
    async def main() -> None:
        async with bare_client() as client:
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


def test_too_large_a_body() -> None:
    async def main() -> None:
        async with bare_client() as client:
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
        async with bare_client(KeyLimits(submissions_per_minute=2, reads_per_minute=1)) as client:
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
        async with bare_client() as client:
            for path in ("/api/v1/jobs", "/api/v1/jobs/job_x", "/api/v1/models", "/readyz"):
                response = await client.get(path)
                assert is_error(response, 500, "internal_error")
                assert "secret" not in response.text
                assert ("x-ratelimit-limit" in response.headers) is path.startswith("/api/")
            assert "secret" not in (await client.post("/api/v1/jobs", json=BODY)).text

    run(main())
