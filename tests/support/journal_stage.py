"""A Journal among plain actors, with readers and two engines: what tests of it start from."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from actors.journal import Journal
from actors.wire.calls import Gone
from actors.wire.frames import JobLog, Outbox, decode
from cluster.errors import Superseded
from cluster.ids import AccountId, EngineId, JobId, KeyId, NodeId
from cluster.liveness.roles import JOURNAL_ROLE, Roles
from cluster.messages.machines import EngineReport
from cluster.messages.money import Usage
from cluster.messages.records import CompletedRecord, EndedRecord, FailedRecord
from cluster.messages.work import End, Ended, Failed, Finished, JobAttempt, OpenAttempt, Output, Released
from cluster.text.token_log import TokenLog
from cluster.timing import Timing
from tests.support.clocks import StillClock
from tests.support.plain_system import settled, until

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


def ended_before(text: str, end: End) -> EndedRecord:
    common: Any = {"id": A, "account_id": AccountId("us"), "key_id": KeyId("k"), "model": "sim"}
    common |= {"created_ms": 0, "node_id": NodeId("n"), "content": text, "usage": end.usage, "ended_ms": 1}
    if isinstance(end, Failed):
        return FailedRecord(**common, error=end.error, error_message=end.error_message)
    return CompletedRecord(**common, finish_reason=end.finish_reason)


class Restarted(Stage):
    """A Journal that is new: engines may have something to say that they had said before."""

    async def __aenter__(self) -> "Restarted":
        await self.journal.start()
        return self
