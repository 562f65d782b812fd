"""The stream hub: any number of readers of any job over one stream from the Journal, which may break."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from actors.wire.calls import Unreachable
from actors.wire.frames import VERSION, JobLog, Outbox
from api.replica.live import Piece, is_lost
from api.replica.streams import StreamHub
from cluster.ids import AccountId, JobId
from cluster.job_states import JobState
from cluster.messages.money import Usage
from cluster.messages.records import CompletedRecord, FailedRecord, JobRecord, PendingRecord
from cluster.messages.work import End, Failed, Finished, Position
from cluster.text.token_log import TokenLog
from cluster.timing import Timing
from tests.support.clocks import StillClock
from tests.support.plain_system import PATIENCE_S, run, settled, until

A, B = JobId("job_a"), JobId("job_b")
QUICK = Timing(reconnect_s=0.001)
US = AccountId("acct")
DONE = Finished(Usage(1, 2), "stop")


class PlainJournal:
    """Logs that the test writes, and streams that it can break."""

    def __init__(self) -> None:
        self.logs: dict[str, JobLog] = {}
        self.readers: dict[str, Outbox] = {}
        self.watched: list[tuple[str, int]] = []
        self.unwatched: list[str] = []
        self.acknowledged: list[int] = []
        self.streams = 0
        self.down = False
        self.broken = asyncio.Event()
        self.may_unwatch = asyncio.Event()
        self.may_unwatch.set()

    async def frames(self, reader_id: str) -> AsyncGenerator[bytes, None]:
        if self.down:
            raise Unreachable("journal is not answering")
        self.streams += 1
        outbox = self.readers.setdefault(reader_id, Outbox(0.0))
        broken, stream = asyncio.ensure_future(self.broken.wait()), outbox.frames()
        try:
            while True:
                frame = asyncio.ensure_future(anext(stream))
                await asyncio.wait({frame, broken}, return_when=asyncio.FIRST_COMPLETED)
                if not frame.done():
                    frame.cancel()
                    raise Unreachable("journal died")
                yield frame.result()
        finally:
            broken.cancel()
            self.readers.pop(reader_id, None)

    async def watch(self, reader_id: str, jobs: Sequence[tuple[str, int, int]]) -> list[str]:
        if self.down:
            raise Unreachable("journal is not answering")
        self.watched += [(job_id, offset) for job_id, offset, _ in jobs]
        outbox = self.readers.setdefault(reader_id, Outbox(0.0))
        for job_id, offset, epoch in jobs:
            if job_id in self.logs:
                log = self.logs[job_id]
                outbox.watch(log, offset if epoch == log.log.epoch else 0)
        return [job_id for job_id, _, _ in jobs if job_id not in self.logs]

    async def unwatch(self, reader_id: str, job_ids: Sequence[str]) -> None:
        await self.may_unwatch.wait()
        if self.down:
            raise Unreachable("journal is not answering")
        self.unwatched += job_ids
        for job_id in job_ids:
            self.readers[reader_id].unwatch(job_id)

    async def watching(self, reader_id: str) -> list[JobId]:
        return self.readers[reader_id].watching()

    async def acknowledge(self, reader_id: str, frames: int) -> None:
        self.acknowledged.append(frames)

    def says(self, job_id: JobId, text: str) -> None:
        self.logs.setdefault(job_id, JobLog(job_id, 1, TokenLog(epoch=1)))
        self.logs[job_id].log.append(text)
        self.logs[job_id].touch()

    def ends(self, job_id: JobId, end: End = DONE) -> None:
        self.logs[job_id].log.close(end)
        self.logs[job_id].touch()

    def begins_anew(self, job_id: JobId, epoch: int) -> None:
        """What was said of the job is lost, and another text begins."""
        self.logs[job_id].begin_anew(TokenLog(epoch=epoch))

    async def forget_positions(self) -> None:
        """Die, and tell whoever asks everything from the start."""
        watch = self.watch

        async def from_the_start(reader_id: str, jobs: Sequence[tuple[str, int, int]]) -> list[str]:
            return await watch(reader_id, [(job_id, 0, epoch) for job_id, _, epoch in jobs])

        self.watch = from_the_start  # type: ignore[method-assign]
        await self.breaks()

    async def breaks(self) -> None:
        self.broken.set()
        await settled()
        self.broken.clear()


class PlainLedger:
    def __init__(self) -> None:
        self.records: dict[str, JobRecord] = {}
        self.failures = 0

    async def job(self, job_id: JobId, account_id: AccountId) -> JobRecord | None:
        if self.failures:
            self.failures -= 1
            raise Unreachable("ledger died")
        return self.records.get(job_id)

    def has(self, job_id: JobId, status: JobState, content: str | None = None, **fields: Any) -> None:
        common: Any = {"id": job_id, "account_id": US, "key_id": "key_a", "model": "m", "created_ms": 0}
        ended = {"node_id": None, "content": content, "usage": Usage(1, 2), "ended_ms": 0}
        kinds: dict[JobState, type[Any]] = {
            JobState.PENDING: PendingRecord,
            JobState.COMPLETED: CompletedRecord,
            JobState.FAILED: FailedRecord,
        }
        self.records[job_id] = kinds[status](**common, **(ended if status.ended else {}), **fields)


class Reading:
    """One reader, and what it has been told."""

    def __init__(self, hub: StreamHub, job_id: JobId = A, after: int = 0, is_new: bool = False, epoch: int = 1) -> None:
        self.text = ""
        self.pieces: list[Piece] = []
        self.stream = hub.read(job_id, US, Position(after, epoch), is_new)
        self._after = after
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> End:
        async with aclosing(self.stream) as pieces:
            async for piece in pieces:
                self.text += piece.text
                self.pieces.append(piece)
                assert not piece.text or piece.offset == self._after + len(self.text)
                if piece.end is not None:
                    return piece.end
        raise AssertionError("no end")

    async def told(self, text: str) -> None:
        await until(lambda: self.text == text, repr(text))

    async def end(self) -> End:
        async with asyncio.timeout(PATIENCE_S):
            return await self._task

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await settled()


class Stage:
    def __init__(self, timing: Timing = QUICK) -> None:
        self.journal, self.ledger = PlainJournal(), PlainLedger()
        collaborators: Any = (self.journal, self.ledger)
        self.clock = StillClock()
        self.hub = StreamHub(*collaborators, self.clock, timing)

    async def __aenter__(self) -> "Stage":
        await self.hub.start()
        await until(lambda: self.journal.streams)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hub.stop()


def test_two_readers_of_one_job_and_one_of_another() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "Größe ")
            stage.journal.says(B, "other")
            first, second, other = Reading(stage.hub), Reading(stage.hub, after=2), Reading(stage.hub, B)
            await first.told("Größe ")
            stage.journal.says(A, "👩‍🚀")
            stage.journal.ends(A)
            stage.journal.ends(B)
            assert await first.end() == await second.end() == await other.end() == DONE
            assert (first.text, second.text, other.text) == ("Größe 👩‍🚀", "öße 👩‍🚀", "other")
            assert sorted(stage.journal.watched) == [(A, 0), (B, 0)]
            assert stage.hub.reading == set()

    run(scenario())


def test_a_reader_that_leaves_disturbs_no_other() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "one ")
            stays, leaves = Reading(stage.hub), Reading(stage.hub)
            await leaves.told("one ")
            await leaves.leave()
            assert stage.journal.unwatched == []
            stage.journal.says(A, "two")
            stage.journal.ends(A)
            await stays.end()
            assert (stays.text, leaves.text) == ("one two", "one ")

    run(scenario())


def test_when_the_last_reader_leaves_nothing_is_kept() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "one ")
            reading = Reading(stage.hub)
            await reading.told("one ")
            await reading.leave()
            assert stage.journal.unwatched == [A]
            assert stage.hub.reading == set()
            again = Reading(stage.hub, after=2)
            stage.journal.says(A, "two")
            stage.journal.ends(A)
            await again.end()
            assert again.text == "e two"

    run(scenario())


@pytest.mark.parametrize("after", [0, 1, 7, 8, 100])
def test_a_job_that_has_ended_is_told_from_any_position(after: int) -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "one 🦊 tw")
            stage.journal.ends(A)
            reading = Reading(stage.hub, after=after)
            assert await reading.end() == DONE
            assert reading.text == "one 🦊 tw"[after:]

    run(scenario())


def test_the_readers_of_a_job_that_has_been_removed_are_told_so() -> None:
    """Whoever is quick enough to ask for a stream between the two."""

    async def scenario() -> None:
        async with Stage() as stage:
            end = await Reading(stage.hub).end()
            assert isinstance(end, Failed)
            assert end.error == "job_not_found"

    run(scenario())


def test_a_broken_stream_is_read_again_from_where_it_was() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "one ")
            reading, late = Reading(stage.hub), Reading(stage.hub, after=3)
            await reading.told("one ")
            for word in ("two ", "three ", "four"):
                await stage.journal.breaks()
                stage.journal.says(A, word)
                await until(lambda word=word: reading.text.endswith(word))
            await stage.journal.breaks()
            stage.journal.ends(A)
            await reading.end()
            await late.end()
            assert reading.text == "one two three four"
            assert late.text == " two three four"
            assert (A, 4) in stage.journal.watched

    run(scenario())


def test_a_journal_that_forgot_and_grows_again_is_not_heard_twice() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "one two ")
            reading = Reading(stage.hub)
            await reading.told("one two ")
            stage.journal.down = True
            await stage.journal.breaks()
            stage.journal.logs[A] = JobLog(A, 2, TokenLog(epoch=1))
            stage.journal.says(A, "one ")
            stage.journal.down = False
            await until(lambda: (A, 8) in stage.journal.watched)
            stage.journal.says(A, "two three")
            stage.journal.ends(A)
            await reading.end()
            assert reading.text == "one two three"

    run(scenario())


def test_a_reader_that_comes_while_the_journal_is_away_waits() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.down = True
            await stage.journal.breaks()
            reading = Reading(stage.hub)
            await settled()
            stage.journal.says(A, "late")
            stage.journal.ends(A)
            stage.journal.down = False
            await reading.end()
            assert reading.text == "late"

    run(scenario())


def test_what_the_journal_has_forgotten_the_ledger_knows() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.ledger.has(A, JobState.COMPLETED, "Größe 🦊", finish_reason="length")
            reading = Reading(stage.hub, after=5)
            assert await reading.end() == Finished(Usage(1, 2), "length")
            assert reading.text == " 🦊"

            stage.ledger.has(B, JobState.FAILED, "par", error="timeout", error_message="Too late")
            failed = Reading(stage.hub, B)
            assert await failed.end() == Failed(Usage(1, 2), "timeout", "Too late")
            assert failed.text == "par"

    run(scenario())


def test_a_look_up_that_fails_is_made_again() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.ledger.has(A, JobState.COMPLETED, "x", finish_reason="stop")
            stage.ledger.failures = 3
            reading = Reading(stage.hub)
            assert await reading.end() == DONE
            assert (reading.text, stage.ledger.failures) == ("x", 0)

    run(scenario())


def test_a_job_that_has_not_begun_is_waited_for() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.ledger.has(A, JobState.PENDING)
            reading = Reading(stage.hub)
            await until(lambda: stage.journal.watched)
            await stage.journal.breaks()
            stage.journal.says(A, "begun")
            stage.journal.ends(A)
            await stage.journal.breaks()
            await reading.end()
            assert reading.text == "begun"

    run(scenario())


def test_a_new_job_is_looked_up_only_when_nothing_was_told_of_it_for_long() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.ledger.has(A, JobState.COMPLETED, "x", finish_reason="stop")
            reading = Reading(stage.hub, is_new=True)
            await until(lambda: stage.journal.watched == [(A, 0)])
            await settled()
            assert reading.pieces == []
            await stage.hub.ask_again()
            await stage.hub.ask_again()
            assert await reading.end() == DONE
            assert reading.text == "x"

    run(scenario())


def test_a_job_of_which_nothing_is_told_is_asked_for_again() -> None:
    """Its end was being written while the Journal died, and the Ledger was asked just before."""

    async def scenario() -> None:
        async with Stage() as stage:
            stage.ledger.has(A, JobState.PENDING)
            stage.journal.says(B, "one ")
            reading, other = Reading(stage.hub), Reading(stage.hub, B)
            await other.told("one ")
            await stage.hub.ask_again()
            stage.ledger.has(A, JobState.COMPLETED, "x", finish_reason="stop")
            stage.journal.says(B, "two")
            await other.told("one two")
            assert reading.pieces == []
            await stage.hub.ask_again()
            assert await reading.end() == DONE
            assert reading.text == "x"
            assert sorted(stage.journal.watched) == [(A, 0), (A, 0), (B, 0)]
            await other.leave()

    run(scenario())


def test_whatever_breaks_the_stream_it_is_read_again() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            frames, failures = stage.journal.frames, [RuntimeError("an item was lost"), ValueError("not a frame")]

            async def failing(reader_id: str) -> AsyncGenerator[bytes, None]:
                if failures:
                    raise failures.pop()
                async for frame in frames(reader_id):
                    yield frame

            stage.journal.frames = failing  # type: ignore[method-assign]
            await stage.journal.breaks()
            stage.journal.says(A, "x")
            stage.journal.ends(A)
            reading = Reading(stage.hub)
            assert await reading.end() == DONE
            assert (reading.text, failures) == ("x", [])

    run(scenario())


def test_signs_of_life_in_silence() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "x")
            stage.journal.says(B, "")
            silent, flowing = Reading(stage.hub), Reading(stage.hub, B)
            await silent.told("x")
            for number in range(1, 4):
                stage.clock.advance(QUICK.silence_s)
                stage.journal.says(B, "y")
                await flowing.told("y" * number)
                await stage.hub.remind()
                await settled()
                assert silent.pieces == [Piece("x", 1), *[Piece(offset=1)] * number]
            assert flowing.pieces == [Piece("y", 1), Piece("y", 2), Piece("y", 3)]
            stage.clock.advance(QUICK.silence_s / 2)
            await stage.hub.remind()
            await settled()
            assert len(flowing.pieces) == 3
            for job_id in (A, B):
                stage.journal.ends(job_id)
            assert await silent.end() == await flowing.end() == DONE

    run(scenario())


def test_signs_of_life_are_given_again_and_again() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, silence_s=0.0)) as stage:
            stage.journal.says(A, "x")
            reading = Reading(stage.hub)
            await until(lambda: Piece(offset=1) in reading.pieces, "a sign of life")
            await reading.leave()

    run(scenario())


def test_it_tells_the_journal_that_it_lives() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, alive_s=0.001)) as stage:
            stage.journal.says(A, "x")
            reading = Reading(stage.hub)
            await reading.told("x")
            await until(lambda: any(frames >= 1 for frames in stage.journal.acknowledged), "an acknowledged frame")
            await reading.leave()

    run(scenario())


def test_it_goes_on_telling_that_it_lives_whatever_one_call_comes_to() -> None:
    async def scenario() -> None:
        stage = Stage(replace(QUICK, alive_s=0.001))
        acknowledge, errors = stage.journal.acknowledge, [Unreachable("journal died"), RuntimeError("broken")]

        def failing(reader_id: str, frames: int) -> Any:
            if errors:
                raise errors.pop()
            return acknowledge(reader_id, frames)

        stage.journal.acknowledge = failing  # type: ignore[method-assign]
        async with stage:
            await until(lambda: stage.journal.acknowledged, "a sign of life")
            assert errors == []

    run(scenario())


def test_silent_jobs_are_asked_for_again_and_again() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, ask_again_s=0.001)) as stage:
            stage.ledger.has(A, JobState.PENDING)
            reading = Reading(stage.hub)
            await until(lambda: len(stage.journal.watched) > 3, "questions")
            stage.ledger.has(A, JobState.COMPLETED, "x", finish_reason="stop")
            assert await reading.end() == DONE

    run(scenario())


def test_a_reader_that_comes_while_the_last_one_is_being_forgotten_is_told_all() -> None:
    """Calls to an actor may overtake each other: no watch may be undone by the unwatch before it."""

    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "one ")
            first = Reading(stage.hub)
            await first.told("one ")
            stage.journal.may_unwatch.clear()
            await first.leave()
            second = Reading(stage.hub)
            await settled()
            stage.journal.may_unwatch.set()
            await second.told("one ")
            stage.journal.says(A, "two")
            stage.journal.ends(A)
            assert await second.end() == DONE
            assert second.text == "one two"

    run(scenario())


# Another text -----------------------------------------------------------------------------------------------------


def lost(end: End) -> bool:
    return is_lost(end) and isinstance(end, Failed) and end.error == "stream_lost"


def test_no_text_goes_on_in_another_one() -> None:
    """The Journal and the engine were lost together: the job has begun anew, and draws otherwise."""

    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "The answer is 41")
            reading, none_yet = Reading(stage.hub), Reading(stage.hub, after=16)
            await reading.told("The answer is 41")
            stage.journal.begins_anew(A, epoch=2)
            await settled()
            stage.journal.says(A, "It is 42, which ")
            assert lost(await reading.end())
            assert lost(await none_yet.end())
            assert (reading.text, none_yet.text) == ("The answer is 41", "")
            late = Reading(stage.hub)
            await late.told("It is 42, which ")
            stage.journal.says(A, "is known")
            stage.journal.ends(A)
            assert await late.end() == DONE
            assert late.text == "It is 42, which is known"
            assert {piece.epoch for piece in late.pieces} == {2}

    run(scenario())


def test_who_has_not_been_told_anything_is_told_the_other_text() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "")
            reading = Reading(stage.hub)
            await until(lambda: stage.journal.watched)
            stage.journal.begins_anew(A, epoch=3)
            stage.journal.says(A, "other")
            stage.journal.ends(A)
            assert await reading.end() == DONE
            assert reading.text == "other"

    run(scenario())


@pytest.mark.parametrize(
    ("after", "epoch", "text"),
    [(3, 2, "er"), (0, 1, "other"), (9, 2, ""), (3, 1, None), (3, 3, None), (9, 1, None)],
)
def test_a_position_is_one_in_the_text_of_its_epoch(after: int, epoch: int, text: str | None) -> None:
    """`text` is what is told, None where the position is in a text that the job has not any more."""

    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "")
            stage.journal.begins_anew(A, epoch=2)
            stage.journal.says(A, "other")
            stage.ledger.has(B, JobState.COMPLETED, "other", finish_reason="stop", epoch=2)
            first = Reading(stage.hub, after=after, epoch=epoch)
            other = Reading(stage.hub, A)
            await other.told("other")
            late = Reading(stage.hub, after=after, epoch=epoch)  # the job is known here by now
            ended = Reading(stage.hub, B, after=after, epoch=epoch)
            stage.journal.ends(A)
            for reading in (first, late, ended):
                end = await reading.end()
                assert lost(end) == (text is None)
                assert reading.text == (text or "")

    run(scenario())


@pytest.mark.parametrize(("after", "is_told"), [(0, True), (3, False)])
def test_the_end_of_a_text_that_nobody_knows_is_for_those_who_were_told_none(after: int, is_told: bool) -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            failed = {"error": "cancelled", "error_message": "The job was cancelled"}
            stage.ledger.has(A, JobState.FAILED, "", epoch=0, **failed)
            stage.journal.logs[B] = JobLog(B, 1, TokenLog())
            ended, told = Reading(stage.hub, after=after), Reading(stage.hub, B, after=after)
            await until(lambda: len(stage.journal.watched) == 2)
            stage.journal.ends(B)
            assert lost(await ended.end()) != is_told
            assert lost(await told.end()) != is_told

    run(scenario())


@pytest.mark.parametrize("told_by", ["the Journal", "the Ledger"])
def test_an_end_after_less_text_than_was_told_is_no_end_of_that_text(told_by: str) -> None:
    """What was lost of it was never written down."""

    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "as it was told")
            reading = Reading(stage.hub)
            await reading.told("as it was told")
            if told_by == "the Ledger":
                stage.ledger.has(A, JobState.COMPLETED, "as it was", finish_reason="stop")
                del stage.journal.logs[A]
            else:
                stage.journal.logs[A] = shorter = JobLog(A, 1, TokenLog(epoch=1))
                shorter.log.append("as it was")
                shorter.log.close(DONE)
            await stage.hub.ask_again()
            await stage.hub.ask_again()
            assert lost(await reading.end())
            late = Reading(stage.hub, after=3)
            assert await late.end() == DONE
            assert late.text == "it was"

    run(scenario())


@pytest.mark.parametrize("loses", ["the notice", "its time"])
def test_a_job_that_nobody_reads_is_left_until_the_journal_knows(loses: str) -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "one ")
            reading = Reading(stage.hub)
            await reading.told("one ")
            stage.journal.down = True
            await reading.leave()
            await settled()
            stage.journal.down = False
            (reader_id,) = stage.journal.readers
            if loses == "its time":
                await stage.journal.watch(reader_id, [(A, 0, 1)])  # an earlier question comes after it
            assert await stage.journal.watching(reader_id) == [A]
            await stage.hub.leave_again()
            await settled()
            assert await stage.journal.watching(reader_id) == []

    run(scenario())


def test_text_that_is_told_otherwise_is_no_text_to_go_on_from() -> None:
    """A new Journal heard an attempt that had been shut out before it heard the one that counts."""

    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "The answer is ")
            fine = Reading(stage.hub)
            await fine.told("The answer is ")
            stage.journal.says(A, "41 or so")
            deceived = Reading(stage.hub)
            await deceived.told("The answer is 41 or so")
            stage.journal.logs[A] = JobLog(A, 2, TokenLog(epoch=1))
            stage.journal.says(A, "The answer is 42")
            await stage.journal.forget_positions()
            assert lost(await deceived.end())
            assert lost(await fine.end())  # it was told the same

    run(scenario())


def test_text_that_is_told_otherwise_hurts_nobody_who_was_not_told_it() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "The answer is 41")
            stage.journal.may_unwatch.clear()
            slow = stage.hub.read(A, US, Position(13))
            deceived = Reading(stage.hub)
            await deceived.told("The answer is 41")
            assert (await anext(slow)).text == " 41"
            early = Reading(stage.hub, after=100)
            await settled()
            stage.journal.logs[A] = JobLog(A, 2, TokenLog(epoch=1))
            stage.journal.says(A, "The answer is 42")
            await stage.journal.forget_positions()
            assert lost(await deceived.end())
            assert lost(await early.end())
            piece = await anext(slow)
            assert piece.end is not None and lost(piece.end)
            await slow.aclose()
            new = Reading(stage.hub)
            await new.told("The answer is 42")
            stage.journal.ends(A)
            assert await new.end() == DONE

    run(scenario())


def test_a_journal_of_another_version_is_asked_seldom_and_ends_the_streams(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.says(A, "x")
            reading = Reading(stage.hub)
            await reading.told("x")

            async def of_the_next_version(reader_id: str) -> AsyncGenerator[bytes, None]:
                stage.journal.streams += 1
                yield msgspec.msgpack.encode((VERSION + 1, []))

            stage.journal.frames, streams = of_the_next_version, stage.journal.streams  # type: ignore[method-assign]
            await stage.journal.breaks()
            assert lost(await reading.end())
            await settled()
            assert stage.journal.streams == streams + 1
            assert caplog.text.count(f"version {VERSION + 1}") == 1

    run(scenario())
