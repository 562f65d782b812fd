"""What is streamed, recorded and billed when the Journal is lost, alone or together with an engine.

The model draws another text in each attempt that begins one, as a model without a seed does.
"""

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from actors.backends.prompts.by_length import prompt_tokens
from actors.backends.simulated import simulated_text
from api.replica.live import is_lost
from cluster.ids import JobId
from cluster.messages.money import Usage
from cluster.messages.records import CompletedRecord, FailedRecord
from cluster.messages.work import End, Failed, Job, Position, Submission
from tests.support.plain_system import SIM, PlainSystem, replicated, run, until

VARIED = replace(SIM, engine={**SIM.engine, "token_s": 0.005, "vary_by_attempt": True})
TWO = replicated(VARIED, 2)
TOKENS = 150


def drawn(job: Job, attempt: int) -> str:
    return simulated_text(job.messages, job.sampling.seed, job.sampling.max_tokens, attempt)


class Reading:
    """One reader of a job, and what it has been told."""

    def __init__(self, system: PlainSystem, job: Job, after: Position = Position()) -> None:
        self.text = ""
        self.epochs: set[int] = set()
        self._task = asyncio.create_task(self._read(system, job, after))

    async def _read(self, system: PlainSystem, job: Job, after: Position) -> End:
        async for piece in system.gateway.streams.read(job.id, job.account_id, after):
            self.text += piece.text
            self.epochs.add(piece.epoch)
            if piece.end is not None:
                return piece.end
        raise AssertionError("no end")

    async def some(self, characters: int) -> None:
        await until(lambda: len(self.text) > characters, f"{characters} characters")

    async def end(self) -> End:
        async with asyncio.timeout(10):
            return await self._task


async def submitted(system: PlainSystem) -> Job:
    job = system.job(max_tokens=TOKENS)
    await system.gateway.intake.submit(Submission(job))
    return job


async def lose_journal_and_engine(system: PlainSystem) -> None:
    """They share a machine."""
    await system.lose_journal()
    for replica in system.scheduler.fleet.replicas:
        if replica.tokens_of:
            system.kill_engine(replica.id)
    await system.start_journal()


async def billed(system: PlainSystem, job: Job) -> list[tuple[int, int]]:
    await system.ended(job.id)
    return system.rows(f"SELECT prompt_tokens, completion_tokens FROM usage WHERE job_id = '{job.id}'")


def test_a_text_that_is_lost_ends_its_streams_and_the_job_has_one_text(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [TWO], nodes=2) as system:
            await system.ready()
            job = await submitted(system)
            reading = Reading(system, job)
            await reading.some(200)
            await lose_journal_and_engine(system)
            assert is_lost(await reading.end())
            assert drawn(job, 1).startswith(reading.text)
            again = Reading(system, job)
            assert not isinstance(await again.end(), Failed)
            record = await system.ended(job.id)
            assert isinstance(record, CompletedRecord)
            assert again.text == record.content == drawn(job, 2)
            assert again.epochs == {record.epoch} and record.epoch > 2
            assert await billed(system, job) == [(prompt_tokens(job.messages), TOKENS)]
            # Positions in the text that was lost, long after.
            assert is_lost(await Reading(system, job, Position(len(reading.text))).end())
            late = Reading(system, job, Position(5, record.epoch))
            await late.end()
            assert late.text == record.content[5:]

    run(scenario())


def test_a_text_that_another_engine_goes_on_with_is_one_text(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [TWO], nodes=2) as system:
            await system.ready()
            job = await submitted(system)
            reading = Reading(system, job)
            await reading.some(200)
            await system.restart_journal()
            for replica in [r for r in system.scheduler.fleet.replicas if r.tokens_of]:
                await until(lambda: _is_held(system, job), "what the engine had")
                system.kill_engine(replica.id)
            assert not isinstance(await reading.end(), Failed)
            assert reading.text == drawn(job, 1)
            assert reading.epochs == {1}

    run(scenario())


@pytest.mark.parametrize("moment", ["while it is away", "right after it began"])
def test_a_cancelled_job_keeps_what_readers_have_though_the_journal_is_new(database: Path, moment: str) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [VARIED]) as system:
            await system.ready()
            job = await submitted(system)
            reading = Reading(system, job)
            await reading.some(200)
            if moment == "while it is away":
                await system.lose_journal()
                cancelling = asyncio.create_task(system.scheduler.cancel(job.id))
                await system.ticks(2)
                await system.start_journal()
            else:
                await system.restart_journal()
                cancelling = asyncio.create_task(system.scheduler.cancel(job.id))
            await cancelling
            end = await reading.end()
            assert isinstance(end, Failed) and end.error == "cancelled"
            await holds_what_was_told(system, job, reading.text)

    run(scenario())


def test_a_job_that_waits_with_text_keeps_it_though_the_journal_is_new(database: Path) -> None:
    """Its engine died and no other is there yet: the Scheduler alone knows what the job has."""

    async def scenario() -> None:
        async with PlainSystem(database, [VARIED]) as system:
            await system.ready()
            job = await submitted(system)
            reading = Reading(system, job)
            await reading.some(200)
            await system.kill_node(system.node_ids[0])  # it starts no other engine
            for engine_id in system.known_engines():
                system.kill_engine(engine_id)
            await until(lambda: len(system.scheduler.leases.places.queue), "a job that waits")
            await system.restart_journal()
            await system.scheduler.cancel(job.id)
            await reading.end()
            await holds_what_was_told(system, job, reading.text)

    run(scenario())


def test_a_job_that_ends_without_the_text_that_was_told_has_lost_it(database: Path) -> None:
    """Its end is the job's to those who have been told nothing. To the others it would say that theirs was all."""

    async def scenario() -> None:
        async with PlainSystem(database, [VARIED]) as system:
            await system.ready()
            job, other = await submitted(system), await submitted(system)
            reading = Reading(system, job)
            await reading.some(200)
            await system.kill_node(system.node_ids[0])  # it starts no other engine
            await lose_journal_and_engine(system)
            await until(lambda: len(system.scheduler.leases.places.queue) == 2, "jobs that wait")
            await system.scheduler.cancel(job.id)
            assert is_lost(await reading.end())
            end = await Reading(system, job).end()
            assert isinstance(end, Failed) and end.error == "cancelled"
            assert is_lost(await Reading(system, job, Position(len(reading.text))).end())
            record = await system.ended(job.id)
            assert record.content == "" and record.epoch != 1
            assert await billed(system, job) == [(0, 0)]
            await system.scheduler.cancel(other.id)

    run(scenario())


async def holds_what_was_told(system: PlainSystem, job: Job, told: str) -> None:
    """The record has all that a reader has, a late reader gets it, and it is billed."""
    record = await system.ended(job.id)
    assert isinstance(record, FailedRecord)
    assert record.content.startswith(told) and drawn(job, 1).startswith(record.content)
    late, _ = await system.read(job.id)
    assert late == record.content
    assert record.usage.prompt_tokens == prompt_tokens(job.messages)
    assert record.usage.completion_tokens > 0
    assert await billed(system, job) == [(record.usage.prompt_tokens, record.usage.completion_tokens)]


def test_nothing_is_billed_for_a_job_that_said_nothing(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, nodes=0) as system:
            job = await submitted(system)
            await system.scheduler.cancel(job.id)
            assert (await system.ended(job.id)).usage == Usage(0, 0)  # type: ignore[union-attr]

    run(scenario())


async def _is_held(system: PlainSystem, job: Job) -> bool:
    return bool((await system.journal.output(job.id)).text)


# Over HTTP --------------------------------------------------------------------------------------------------------


async def events(response: httpx.Response) -> list[list[str]]:
    return [block.split("\n") for block in (await response.aread()).decode().split("\n\n") if block]


def data(event: list[str]) -> dict[str, object]:
    body: dict[str, object] = json.loads(event[-1].removeprefix("data: "))
    return body


def test_ids_name_the_text_that_they_are_positions_in(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [TWO], nodes=2) as system, system.served() as client:
            await system.ready()
            job = await submitted(system)
            reading = Reading(system, job)
            await reading.some(50)
            path = f"/api/v1/jobs/{job.id}/stream"
            async with client.stream("GET", path) as response:
                lines = response.aiter_lines()
                first = await anext(lines)
                assert first.startswith("id: ") and first.removeprefix("id: ").isdigit()
                await lose_journal_and_engine(system)
                *_, last = [line async for line in lines if line and line != ": ping"]
            body = json.loads(last.removeprefix("data: "))
            assert (list(body), body["error"]) == (["error", "message"], "stream_lost")

            record = await system.ended(job.id)
            assert isinstance(record, CompletedRecord)
            told = await events(await client.get(path))
            ids = [event[0].removeprefix("id: ") for event in told[:-1]]
            epoch = record.epoch
            assert all(each.startswith(f"{epoch}-") for each in ids)
            assert ids[-1] == f"{epoch}-{len(record.content)}"
            assert "".join(str(data(event)["text"]) for event in told[:-1]) == record.content
            for headers, query in (({"Last-Event-ID": f"{epoch}-10"}, ""), ({}, f"?after={epoch}-10")):
                rest = await events(await client.get(path + query, headers=headers))
                assert "".join(str(data(event)["text"]) for event in rest[:-1]) == record.content[10:]
            for headers, query in (({"Last-Event-ID": "10"}, ""), ({}, "?after=10"), ({}, "?after=1-10")):
                [only] = await events(await client.get(path + query, headers=headers))
                assert data(only)["error"] == "stream_lost"
            for malformed in ("2-", "-10", "0-10", "2-10-3", "2-x", "a-1", "02-1"):
                answer = await client.get(path, params={"after": malformed})
                assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")

    run(scenario())


CHAT = {"model": "sim", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": TOKENS}


def test_a_stream_of_v1_whose_text_is_lost_ends_with_an_error(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, [TWO], nodes=2) as system, system.served() as client:
            await system.ready()
            async with client.stream("POST", "/v1/chat/completions", json=CHAT | {"stream": True}) as response:
                lines = response.aiter_lines()
                while '"content":"' not in (line := await anext(lines)) or '"content":""' in line:
                    pass
                await lose_journal_and_engine(system)
                *_, last = [line async for line in lines if line and line != ": ping"]
            error = json.loads(last.removeprefix("data: "))["error"]
            assert (error["code"], error["type"]) == ("stream_lost", "server_error")
            record = await system.ended(JobId(response.headers["X-Job-Id"]))
            assert isinstance(record, CompletedRecord)  # it goes on
            assert record.epoch > 2

    run(scenario())


def test_a_client_of_v1_that_waits_for_a_whole_answer_is_given_the_text_that_counts(database: Path) -> None:
    """It has been told nothing yet."""

    async def scenario() -> None:
        async with PlainSystem(database, [TWO], nodes=2) as system, system.served() as client:
            await system.ready()
            asking = asyncio.create_task(client.post("/v1/chat/completions", json=CHAT))
            await until(lambda: system.rows("SELECT id FROM jobs"), "a job")
            [(job_id,)] = system.rows("SELECT id FROM jobs")

            async def has_text() -> bool:
                return len((await system.journal.output(job_id)).text) > 100

            await until(has_text, "text")
            await lose_journal_and_engine(system)
            answer = await asking
            record = await system.ended(job_id)
            assert isinstance(record, CompletedRecord)
            assert answer.json()["choices"][0]["message"]["content"] == record.content
            assert record.epoch > 2

    run(scenario())
