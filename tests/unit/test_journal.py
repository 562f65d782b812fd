"""The Journal: exact output whatever breaks, and ends that are durable before they are visible."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from actors.journal import Journal
from actors.wire.calls import Gone, Unreached
from actors.wire.frames import UNACKNOWLEDGED_FRAMES, VERSION, JobLog, Outbox, decode
from cluster.errors import Superseded
from cluster.ids import AccountId, EngineId, JobId, KeyId, NodeId
from cluster.liveness.roles import JOURNAL_ROLE, Roles
from cluster.messages.machines import EngineReport
from cluster.messages.money import Usage
from cluster.messages.records import CompletedRecord, EndedRecord, FailedRecord
from cluster.messages.work import End, Ended, Failed, Failure, Finished, JobAttempt, OpenAttempt, Output, Released
from cluster.store.failures import DatabaseUnavailable
from cluster.text.token_log import TokenLog
from cluster.timing import Timing
from tests.support.clocks import StillClock
from tests.support.plain_system import run, settled, until

A, B = JobId("job_a"), JobId("job_b")
E0, E1 = EngineId("sim/0"), EngineId("sim/1")
DONE = Finished(Usage(3, 2), "stop")
TIMEOUT = Failed(Usage(3, 1), "timeout", "The job did not end in time")
QUICK = Timing(repeat_s=0.001)


class PlainLedger:
    """Finishes jobs, unless it is told to fail or to wait."""

    def __init__(self) -> None:
        self.finished: list[Ended] = []
        self.roles = Roles()
        self.before: dict[str, EndedRecord] = {}
        self.calls = 0
        self.failures = 0
        self.open_jobs: list[OpenAttempt] = []
        self.cannot_tell = 0
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    async def hold(self, role: str, holder: str, begins: bool) -> bool:
        return self.roles.hold(role, holder, begins)

    async def open_attempts(self) -> list[OpenAttempt]:
        if self.cannot_tell:
            self.cannot_tell -= 1
            raise ConnectionError("the database is away")
        self.asked += 1
        return self.open_jobs

    async def finish(self, ended: Sequence[Ended], journal: str) -> dict[JobId, EndedRecord]:
        self.calls += 1
        await self.open.wait()
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the disk is full")
        if not self.roles.hold(JOURNAL_ROLE, journal, begins=False):
            raise Superseded("another Journal has begun")
        self.finished.extend(end for end in ended if end.job_id not in self.before)
        return {end.job_id: self.before[end.job_id] for end in ended if end.job_id in self.before}


class PlainScheduler:
    def __init__(self) -> None:
        self.lost: list[EngineId] = []
        self.done: list[Released] = []

    async def engine_lost(self, engine_id: EngineId) -> None:
        self.lost.append(engine_id)

    async def released(self, released: Sequence[Released]) -> None:
        self.done.extend(released)


class PlainEngine:
    """Tells what the test lets it say."""

    def __init__(self, engine_id: EngineId) -> None:
        self.id = engine_id
        self.logs: dict[str, JobLog] = {}
        self.outbox = Outbox(0.0, with_tokens=True)
        self.dead = asyncio.Event()
        self.readings = 0
        self.reader = ""
        self.dead_readers = 0
        self.aborted: list[JobAttempt] = []
        self.settled_jobs: list[JobAttempt] = []
        self.acknowledged: list[int] = []

    async def describe(self) -> EngineReport:
        self._unless_dead()
        return EngineReport(self.id, "sim", NodeId(f"node of {self.id}"), "ready")

    async def frames(self, reader: str) -> AsyncGenerator[bytes, None]:
        self._unless_dead()
        self.reader = reader
        self.readings += 1
        self.outbox = Outbox(0.0, with_tokens=True)
        for log in self.logs.values():
            self.outbox.watch(log)
        death = asyncio.ensure_future(self.dead.wait())
        stream = self.outbox.frames()
        try:
            while True:
                frame = asyncio.ensure_future(anext(stream))
                await asyncio.wait({frame, death}, return_when=asyncio.FIRST_COMPLETED)
                if not frame.done():
                    frame.cancel()
                    raise Gone(f"{self.id} died")
                yield frame.result()
        finally:
            self.dead_readers += 1
            death.cancel()

    async def abort(self, jobs: Sequence[JobAttempt]) -> None:
        self._unless_dead()
        self.aborted.extend(jobs)

    async def settled(self, jobs: Sequence[JobAttempt]) -> None:
        self._unless_dead()
        self.settled_jobs.extend(jobs)

    async def acknowledge(self, reader: str, frames: int) -> bool:
        self.acknowledged.append(frames)
        self.outbox.acknowledge(frames)
        return reader == self.reader

    def says(self, job_id: JobId, text: str, attempt: int = 1, resume: Output | None = None) -> None:
        """Each character is a token whose id is its code point."""
        log = self.logs.get(job_id)
        if log is None or log.attempt != attempt:
            given = resume or Output()
            log = self.logs[job_id] = JobLog(job_id, attempt, TokenLog(given, given.epoch or attempt))
            log.prompt_tokens = 3
            self.outbox.watch(log, log.log.length, len(log.log.token_ids))
        for character in text:
            log.log.append(character, (ord(character),))
        self.outbox.touch(job_id)

    def ends(self, job_id: JobId, end: End = DONE) -> None:
        self.logs[job_id].log.close(end)
        self.outbox.touch(job_id)

    def _unless_dead(self) -> None:
        if self.dead.is_set():
            raise Gone(f"{self.id} died")


class Reader:
    """An ingress replica: keeps what it is told."""

    def __init__(self, journal: Journal, name: str = "reader") -> None:
        self.journal = journal
        self.name = name
        self.logs: dict[str, TokenLog] = {}
        self.stream = journal.frames(name)
        self._task = asyncio.create_task(self._read())

    async def watch(self, job_id: JobId, offset: int = 0, epoch: int = 1) -> list[str]:
        self.logs[job_id] = _log_from(offset, epoch)
        return await self.journal.watch(self.name, [(job_id, offset, epoch)])

    async def ended(self) -> None:
        """Returns once the Journal has ended this reader's stream."""
        await self._task

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.stream.aclose()

    async def told(self, job_id: JobId, text: str) -> None:
        await until(lambda: self.logs[job_id].text == text, f"{text!r} to {self.name}")

    async def end(self, job_id: JobId) -> End | None:
        await until(lambda: self.logs[job_id].end is not None, "an end")
        return self.logs[job_id].end

    async def _read(self) -> None:
        async for frame in self.stream:
            for delta in decode(frame):
                log = self.logs[delta.job_id]
                if delta.epoch not in (0, log.epoch):
                    log = self.logs[delta.job_id] = TokenLog(epoch=delta.epoch)
                log.append_at(delta.offset, delta.text)
                if delta.end is not None:
                    log.close(delta.end)


def said(text: str, epoch: int = 1) -> Output:
    """What `PlainEngine.says` makes of this text."""
    return Output(text, tuple(map(ord, text)), tuple(range(1, len(text) + 1)), epoch, 3 if text else 0)


def _log_from(offset: int, epoch: int) -> TokenLog:
    log = TokenLog(epoch=epoch if offset else 0)
    log.append("·" * offset)
    return log


class Stage:
    """A Journal, what it calls, and two engines."""

    def __init__(self, timing: Timing = QUICK) -> None:
        self.clock = StillClock()
        self.timing = timing
        self.ledger = PlainLedger()
        self.scheduler = PlainScheduler()
        self.engines = {engine_id: PlainEngine(engine_id) for engine_id in (E0, E1)}
        self.first, self.second = self.engines[E0], self.engines[E1]
        self.journal = self.new_journal()

    def new_journal(self) -> Journal:
        collaborators: Any = (self.ledger, self.scheduler, self.engines.__getitem__, lambda: [E0, E1])
        return Journal(*collaborators, 0.0, self.clock, self.timing)

    async def __aenter__(self) -> "Stage":
        await self.journal.start()
        await until(lambda: self.first.readings and self.second.readings)
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.journal.stop()
        await settled()

    async def heard(self, job_id: JobId, text: str) -> None:
        async def is_heard() -> bool:
            return (await self.journal.output(job_id)).text == text

        await until(is_heard, f"{text!r}")

    async def jobs_are(self, job_ids: set[JobId]) -> bool:
        return (await self.journal.held())[0] == job_ids

    async def readers_are(self, reader_ids: set[str]) -> bool:
        return (await self.journal.held())[1] == reader_ids


def test_text_goes_to_every_reader_from_where_each_asks() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            early, late = Reader(stage.journal, "early"), Reader(stage.journal, "late")
            assert await early.watch(A) == [A]
            stage.first.says(A, "Grüße, ")
            await early.told(A, "Grüße, ")
            assert await late.watch(A, 3) == []
            stage.first.says(A, "🦊")
            await early.told(A, "Grüße, 🦊")
            await late.told(A, "···ße, 🦊")
            stage.first.ends(A)
            assert await early.end(A) == await late.end(A) == DONE

    run(scenario())


def test_an_end_is_visible_only_when_it_is_durable() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader = Reader(stage.journal)
            await reader.watch(A)
            stage.ledger.open.clear()
            stage.first.says(A, "Paris.")
            stage.first.ends(A)
            await until(lambda: stage.ledger.calls == 1)
            await reader.told(A, "Paris.")
            await settled()
            assert reader.logs[A].end is None
            assert stage.first.settled_jobs == []
            # Until then the Scheduler keeps the job: this process may die.
            assert stage.scheduler.done == []

            stage.ledger.open.set()
            assert await reader.end(A) == DONE
            assert stage.scheduler.done == [Released(A, 1, tokens=2)]
            await until(lambda: stage.first.settled_jobs == [(A, 1)])
            (ended,) = stage.ledger.finished
            assert (ended.content, ended.end) == ("Paris.", DONE)
            assert ended.ran is not None
            assert (ended.ran.engine_id, ended.ran.node_id, ended.ran.attempt) == (E0, f"node of {E0}", 1)

    run(scenario())


def test_a_failing_ledger_is_tried_until_it_succeeds() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader = Reader(stage.journal)
            await reader.watch(A)
            stage.ledger.failures = 5
            stage.first.says(A, "x")
            stage.first.ends(A)
            assert await reader.end(A) == DONE
            assert (stage.ledger.calls, len(stage.ledger.finished)) == (6, 1)

    run(scenario())


def test_one_end_that_cannot_be_written_holds_up_no_other() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            finish = stage.ledger.finish

            async def refuse_a(ended: Sequence[Ended], journal: str) -> dict[JobId, EndedRecord]:
                if any(end.job_id == A for end in ended):
                    raise ValueError("refused")
                return await finish(ended, journal)

            stage.ledger.finish = refuse_a  # type: ignore[method-assign]
            reader = Reader(stage.journal)
            for job_id in (A, B):
                await reader.watch(job_id)
                stage.first.says(job_id, "x")
                stage.first.ends(job_id)
            assert await reader.end(B) == DONE
            assert reader.logs[A].end is None
            stage.ledger.finish = finish  # type: ignore[method-assign]
            assert await reader.end(A) == DONE
            assert [ended.job_id for ended in stage.ledger.finished] == [B, A]

    run(scenario())


def test_fenced_attempts_are_dropped_and_the_next_continues_exactly() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader = Reader(stage.journal)
            await reader.watch(A)
            stage.first.says(A, "one ")
            await stage.heard(A, "one ")
            (fence,) = await stage.journal.fence([(A, 1)])
            assert (fence.attempt, fence.ended) == (2, False)
            assert fence.output == said("one ")

            stage.first.says(A, "too late ")
            await until(lambda: stage.first.aborted == [(A, 1)])
            stage.second.says(A, "two", attempt=2, resume=fence.output)
            stage.second.ends(A)
            await reader.end(A)
            assert reader.logs[A].text == "one two"
            assert stage.scheduler.done == [Released(A, 2, tokens=2)]
            assert stage.ledger.finished[0].ran is not None
            assert stage.ledger.finished[0].ran.engine_id == E1
            await until(lambda: stage.second.settled_jobs == [(A, 2)])

    run(scenario())


def test_a_fence_never_goes_back() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.says(A, "x")
            await stage.heard(A, "x")
            numbers = [(await stage.journal.fence([(A, attempt)]))[0].attempt for attempt in (0, 0, 7, 3)]
            assert numbers == [2, 3, 8, 9]

    run(scenario())


def test_a_fence_of_what_is_not_known_here_goes_on_from_what_was_tried() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.journal.watch("reader", [(B, 0, 0)])
            for number in (4, 5):
                fences = await stage.journal.fence([(A, 3), (B, 0)])
                assert [(f.job_id, f.attempt, f.output, f.ended) for f in fences] == [
                    (A, number, Output(epoch=1), False),
                    (B, 1, Output(epoch=1), False),
                ]

    run(scenario())


def test_an_attempt_that_was_shut_out_before_its_first_word_is_not_heard() -> None:
    """Its node was silent, and so was the engine, which was still reading the prompt."""

    async def scenario() -> None:
        async with Stage() as stage:
            (fence,) = await stage.journal.fence([(A, 1)])
            reader = Reader(stage.journal)
            assert await reader.watch(A) == [A]  # it may have ended before this Journal began
            await stage.journal.watch("other", [(A, 0, 0)])
            await stage.journal.unwatch("other", [A])
            stage.first.says(A, "too late")
            await until(lambda: stage.first.aborted == [(A, 1)])
            stage.second.says(A, "one two", attempt=fence.attempt)
            stage.second.ends(A)
            await reader.end(A)
            assert reader.logs[A].text == "one two"

    run(scenario())


def test_an_attempt_is_heard_from_one_engine() -> None:
    """Two Schedulers, one after the other, each began it, and the first died before it could tell anybody."""

    async def scenario() -> None:
        async with Stage() as stage:
            stage.ledger.open.clear()
            stage.first.says(A, "one ")
            stage.first.says(B, "x")
            stage.first.ends(B)
            await stage.heard(A, "one ")
            for job_id in (A, B):
                stage.second.says(job_id, "other words")
                stage.second.ends(job_id)
            await until(lambda: stage.second.aborted == [(A, 1)])
            await until(lambda: stage.second.settled_jobs == [(A, 1)])
            stage.first.says(A, "two")
            await stage.heard(A, "one two")
            assert (stage.first.aborted, stage.first.settled_jobs) == ([], [])
            stage.ledger.open.set()
            await until(lambda: stage.first.settled_jobs == [(B, 1)])
            await until(lambda: stage.second.settled_jobs == [(A, 1), (B, 1)])

    run(scenario())


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


def test_a_job_that_is_ending_is_not_fenced_before_it_has_ended() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.ledger.open.clear()
            stage.first.says(A, "x")
            stage.first.ends(A)
            await until(lambda: stage.ledger.calls)
            assert [fence.job_id for fence in await stage.journal.fence([(A, 1), (B, 1)])] == [B]
            stage.ledger.open.set()
            await until(lambda: stage.first.settled_jobs)
            assert [fence.ended for fence in await stage.journal.fence([(A, 1)])] == [True]

    run(scenario())


def test_a_prompt_that_cannot_be_rendered_again_goes_with_the_text() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.says(A, "x")
            stage.first.logs[A].keep_prompt([7, 8, 9])
            await stage.heard(A, "x")
            stage.ledger.open_jobs = [(A, 1, 0)]
            again = stage.new_journal()
            await again.start()
            for journal in (stage.journal, again):
                (fence,) = await journal.fence([(A, 1)])
                assert (fence.output.text, fence.output.prompt_ids) == ("x", (7, 8, 9))
            await again.stop()

    run(scenario())


@pytest.mark.parametrize(("text", "end"), [("Hello", DONE), ("Hell", TIMEOUT), ("Other", DONE), ("", TIMEOUT)])
def test_readers_are_told_how_a_job_had_ended_before(text: str, end: End) -> None:
    """A Journal before this one had written it, and died before it told anybody."""

    async def scenario() -> None:
        async with Stage() as stage:
            stage.ledger.before[A] = ended_before(text, end)
            reader = Reader(stage.journal)
            await reader.watch(A)
            stage.first.says(A, "Hello")
            await reader.told(A, "Hello")
            stage.first.ends(A)
            assert await reader.end(A) == end
            late = Reader(stage.journal, "late")
            await late.watch(A)
            assert await late.end(A) == end
            assert late.logs[A].text == text
            assert stage.ledger.finished == []

    run(scenario())


def ended_before(text: str, end: End) -> EndedRecord:
    common: Any = {"id": A, "account_id": AccountId("us"), "key_id": KeyId("k"), "model": "sim"}
    common |= {"created_ms": 0, "node_id": NodeId("n"), "content": text, "usage": end.usage, "ended_ms": 1}
    if isinstance(end, Failed):
        return FailedRecord(**common, error=end.error, error_message=end.error_message)
    return CompletedRecord(**common, finish_reason=end.finish_reason)


def test_a_journal_whose_place_another_has_taken_ends_no_job_and_reads_no_more() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, hold_s=0.001)) as stage:
            await stage.journal.role.holding.taken()
            stage.ledger.roles.hold(JOURNAL_ROLE, "another", begins=True)
            # What it is asked for before it knows.
            failing = asyncio.create_task(stage.journal.fail([Failure(A, "timeout", "Late")]))
            await until(lambda: stage.first.dead_readers)
            stage.first.says(B, "x")
            await settled()
            assert (await stage.journal.output(B)).text == ""
            assert stage.ledger.finished == []
            failing.cancel()
            await asyncio.gather(failing, return_exceptions=True)

    run(scenario())


def test_a_gap_is_closed_by_reading_from_the_start() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.says(A, "whole")
            await stage.heard(A, "whole")
            # A resumed dispatch to an engine whose reader does not have what came before.
            stage.first.says(B, " rest", attempt=2, resume=Output("start", (1, 2, 3)))
            await stage.heard(B, "start rest")
            assert stage.first.readings == 2
            assert (await stage.journal.output(A)).text == "whole"

    run(scenario())


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


def test_an_end_told_again_is_written_once() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.ledger.open.clear()
            stage.first.says(A, "x")
            stage.first.ends(A)
            await until(lambda: stage.ledger.calls)
            # Something is missing, so that the engine is read again from the start, the end included.
            stage.first.says(B, " rest", attempt=2, resume=Output("start", (1,)))
            await stage.heard(B, "start rest")
            stage.ledger.open.set()
            await until(lambda: stage.first.settled_jobs)
            assert [ended.job_id for ended in stage.ledger.finished] == [A]
            assert stage.scheduler.done == [Released(A, 1, tokens=2)]

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


def test_a_job_can_fail_before_any_output() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader = Reader(stage.journal)
            assert await reader.watch(A) == [A]
            await stage.journal.fail([Failure(A, "timeout", "Too late")])
            assert await reader.end(A) == Failed(Usage(0, 0), "timeout", "Too late")
            assert reader.logs[A].text == ""
            assert [(e.content, e.ran) for e in stage.ledger.finished] == [("", None)]

    run(scenario())


def test_a_job_that_fails_midway_keeps_its_text_and_is_charged_for_it() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader = Reader(stage.journal)
            await reader.watch(A)
            stage.first.says(A, "some")
            await stage.heard(A, "some")
            await stage.journal.fail([Failure(A, "timeout", "Too late")])
            await reader.end(A)
            stage.first.says(A, " more")
            await until(lambda: stage.first.aborted == [(A, 1)])
            assert reader.logs[A].text == "some"
            (ended,) = stage.ledger.finished
            assert (ended.content, ended.end.usage) == ("some", Usage(3, 4))

    run(scenario())


def test_of_two_ends_the_first_stays() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader = Reader(stage.journal)
            await reader.watch(A)
            await reader.watch(B)
            stage.first.says(A, "x")
            stage.first.ends(A)
            assert await reader.end(A) == DONE
            await stage.journal.fail([Failure(A, "timeout", "Too late")])

            await stage.journal.fail([Failure(B, "timeout", "Too late"), Failure(B, "no_capacity", "Later still")])
            end = await reader.end(B)
            assert end == Failed(Usage(0, 0), "timeout", "Too late")
            assert sorted(ended.job_id for ended in stage.ledger.finished) == [A, B]

    run(scenario())


def test_nothing_is_left_when_all_is_over() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, linger_s=0.002)) as stage:
            reader = Reader(stage.journal)
            for number in range(50):
                job_id = JobId(f"job_{number}")
                await reader.watch(job_id)
                stage.first.says(job_id, "x")
                stage.first.ends(job_id)
            for job_id in reader.logs:
                await reader.end(JobId(job_id))
            await until(lambda: stage.jobs_are(set()), "an empty journal")
            assert not [job_id for job_id in reader.logs if await stage.journal.watched(JobId(job_id), "nobody")]
            await reader.leave()
            assert await stage.journal.held() == (set(), set())

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


def test_the_scheduler_is_told_which_ends_are_the_engines_own_failures() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            given = {
                "job_done": DONE,
                "job_broken": Failed(Usage(3, 2), "engine_error", "It broke"),
                "job_too_long": Failed(Usage(3, 2), "context_length_exceeded", "Too long"),
                "job_late": None,
                "job_given_up": None,
            }
            for name, end in given.items():
                stage.first.says(JobId(name), "x")
                await stage.heard(JobId(name), "x")
                if end is not None:
                    stage.first.ends(JobId(name), end)
            late = Failure(JobId("job_late"), "timeout", "Too late")
            # Its engines died: the Scheduler knows that, it has counted them itself.
            given_up = Failure(JobId("job_given_up"), "engine_error", "The engines that ran this job failed")
            await stage.journal.fail([late, given_up])
            await until(lambda: len(stage.scheduler.done) == len(given), "every release")
            assert {done.job_id for done in stage.scheduler.done} == set(given)
            assert [done.job_id for done in stage.scheduler.done if done.failed] == ["job_broken"]

    run(scenario())


def test_a_failure_that_comes_after_the_end_is_not_the_engines() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.ledger.open.clear()
            stage.first.says(A, "x")
            await stage.heard(A, "x")
            failing = asyncio.create_task(stage.journal.fail([Failure(A, "cancelled", "Cancelled")]))
            await until(lambda: stage.ledger.calls)
            stage.first.ends(A, Failed(Usage(3, 2), "engine_error", "It broke"))
            await settled()
            stage.ledger.open.set()
            await failing
            await until(lambda: stage.scheduler.done)
            assert stage.scheduler.done == [Released(A, 1, failed=False, tokens=1)]

    run(scenario())


# What was so before -----------------------------------------------------------------------------------------------


class Restarted(Stage):
    """A Journal that is new: engines may have something to say that they had said before."""

    async def __aenter__(self) -> "Restarted":
        await self.journal.start()
        return self


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


# Texts that were lost ---------------------------------------------------------------------------------------------


def test_a_text_that_is_begun_without_the_earlier_one_takes_its_place() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader = Reader(stage.journal)
            await reader.watch(A)
            stage.first.says(A, "The answer is 41")
            await reader.told(A, "The answer is 41")
            stage.second.says(A, "The answer is 42", attempt=2)  # it was told nothing to go on from
            stage.second.ends(A)
            assert await reader.end(A) == DONE
            assert (reader.logs[A].text, reader.logs[A].epoch) == ("The answer is 42", 2)
            assert [(ended.content, ended.epoch) for ended in stage.ledger.finished] == [("The answer is 42", 2)]

    run(scenario())


def test_whoever_goes_on_keeps_the_epoch() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.says(A, "one ", attempt=2)
            await stage.heard(A, "one ")
            (fence,) = await stage.journal.fence([(A, 2)])
            assert fence.output == said("one ", epoch=2)
            stage.second.says(A, "two", attempt=3, resume=fence.output)
            await stage.heard(A, "one two")
            assert (await stage.journal.output(A)).epoch == 2

    run(scenario())


@pytest.mark.parametrize(
    ("open_before", "epoch"),
    [([], 1), ([(A, 1, 0)], 0), ([(A, 0, 0)], 0)],
    ids=["accepted since", "placed before", "accepted before"],
)
def test_a_text_has_another_epoch_only_where_an_earlier_one_may_have_been_told(
    open_before: list[OpenAttempt], epoch: int
) -> None:
    async def scenario() -> None:
        stage = Restarted()
        stage.ledger.open_jobs = open_before
        async with stage:
            (fence,) = await stage.journal.fence([(A, 1)])
            assert fence.output == Output(epoch=epoch)

    run(scenario())


def test_a_reader_with_a_position_in_another_text_is_told_this_one_from_its_start() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.says(A, "other text", attempt=2)
            await stage.heard(A, "other text")
            reader = Reader(stage.journal)
            await reader.watch(A, offset=5, epoch=1)
            await reader.told(A, "other text")

    run(scenario())


# Who must know until it knows -------------------------------------------------------------------------------------


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


def test_ends_that_a_database_cannot_take_are_not_tried_one_by_one() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, repeat_s=3600.0)) as stage:
            tried: list[int] = []

            async def away(ended: Sequence[Ended], journal: str) -> dict[JobId, EndedRecord]:
                tried.append(len(ended))
                await stage.ledger.open.wait()
                raise DatabaseUnavailable("the database is away")

            stage.ledger.finish, _ = away, stage.ledger.open.clear()  # type: ignore[method-assign]
            for number in range(10):
                stage.first.says(JobId(f"job_{number}"), "x")
                stage.first.ends(JobId(f"job_{number}"))
            await until(lambda: tried)
            await settled()
            stage.ledger.open.set()
            await until(lambda: sum(tried) == 10)
            await settled()
            assert len(tried) <= 2

    run(scenario())
