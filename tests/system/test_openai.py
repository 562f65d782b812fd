"""The OpenAI layer, as OpenAI's own client finds it."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from msgspec.structs import replace
from openai import AsyncOpenAI
from pydantic import BaseModel

from actors.backends.simulated import simulated_text
from actors.machine.log_lines import job_of
from cluster.ids import JobId, new_key_id
from cluster.keys import new_secret
from cluster.messages.people import KeyLimits, KeyRole, NewKey
from cluster.messages.work import ChatMessage
from tests.support.http_door import with_api
from tests.support.openai_door import (
    ASKED,
    BODY,
    FAILING,
    HANGING,
    PARTIAL,
    PROMPT,
    QUESTION,
    TEXT,
    job_ids,
    with_openai,
)
from tests.support.plain_system import SIM, PlainSystem, until

USAGE = {"prompt_tokens": PROMPT, "completion_tokens": 40, "total_tokens": PROMPT + 40}


async def new_key(system: PlainSystem, role: KeyRole = "member", **fields: Any) -> str:
    secret = new_secret()
    key = NewKey(new_key_id(), system.principal.account_id, "a key", secret, role, created_ms=0, **fields)
    await system.ledger.create_key(system.principal, key)
    return secret


# Answers ------------------------------------------------------------------------------------------------------------


def failed(system: PlainSystem, model: str) -> bool:
    return any(view.id == model and view.state == "failed" for view in system.scheduler.fleet.models.views({}, 0.0))


def test_a_completion_is_the_result_of_a_job(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        raw = await client.chat.completions.with_raw_response.create(
            **BODY | {"model": "sim-alias"}, metadata={"a": "é"}
        )
        job = await system.record(JobId(raw.headers["X-Job-Id"]))
        assert json.loads(raw.content) == {
            "id": f"chatcmpl-{job.id.removeprefix('job_')}",
            "object": "chat.completion",
            "created": job.created_ms // 1000,
            "model": "sim",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": TEXT, "refusal": None},
                    "finish_reason": "length",
                    "logprobs": None,
                }
            ],
            "usage": USAGE,
        }
        assert (job.content, job.finish_reason, job.metadata) == (TEXT, "length", {"a": "é"})
        assert raw.parse().choices[0].message.content == TEXT

    with_openai(database, scenario)


def test_a_stream_is_the_same_answer_in_chunks(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(**BODY, stream=True)
        job_id = stream.response.headers["X-Job-Id"]
        first, *chunks, last = [chunk async for chunk in stream]
        assert first.choices[0].delta.role == "assistant"
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
        assert {chunk.choices[0].finish_reason for chunk in (first, *chunks)} == {None}
        assert (last.choices[0].finish_reason, last.choices[0].delta.content) == ("length", None)
        assert {chunk.id for chunk in (first, *chunks, last)} == {f"chatcmpl-{job_id.removeprefix('job_')}"}
        assert {chunk.usage for chunk in (first, *chunks, last)} == {None}

    with_openai(database, scenario)


def test_a_stream_tells_its_usage_in_a_last_chunk_if_asked(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(**BODY, stream=True, stream_options={"include_usage": True})
        *chunks, last = [chunk async for chunk in stream]
        assert all("usage" in chunk.model_fields_set and chunk.usage is None for chunk in chunks)
        assert last.choices == []
        assert last.usage is not None
        assert last.usage.model_dump(exclude_unset=True) == USAGE

    with_openai(database, scenario)


def test_a_stream_on_the_wire(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        response = await client.chat.completions.with_raw_response.create(**BODY | {"max_tokens": 1}, stream=True)
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        body = b"".join([part async for part in response.http_response.aiter_bytes()])
        *events, done, end = body.decode().split("\n\n")
        assert (done, end) == ("data: [DONE]", "")
        chunks = [json.loads(event.removeprefix("data: ")) for event in events]
        assert [set(chunk) for chunk in chunks] == [{"id", "object", "created", "model", "choices"}] * 3
        assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
            {"role": "assistant", "content": "", "refusal": None},
            {"content": simulated_text(ASKED, None, 1)},
            {},
        ]

    with_openai(database, scenario)


def test_a_dialogue_with_parts_and_a_developer(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        dialogue: Any = [
            {"role": "developer", "content": "Be brief."},
            QUESTION | {"name": "someone"},
            {"role": "assistant", "content": [{"type": "text", "text": "Groß."}], "tool_calls": []},
            {"role": "user", "content": [{"type": "text", "text": "Wie"}, {"type": "text", "text": "groß?"}]},
        ]
        heard = (
            ChatMessage("system", "Be brief."),
            *ASKED,
            ChatMessage("assistant", "Groß."),
            ChatMessage("user", "Wie\ngroß?"),
        )
        answer = await client.chat.completions.create(**BODY | {"messages": dialogue}, seed=7)
        assert answer.choices[0].message.content == simulated_text(heard, 7, 40)

    with_openai(database, scenario)


def test_stop_strings(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        word = TEXT.split()[3]
        for stop in (word, ["never said", word]):
            answer = await client.chat.completions.create(**BODY, stop=stop)
            assert answer.choices[0].message.content == TEXT[: TEXT.index(word)]
            assert answer.choices[0].finish_reason == "stop"

    with_openai(database, scenario)


class Capital(BaseModel):
    """What a client of the SDK wants parsed."""

    city: str
    inhabitants: int | None


def test_a_schema_that_a_simulated_model_cannot_follow_is_refused(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        with pytest.raises(openai.BadRequestError, match="structured outputs") as refused:
            await client.chat.completions.parse(**BODY, response_format=Capital)
        assert refused.value.param == "response_format"
        assert job_ids(system) == []

    with_openai(database, scenario)


def test_the_same_idempotency_key_gets_the_same_completion(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        headers = {"Idempotency-Key": "once"}
        first = await client.chat.completions.create(**BODY, extra_headers=headers)
        assert await client.chat.completions.create(**BODY, extra_headers=headers) == first
        assert await client.chat.completions.create(**BODY, n=1, user="me", extra_headers=headers) == first
        with pytest.raises(openai.ConflictError) as refused:
            await client.chat.completions.create(**BODY, seed=1, extra_headers=headers)
        assert refused.value.code == "conflict"
        assert refused.value.response.headers["X-Should-Retry"] == "false"
        assert len(job_ids(system)) == 1

    with_openai(database, scenario)


# Models -------------------------------------------------------------------------------------------------------------

NAMED = replace(SIM, id="org/name:7b", aliases=("org/short",))
BROKEN = replace(SIM, id="broken", aliases=(), engine={"fail_on_load": "torn"})


def test_models_are_those_that_may_be_submitted(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        await until(lambda: failed(system, "broken"), "a model that failed")
        listed = [model async for model in client.models.list()]
        assert [model.id for model in listed] == ["org/name:7b"]
        assert (listed[0].object, listed[0].owned_by) == ("model", "infernet")
        assert await client.models.retrieve("org/name:7b") == await client.models.retrieve("org/short") == listed[0]
        for name in ("broken", "unheard/of"):
            with pytest.raises(openai.NotFoundError) as unknown:
                await client.models.retrieve(name)
            assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")

    with_openai(database, scenario, models=(NAMED, BROKEN), nodes=2, engines=1)


def test_a_confined_key_sees_and_uses_its_models_only(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        confined = client.with_options(api_key=await new_key(system, models=("other",)))
        assert [model.id async for model in client.models.list()] == ["sim", "other"]
        assert [model.id async for model in confined.models.list()] == ["other"]
        with pytest.raises(openai.NotFoundError):
            await confined.models.retrieve("sim")
        with pytest.raises(openai.PermissionDeniedError) as refused:
            await confined.chat.completions.create(**BODY)
        assert (refused.value.code, refused.value.param) == ("forbidden", "model")
        assert job_ids(system) == []

    with_openai(database, scenario, models=(SIM, replace(SIM, id="other", aliases=())), nodes=2)


# Errors -------------------------------------------------------------------------------------------------------------


def test_a_refused_request_raises_the_clients_own_errors(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        async def refused(kind: type[openai.APIStatusError], key: str | None = None, **fields: Any) -> tuple[Any, ...]:
            asker = client.with_options(max_retries=0, **({"api_key": key} if key else {}))
            with pytest.raises(kind) as raised:
                await asker.chat.completions.create(**BODY | fields)
            error = raised.value
            return error.status_code, error.code, error.param, error.type

        limited = await new_key(system, limits=KeyLimits(submissions_per_minute=0))
        unknown = refused(openai.AuthenticationError, key="inft_" + "0" * 32)
        assert await unknown == (401, "invalid_api_key", None, "authentication_error")
        assert await refused(openai.RateLimitError, key=limited) == (
            429,
            "rate_limit_exceeded",
            None,
            "rate_limit_error",
        )
        no_model = refused(openai.NotFoundError, model="unheard:of")
        assert await no_model == (404, "model_not_found", "model", "not_found_error")
        wrong = refused(openai.BadRequestError, temperature=3)
        assert await wrong == (400, "bad_request", "temperature", "invalid_request_error")
        too_long = await refused(openai.BadRequestError, max_tokens=10**8)
        assert too_long[:2] == (400, "context_length_exceeded")
        no_capacity = refused(openai.InternalServerError, model="broken")
        await until(lambda: failed(system, "broken"), "a model that failed")
        assert await no_capacity == (503, "no_capacity", None, "server_error")
        assert job_ids(system) == []

    with_openai(database, scenario, models=(SIM, BROKEN), nodes=2, engines=1)


def test_a_job_that_fails_is_an_error_and_is_not_repeated(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        with pytest.raises(openai.InternalServerError) as raised:
            await client.chat.completions.create(**BODY)
        assert (raised.value.status_code, raised.value.code, raised.value.type) == (500, "engine_error", "server_error")
        headers = raised.value.response.headers
        assert [headers["X-Job-Id"]] == job_ids(system)
        asked = f"request {headers['X-Request-Id']}: POST /v1/chat/completions"
        told = [job_of(record) for record in caplog.records if record.message == f"{asked} failed: engine_error"]
        assert told == [headers["X-Job-Id"]]

    with_openai(database, scenario, models=(FAILING,))


def test_a_job_that_fails_in_the_middle_of_its_stream(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        text = ""
        with pytest.raises(openai.APIError) as raised:
            async for chunk in await client.chat.completions.create(**BODY, stream=True):
                text += chunk.choices[0].delta.content or ""
        assert (raised.value.code, raised.value.type, raised.value.param) == ("engine_error", "server_error", None)
        assert raised.value.message == "The simulated backend fails at token 5"
        assert text == PARTIAL
        wire = await client.chat.completions.with_raw_response.create(**BODY, stream=True)
        assert b"[DONE]" not in await wire.http_response.aread()

    with_openai(database, scenario, models=(FAILING,))


def test_a_job_that_takes_too_long_is_not_repeated(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        with pytest.raises(openai.InternalServerError) as raised:
            await client.chat.completions.create(**BODY)
        assert (raised.value.status_code, raised.value.code) == (504, "timeout")
        assert len(job_ids(system)) == 1

    with_openai(database, scenario, models=(HANGING,), job_timeout_s=1)


@pytest.mark.parametrize("path", ["/v1/nowhere", "/v1/chat/completions/x", "/v1"])
def test_unknown_paths_answer_in_openais_shape(database: Path, path: str) -> None:
    async def scenario(system: PlainSystem, client: Any) -> None:
        response = await client.get(path)
        error = response.json()["error"]
        assert response.status_code == 404
        assert error["type"] == "not_found_error"
        assert set(error) == {"message", "type", "param", "code"}

    with_api(database, scenario)


def test_all_answers_are_described(database: Path) -> None:
    """The client of `with_api` holds each answer against the OpenAPI document."""

    async def scenario(system: PlainSystem, client: Any) -> None:
        for body in (
            BODY,
            BODY | {"stream": True},
            BODY | {"n": 2},
            BODY | {"model": "?"},
            BODY | {"max_tokens": 10**8},
        ):
            await client.post("/v1/chat/completions", json=body)
        for path in ("/v1/models", "/v1/models/sim", "/v1/models/unknown"):
            await client.get(path)

    with_api(database, scenario)
