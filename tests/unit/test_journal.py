"""The Journal: exact output whatever breaks, and ends that are durable before they are visible."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from msgspec.structs import replace

from actors.journal import Journal
from actors.wire.calls import Gone
from actors.wire.frames import UNACKNOWLEDGED_FRAMES, JobLog, Outbox, decode
from cluster.ids import EngineId, JobId, NodeId
from cluster.messages.machines import EngineReport
from cluster.messages.money import Usage
from cluster.messages.work import End, Ended, Failed, Failure, Finished, JobAttempt, OpenAttempt, Output, Released
from cluster.text.token_log import TokenLog
from cluster.timing import Timing
from tests.support.clocks import StillClock
from tests.support.plain_system import run, settled, until

A, B = JobId("job_a"), JobId("job_b")
E0, E1 = EngineId("sim/0"), EngineId("sim/1")
DONE = Finished(Usage(3, 2), "stop")
QUICK = Timing(repeat_s=0.001)


class PlainLedger:
    """Finishes jobs, unless it is told to fail or to wait."""

    def __init__(self) -> None:
        self.finished: list[Ended] = []
        self.calls = 0
        self.failures = 0
        self.open_jobs: list[OpenAttempt] = []
        self.cannot_tell = 0
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    async def open_attempts(self) -> list[OpenAttempt]:
        if self.cannot_tell:
            self.cannot_tell -= 1
            raise ConnectionError("the database is away")
        self.asked += 1
        return self.open_jobs

    async def finish(self, ended: Sequence[Ended]) -> None:
        self.calls += 1
        await self.open.wait()
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the disk is full")
        self.finished.extend(ended)


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
        self.aborted: list[JobAttempt] = []
        self.settled_jobs: list[JobAttempt] = []
        self.acknowledged: list[int] = []

    async def describe(self) -> EngineReport:
        self._unless_dead()
        return EngineReport(self.id, "sim", NodeId(f"node of {self.id}"), "ready")

    async def frames(self) -> AsyncGenerator[bytes, None]:
        self._unless_dead()
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
            death.cancel()

    async def forget(self, jobs: Sequence[JobAttempt]) -> None:
        self._unless_dead()
        self.aborted.extend(jobs)

    async def settled(self, jobs: Sequence[JobAttempt]) -> None:
        self._unless_dead()
        self.settled_jobs.extend(jobs)

    async def acknowledge(self, frames: int) -> None:
        self.acknowledged.append(frames)
        self.outbox.acknowledge(frames)

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
            assert stage.scheduler.done == [Released(A, 1)]
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

            async def refuse_a(ended: Sequence[Ended]) -> None:
                if any(end.job_id == A for end in ended):
                    raise ValueError("refused")
                await finish(ended)

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
            assert stage.scheduler.done == [Released(A, 2)]
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
            assert stage.scheduler.done == [Released(A, 1)]

    run(scenario())


def test_a_lost_engine_is_told_and_can_be_attached_again() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.dead.set()
            await until(lambda: stage.scheduler.lost == [E0])
            stage.first.dead.clear()
            await stage.journal.attach([E0, E1])
            stage.first.says(A, "back")
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
                await silent._task

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

            async def failing(frames: int) -> None:
                if failures:
                    raise failures.pop()
                await acknowledge(frames)

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


def test_an_engine_that_knows_what_came_is_not_told_again() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, acknowledge_s=0.001)) as stage:
            stage.first.says(A, "x")
            await until(lambda: stage.first.acknowledged)
            told = len(stage.first.acknowledged)
            stage.second.says(B, "y")
            await until(lambda: stage.second.acknowledged)
            assert len(stage.first.acknowledged) == told

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
            assert stage.scheduler.done == [Released(A, 1, failed=False)]

    run(scenario())
