"""The Journal and its readers: what they watch, and what is left of those that go."""

import asyncio

from msgspec.structs import replace

from tests.support.journal_stage import QUICK, A, B, Reader, Stage
from tests.support.plain_system import run, settled, until


def test_two_replicas_that_ask_for_a_job_that_is_not_known_are_both_told_so() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            first, second = Reader(stage.journal, "first"), Reader(stage.journal, "second")
            assert await first.watch(A) == [A]
            assert await second.watch(A) == [A]
            stage.first.says(A, "x")
            await first.told(A, "x")
            await second.told(A, "x")
            assert await second.watch(A) == []

    run(scenario())


def test_a_question_about_an_unknown_job_leaves_no_trace() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            first, second = Reader(stage.journal, "first"), Reader(stage.journal, "second")
            assert await first.watch(A) == [A]
            await second.watch(A)
            await stage.journal.unwatch("first", [A])
            assert await stage.jobs_are({A})
            await stage.journal.unwatch("second", [A])
            await stage.journal.unwatch("nobody", [A, B])
            assert await stage.jobs_are(set())

    run(scenario())


def test_what_a_reader_no_longer_watches_is_not_told() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader, other = Reader(stage.journal, "reader"), Reader(stage.journal, "other")
            await reader.watch(A)
            await other.watch(A)
            stage.first.says(A, "x")
            await reader.told(A, "x")
            await stage.journal.unwatch("reader", [A])
            stage.first.says(A, "y")
            await other.told(A, "xy")
            assert reader.logs[A].text == "x"

    run(scenario())


def test_readers_that_are_not_heard_of_are_dropped_with_what_only_they_asked_for() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, prune_readers_s=0.001)) as stage:
            await stage.journal.watch("silent", [(A, 0, 0), (B, 0, 0)])
            await stage.journal.watch("alive", [(A, 0, 0)])
            stage.clock.advance(QUICK.reader_silence_s - 1)
            await stage.journal.acknowledge("alive", 0)
            await stage.journal.acknowledge("unknown", 0)
            assert await stage.journal.watched(B, "nobody")
            stage.clock.advance(2)
            await until(lambda: stage.readers_are({"alive"}), "one reader")
            assert await stage.jobs_are({A})
            assert not await stage.journal.watched(B, "nobody")
            assert not await stage.journal.watched(A, "alive")
            assert await stage.journal.watched(A, "nobody")

    run(scenario())


def test_the_stream_of_a_dropped_reader_ends() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, prune_readers_s=0.001)) as stage:
            silent = Reader(stage.journal, "silent")
            await until(lambda: stage.readers_are({"silent"}))
            stage.clock.advance(QUICK.reader_silence_s + 1)
            async with asyncio.timeout(5):
                await silent.ended()

    run(scenario())


def test_a_reader_whose_stream_ends_leaves_nothing_that_only_it_asked_for() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader = Reader(stage.journal)
            await reader.watch(A)
            await settled()
            await reader.leave()
            assert await stage.journal.held() == (set(), set())

    run(scenario())
