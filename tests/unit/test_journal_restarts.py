"""A new Journal: what was so before it hears from engines and from the Ledger."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from msgspec.structs import replace

from cluster.ids import EngineId
from cluster.messages.money import Usage
from cluster.messages.work import Failure, Output
from tests.support.journal_stage import (
    E0,
    E1,
    QUICK,
    TIMEOUT,
    A,
    B,
    PlainEngine,
    Reader,
    Restarted,
    Stage,
    ended_before,
    said,
)
from tests.support.plain_system import run, settled, until


def test_a_new_journal_has_everything_again() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.says(A, "one ")
            stage.second.says(B, "other")
            await stage.heard(A, "one ")
            await stage.heard(B, "other")
            await stage.journal.stop()
            stage.ledger.open_jobs = [(A, 1, 0), (B, 1, 0)]
            stage.journal = stage.new_journal()
            await stage.journal.start()
            reader = Reader(stage.journal)
            await reader.watch(A, 2)
            stage.first.says(A, "two")
            stage.first.ends(A)
            await reader.end(A)
            assert reader.logs[A].text == "··e two"
            assert stage.ledger.finished[0].content == "one two"
            await stage.heard(B, "other")

    run(scenario())


def held_back(engine: PlainEngine) -> asyncio.Event:
    """Have this engine say nothing to a new reader before the event is set."""
    frames, may_speak = engine.frames, asyncio.Event()

    async def later(reader: str) -> AsyncGenerator[bytes, None]:
        waits = [asyncio.create_task(event.wait()) for event in (may_speak, engine.dead)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        async for frame in frames(reader):
            yield frame

    engine.frames = later  # type: ignore[method-assign]
    return may_speak


def test_a_new_journal_ends_what_it_does_not_know_once_its_engines_have_told_all() -> None:
    """Its client cancelled the job while the Journal was away. What readers have is what the record has."""

    async def scenario() -> None:
        stage = Restarted()
        stage.ledger.open_jobs = [(A, 1, 0)]
        stage.first.says(A, "some text")
        may_speak = held_back(stage.first)
        async with stage:
            failing = asyncio.create_task(stage.journal.fail([Failure(A, "cancelled", "Cancelled")]))
            await until(lambda: stage.second.readings)
            await settled()
            assert stage.ledger.finished == []
            may_speak.set()
            await failing
            (ended,) = stage.ledger.finished
            assert (ended.content, ended.end.usage) == ("some text", Usage(3, 9))
            await until(lambda: stage.first.settled_jobs == [(A, 1)])

    run(scenario())


def test_a_new_journal_moves_what_it_does_not_know_once_its_engines_have_told_all() -> None:
    async def scenario() -> None:
        stage = Restarted()
        stage.ledger.open_jobs = [(A, 1, 0)]
        stage.second.says(A, "some text")
        may_speak = held_back(stage.second)
        async with stage:
            fencing = asyncio.create_task(stage.journal.fence([(A, 1)]))
            await until(lambda: stage.first.readings)
            await settled()
            assert not fencing.done()
            may_speak.set()
            assert (await fencing)[0].output == said("some text")

    run(scenario())


def test_an_engine_that_is_gone_is_not_waited_for() -> None:
    async def scenario() -> None:
        stage = Restarted()
        held_back(stage.first)
        async with stage:
            failing = asyncio.create_task(stage.journal.fail([Failure(A, "cancelled", "Cancelled")]))
            await until(lambda: stage.second.readings)
            await settled()
            assert not failing.done()
            stage.first.dead.set()
            async with asyncio.timeout(5):
                await failing

    run(scenario())


def test_an_engine_that_does_not_answer_is_waited_for_so_long_and_no_longer() -> None:
    async def scenario() -> None:
        stage = Restarted(replace(QUICK, hear_engines_s=0.01))
        held_back(stage.first)
        async with stage:
            async with asyncio.timeout(5):
                await stage.journal.fail([Failure(A, "cancelled", "Cancelled")])
            assert [ended.content for ended in stage.ledger.finished] == [""]

    run(scenario())


def test_what_is_known_is_decided_at_once() -> None:
    async def scenario() -> None:
        stage = Restarted()
        stage.ledger.open_jobs = [(A, 1, 0)]
        stage.first.says(A, "known")
        held_back(stage.second)
        async with stage:
            await stage.heard(A, "known")
            async with asyncio.timeout(5):
                (fence,) = await stage.journal.fence([(A, 1)])
            assert fence.output == said("known")

    run(scenario())


def test_a_job_that_waits_with_text_ends_with_it_whatever_the_journal_knows() -> None:
    """It waits for an engine with what it has; then the Journal is restarted, and the job times out."""

    async def scenario() -> None:
        async with Stage() as stage:
            late = Failure(A, "timeout", "Too late", 2, said("some text"))
            await stage.journal.fail([late])
            (ended,) = stage.ledger.finished
            assert (ended.content, ended.epoch, ended.end.usage) == ("some text", 1, Usage(3, 9))

    run(scenario())


@pytest.mark.parametrize(
    ("known", "given", "content"),
    [
        (said("some text"), said("some"), "some text"),
        (said("some"), said("some text"), "some text"),
        (said("some"), said("other", epoch=2), "other"),
        (said("some", epoch=2), said("earlier text", epoch=1), "some"),
        (said("some"), Output(), "some"),
    ],
    ids=["known is longer", "given is longer", "given is a later text", "given is an earlier text", "none is given"],
)
def test_a_job_ends_with_the_longest_of_its_last_text(known: Output, given: Output, content: str) -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.says(A, "", attempt=3, resume=known)
            stage.first.outbox.watch(stage.first.logs[A])
            await stage.heard(A, known.text)
            await stage.journal.fail([Failure(A, "timeout", "Too late", 2, given)])
            assert [ended.content for ended in stage.ledger.finished] == [content]

    run(scenario())


@pytest.mark.parametrize("first_heard", [E0, E1])
def test_an_attempt_that_was_overtaken_before_is_not_heard(first_heard: EngineId) -> None:
    """Its engine was not reached by the order to stop, and the Journal that had shut it out is no more."""

    async def scenario() -> None:
        stage = Restarted()
        stage.first.says(A, "The answer is 41 or so, perhaps")
        stage.second.says(A, "42, of course", attempt=2, resume=said("The answer is "))
        stage.ledger.open_jobs = [(A, 2, 0)]
        other = held_back(stage.second if first_heard == E0 else stage.first)
        async with stage:
            await until(lambda: stage.engines[first_heard].readings)
            await settled()
            other.set()
            await stage.heard(A, "The answer is 42, of course")
            await until(lambda: stage.first.settled_jobs == [(A, 1)])
            assert stage.first.aborted == [(A, 1)]

    run(scenario())


def test_an_attempt_that_counts_puts_right_what_another_has_said() -> None:
    """The database was away, so that nobody could say which attempt counts. Readers are told what is, from there on."""

    async def scenario() -> None:
        stage = Restarted()
        stage.ledger.cannot_tell = 1_000_000
        stage.first.says(A, "The answer is 41 or so, perhaps")
        stage.second.says(A, "4", attempt=2, resume=said("The answer is "))
        may_speak = held_back(stage.second)
        async with stage:
            reader = Reader(stage.journal)
            await reader.watch(A)
            await reader.told(A, "The answer is 41 or so, perhaps")
            may_speak.set()
            await stage.heard(A, "The answer is 4")
            stage.second.says(A, "2, of course", attempt=2)
            await stage.heard(A, "The answer is 42, of course")
            other = Reader(stage.journal, "other")
            await other.watch(A)
            await other.told(A, "The answer is 42, of course")
            assert (await stage.journal.output(A)) == said("The answer is 42, of course")

    run(scenario())


def test_a_database_that_is_away_holds_up_no_engine_and_is_asked_again() -> None:
    async def scenario() -> None:
        stage = Restarted()
        stage.ledger.cannot_tell = 5
        stage.first.says(A, "some text")
        stage.second.says(B, "zombie")
        stage.ledger.open_jobs = [(A, 1, 0)]
        async with stage:
            await stage.heard(A, "some text")
            await until(lambda: stage.second.settled_jobs == [(B, 1)])
            assert stage.ledger.cannot_tell == 0
            assert await stage.jobs_are({A})

    run(scenario())


def test_what_is_told_of_a_job_that_has_ended_leaves_no_trace() -> None:
    """It ended long ago, and its engine could not be reached since."""

    async def scenario() -> None:
        async with Stage(replace(QUICK, audit_s=0.001)) as stage:
            reader = Reader(stage.journal)
            await reader.watch(A)
            stage.ledger.open_jobs = [(B, 1, 0)]
            stage.first.says(A, "zombie")
            stage.first.says(B, "fine")
            await until(lambda: stage.first.settled_jobs == [(A, 1)])
            assert stage.first.aborted == [(A, 1)]
            assert await stage.jobs_are({B})
            assert await reader.watch(A) == [A]  # the Ledger knows
            await stage.heard(B, "fine")

    run(scenario())


@pytest.mark.parametrize("ends", [False, True], ids=["goes on", "has ended"])
def test_nobody_is_told_text_of_a_job_that_ended_while_its_engine_was_not_heard(ends: bool) -> None:
    """The Journal before this one ended it without that text, which is not kept."""

    async def scenario() -> None:
        stage = Restarted()
        stage.first.says(A, "is not kept")
        if ends:
            stage.first.ends(A)
        may_speak = held_back(stage.first)
        stage.ledger.before[A] = ended_before("", TIMEOUT)
        async with stage:
            reader = Reader(stage.journal)
            assert await reader.watch(A) == [A]
            await reader.watch(B)
            may_speak.set()
            await until(lambda: stage.first.readings)
            await settled()
            stage.first.says(B, "fine")
            await reader.told(B, "fine")
            assert reader.logs[A].text == ""
            await until(lambda: stage.first.settled_jobs == [(A, 1)])
            assert set(stage.first.aborted) == {(A, 1)}
            assert stage.ledger.finished == []
            assert await reader.watch(A) == [A]  # the Ledger knows

    run(scenario())


def test_a_job_that_was_accepted_since_the_journal_began_is_heard_whenever_its_engine_is() -> None:
    async def scenario() -> None:
        stage = Restarted()
        may_speak = [held_back(engine) for engine in (stage.first, stage.second)]
        async with stage:
            stage.ledger.open_jobs = [(A, 1, 0), (B, 1, 0)]
            stage.first.says(A, "new")
            stage.second.says(B, "too")
            for may in may_speak:
                may.set()
            await stage.heard(A, "new")
            await stage.heard(B, "too")

    run(scenario())


def test_a_job_that_another_journal_has_ended_meanwhile_leaves_no_trace() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, audit_s=0.001)) as stage:
            stage.ledger.open_jobs = [(A, 1, 0)]
            stage.first.says(A, "fine")
            await stage.heard(A, "fine")
            await stage.journal.auditing.taken()
            assert (await stage.journal.held())[0] == {A}
            stage.ledger.open_jobs = []
            await until(lambda: A in dict(stage.first.settled_jobs))
            assert (await stage.journal.held())[0] == set()

    run(scenario())
