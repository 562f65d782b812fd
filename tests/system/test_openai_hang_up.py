"""A client of the OpenAI layer that hangs up cancels its job, unless others read it too, or it may come back for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk

from actors.backends.simulated import simulated_text
from actors.scheduler import Scheduler
from cluster.errors import NoCapacity
from cluster.ids import JobId
from cluster.messages.records import CompletedRecord
from cluster.messages.work import Submission
from tests.support.openai_door import ASKED, BODY, HANGING, PARTIAL, job_ids, openai_client, with_openai
from tests.support.plain_system import SIM, PlainSystem, settled, until


async def said(stream: AsyncStream[ChatCompletionChunk]) -> str:
    """The first that is said."""
    while not (text := (await anext(stream)).choices[0].delta.content):
        pass
    return text


async def spoken(stream: AsyncStream[ChatCompletionChunk], text: str) -> None:
    """Read on until at least this much has been said."""
    heard = ""
    while not heard.startswith(text):
        heard += (await anext(stream)).choices[0].delta.content or ""


async def generating(system: PlainSystem) -> int:
    """How many answers the engines work on."""
    return sum(report.generating for report in await system.engine_reports())


async def at_rest(system: PlainSystem) -> None:
    async def rests() -> bool:
        return not await generating(system)

    await until(rests, "an engine that stops")


async def at_work(system: PlainSystem) -> None:
    async def works() -> bool:
        return bool(await generating(system) and job_ids(system))

    await until(works, "an engine that works on a job")


async def is_cancelled(system: PlainSystem, job_id: JobId) -> bool:
    job = await system.ended(job_id)
    await at_rest(system)
    return job.error == "cancelled"


@asynccontextmanager
async def second_client(system: PlainSystem, client: AsyncOpenAI, elsewhere: bool) -> AsyncIterator[AsyncOpenAI]:
    """A client of the same ingress replica, or of another one."""
    if not elsewhere:
        yield client
        return
    async with system.served() as http, openai_client(http) as another:
        yield another


def test_a_stream_that_is_closed(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(**BODY, stream=True)
        await spoken(stream, PARTIAL)
        assert await generating(system) == 1
        await stream.close()
        (job_id,) = job_ids(system)
        assert await is_cancelled(system, job_id)

    with_openai(database, scenario, models=(HANGING,))


def test_a_client_that_waits_for_the_whole_answer_no_longer(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        asking = asyncio.create_task(client.chat.completions.create(**BODY))
        await at_work(system)
        asking.cancel()
        (job_id,) = job_ids(system)
        assert await is_cancelled(system, job_id)

    with_openai(database, scenario, models=(HANGING,))


def test_a_request_that_is_cancelled_while_its_job_is_being_accepted(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So Ray Serve tells of a client that has gone: by cancelling its request."""
    submit = Scheduler.submit
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def held_up(self: Scheduler, submissions: list[Submission]) -> Any:
        asked.set()
        await go_on.wait()
        return await submit(self, submissions)

    async def scenario(system: PlainSystem, _: AsyncOpenAI) -> None:
        async with system.client() as client:
            asking = asyncio.create_task(client.post("/v1/chat/completions", json=BODY))
            await asked.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        assert job_ids(system) == []
        go_on.set()
        await until(lambda: job_ids(system), "a job")
        assert await is_cancelled(system, job_ids(system)[0])

    monkeypatch.setattr(Scheduler, "submit", held_up)
    with_openai(database, scenario, models=(HANGING,))


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_is_cancelled_while_its_job_runs(database: Path, stream: bool) -> None:
    async def scenario(system: PlainSystem, _: AsyncOpenAI) -> None:
        async with system.client() as client:
            asking = asyncio.create_task(client.post("/v1/chat/completions", json=BODY | {"stream": stream}))
            await at_work(system)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert await is_cancelled(system, job_ids(system)[0])

    with_openai(database, scenario, models=(HANGING,))


def test_a_refused_request_that_is_cancelled_leaves_nothing(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def refuse(self: Scheduler, submissions: list[Submission]) -> Any:
        asked.set()
        await go_on.wait()
        return [NoCapacity("none") for _ in submissions]

    async def scenario(system: PlainSystem, _: AsyncOpenAI) -> None:
        async with system.client() as client:
            asking = asyncio.create_task(client.post("/v1/chat/completions", json=BODY))
            await asked.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        go_on.set()
        await settled()
        assert job_ids(system) == []
        assert "client that has gone" not in caplog.text

    monkeypatch.setattr(Scheduler, "submit", refuse)
    with_openai(database, scenario, models=(HANGING,))


STEADY = replace(SIM, engine={**SIM.engine, "token_s": 0.005})
LONG = BODY | {"max_tokens": 100, "extra_headers": {"Idempotency-Key": "shared"}}
LONG_TEXT = simulated_text(ASKED, None, 100)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_another_request_for_the_same_job_keeps_it(database: Path, elsewhere: bool) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        async with second_client(system, client, elsewhere) as another:
            stream = await client.chat.completions.create(**LONG, stream=True)
            other = await another.chat.completions.create(**LONG, stream=True)
            await spoken(other, await said(stream))
            await stream.close()
            rest = "".join([chunk.choices[0].delta.content or "" async for chunk in other])
            assert LONG_TEXT.endswith(rest)
            job = await system.ended(job_ids(system)[0])
            assert isinstance(job, CompletedRecord)
            assert job.content == LONG_TEXT

    with_openai(database, scenario, models=(STEADY,))


def test_a_reader_of_the_job_keeps_it(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(**LONG, stream=True)
        job_id = JobId(stream.response.headers["X-Job-Id"])
        async with (
            system.served() as http,
            http.stream("GET", f"/api/v1/jobs/{job_id}/stream") as read,
            aclosing(read.aiter_lines()) as lines,
        ):
            await anext(lines)
            await stream.close()
            *_, last = [line async for line in lines if line]
        assert last == "data: [DONE]"
        assert (await system.record(job_id)).content == LONG_TEXT

    with_openai(database, scenario, models=(STEADY,))


def test_when_all_have_gone_the_job_is_cancelled(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(**BODY, stream=True)
        await spoken(stream, PARTIAL)
        job_id = JobId(stream.response.headers["X-Job-Id"])
        async with (
            system.served() as http,
            http.stream("GET", f"/api/v1/jobs/{job_id}/stream") as read,
            aclosing(read.aiter_lines()) as lines,
        ):
            await anext(lines)
        await stream.close()
        assert await is_cancelled(system, job_id)

    with_openai(database, scenario, models=(HANGING,))


async def whole_text(client: AsyncOpenAI) -> str:
    return (await client.chat.completions.create(**LONG)).choices[0].message.content or ""


async def streamed_text(client: AsyncOpenAI) -> str:
    stream = await client.chat.completions.create(**LONG, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


@pytest.mark.parametrize("elsewhere", [False, True])
def test_who_has_a_key_comes_back_for_a_stream_that_broke(database: Path, elsewhere: bool) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        async with second_client(system, client, elsewhere) as another:
            stream = await client.chat.completions.create(**LONG, stream=True)
            await said(stream)
            await stream.close()
            assert await streamed_text(another) == LONG_TEXT
        assert len(job_ids(system)) == 1

    with_openai(database, scenario, models=(STEADY,))


def test_who_has_a_key_comes_back_after_the_job_has_ended(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(**LONG, stream=True)
        await said(stream)
        await stream.close()
        assert isinstance(await system.ended(job_ids(system)[0]), CompletedRecord)
        assert await streamed_text(client) == LONG_TEXT

    with_openai(database, scenario, models=(STEADY,))


def test_who_has_a_key_and_waits_for_the_whole_answer_comes_back(database: Path) -> None:
    async def scenario(system: PlainSystem, client: AsyncOpenAI) -> None:
        asking = asyncio.create_task(client.chat.completions.create(**LONG))
        await at_work(system)
        asking.cancel()
        assert await whole_text(client) == LONG_TEXT
        assert len(job_ids(system)) == 1

    with_openai(database, scenario, models=(STEADY,))
