"""The Journal and engines: what they are told of what they said, and what they may forget, until they know."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import msgspec
import pytest
from msgspec.structs import replace

from actors.wire.calls import Gone, Unreached
from actors.wire.frames import UNACKNOWLEDGED_FRAMES, VERSION, Outbox
from cluster.messages.work import Failure, JobAttempt
from tests.support.journal_stage import E0, E1, QUICK, A, B, Stage
from tests.support.plain_system import run, settled, until


def test_an_engine_is_told_to_forget_an_attempt_that_the_job_ended_without() -> None:
    """However little it has to say: all of it may come at once."""

    async def scenario() -> None:
        async with Stage() as stage:
            await stage.journal.fail([Failure(A, "timeout", "Too late")])
            stage.first.says(B, "x")
            stage.first.ends(B)
            await until(lambda: stage.first.settled_jobs == [(B, 1)])
            for engine, job_id in ((stage.first, A), (stage.second, B)):
                engine.says(job_id, "x")
                engine.ends(job_id)
            await until(lambda: (stage.first.aborted, stage.second.aborted) == ([(A, 1)], [(B, 1)]))

    run(scenario())


def test_a_lost_engine_is_told_and_can_be_attached_again() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.dead.set()
            await until(lambda: stage.scheduler.lost == [E0])
            stage.first.dead.clear()
            await stage.journal.attach([E0, E1])
            stage.first.says(A, "back")
            stage.ledger.open_jobs = [(A, 1, 0)]
            await stage.heard(A, "back")
            assert (stage.first.readings, stage.second.readings) == (2, 1)

    run(scenario())


def test_frames_are_acknowledged() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            text = ""
            for character in "abcdefghijklmnop":
                text += character
                stage.first.says(A, character)
                await stage.heard(A, text)
            await until(lambda: stage.first.acknowledged == [8, 16])

    run(scenario())


def test_an_engine_is_told_what_came_of_its_stream_until_it_knows() -> None:
    """Acknowledgements fail for a while: its stream stands still, and goes on when they come through again."""

    async def scenario() -> None:
        async with Stage(replace(QUICK, acknowledge_s=0.001)) as stage:
            acknowledge, failures = stage.first.acknowledge, [Gone("it cannot be reached")] * 50

            async def failing(reader: str, frames: int) -> bool:
                if failures:
                    raise failures.pop()
                return await acknowledge(reader, frames)

            stage.first.acknowledge = failing  # type: ignore[method-assign]
            text = ""
            for number in range(2 * UNACKNOWLEDGED_FRAMES):
                text += str(number)
                stage.first.says(A, str(number))
                if number % 2 == 0:
                    await settled()
            await stage.heard(A, text)
            assert not failures

    run(scenario())


def test_an_engine_that_another_has_read_is_read_again() -> None:
    """A Journal that stood still while this one took its place has read it, and has gone since."""

    async def scenario() -> None:
        async with Stage(replace(QUICK, acknowledge_s=0.001)) as stage:
            stage.first.says(A, "one ")
            await stage.heard(A, "one ")
            stage.first.outbox.unwatch_all()
            stage.first.outbox, stage.first.reader = Outbox(0.0, with_tokens=True), "another"
            stage.first.says(A, "two")
            await stage.heard(A, "one two")
            assert stage.first.readings == 2

    run(scenario())


def test_an_engine_that_knows_what_came_is_not_told_again() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, acknowledge_s=0.001)) as stage:
            stage.first.says(A, "x")
            await until(lambda: stage.first.acknowledged)
            told = len(stage.first.acknowledged)
            stage.second.says(B, "y")
            await until(lambda: stage.second.acknowledged)
            assert len(stage.first.acknowledged) <= told + 1  # but asked now and then who reads it

    run(scenario())


def test_an_engine_is_told_what_it_may_forget_until_it_knows() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, settled_notice_s=0.001)) as stage:
            settle, failures = stage.first.settled, [Unreached("it cannot be reached"), RuntimeError("broken")] * 3

            async def failing(jobs: Sequence[JobAttempt]) -> None:
                if failures:
                    raise failures.pop()
                await settle(jobs)

            stage.first.settled = failing  # type: ignore[method-assign]
            stage.first.says(A, "x")
            stage.first.ends(A)
            await until(lambda: stage.first.settled_jobs == [(A, 1)])
            assert failures == []

    run(scenario())


def test_every_engine_that_has_told_of_a_job_forgets_it_when_it_has_ended_however() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.says(A, "one ")
            await stage.heard(A, "one ")
            (fence,) = await stage.journal.fence([(A, 1)])
            stage.second.says(A, "two", attempt=2, resume=fence.output)
            await stage.heard(A, "one two")
            assert (stage.first.settled_jobs, stage.second.settled_jobs) == ([], [])
            await stage.journal.fail([Failure(A, "timeout", "Too late")])
            await until(lambda: stage.first.settled_jobs == [(A, 1)])
            await until(lambda: stage.second.settled_jobs == [(A, 2)])

    run(scenario())


def test_an_engine_keeps_what_it_has_of_a_job_until_its_end_is_durable() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.says(A, "some")
            await stage.heard(A, "some")
            stage.ledger.open.clear()
            failing = asyncio.create_task(stage.journal.fail([Failure(A, "cancelled", "Cancelled")]))
            await until(lambda: stage.ledger.calls)
            stage.first.says(A, " more")
            stage.first.says(B, "told after it")
            await stage.heard(B, "told after it")
            assert (stage.first.aborted, stage.first.settled_jobs) == ([], [])
            stage.ledger.open.set()
            await failing
            await until(lambda: stage.first.settled_jobs == [(A, 1)])

    run(scenario())


def test_an_engine_of_another_version_is_of_no_use_and_not_read_again(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with Stage() as stage:

            async def of_the_next_version(reader: str) -> AsyncGenerator[bytes, None]:
                stage.first.readings += 1
                yield msgspec.msgpack.encode((VERSION + 1, []))

            stage.first.frames = of_the_next_version  # type: ignore[method-assign]
            stage.first.outbox.close()
            await until(lambda: stage.scheduler.lost == [E0])
            await settled()
            assert stage.first.readings == 2
            assert caplog.text.count(f"version {VERSION + 1}") == 1

    run(scenario())
