"""The text and tokens of running jobs, and the one place where a job ends.

Frames come in from every engine, one stream each, and go out to every ingress replica, one stream each. A job's end
becomes visible once the Ledger has it for good.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from actors.journaling.before import Before
from actors.journaling.engines import EngineStreams
from actors.journaling.entry import Entry
from actors.journaling.finishing import Finish, Finishing
from actors.journaling.forgetting import Forgetting
from actors.journaling.readers import Readers
from actors.machine.log_lines import about
from actors.telemetry import inference, spans
from actors.wire.batcher import Batcher
from actors.wire.calls import tell
from actors.wire.every import Every
from actors.wire.role import Role
from cluster import traceparent
from cluster.clock import SYSTEM_CLOCK, Clock, wall_ns
from cluster.errors import EngineFailed
from cluster.ids import EngineId, JobId
from cluster.liveness.roles import JOURNAL_ROLE
from cluster.messages.machines import EngineReport
from cluster.messages.money import Usage
from cluster.messages.placements import Heard, Placed
from cluster.messages.records import EndedRecord
from cluster.messages.work import UNTOLD, Delta, End, Ended, Failed, Failure, Fenced, Finished, JobAttempt, Output
from cluster.text.attempts import Ruling
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.engine import Engine
    from actors.ledger import Ledger
    from actors.scheduler import Scheduler

logger = logging.getLogger(__name__)


class Journal:
    """Sole owner of running jobs' output. What it loses with its process, the engines tell it again."""

    def __init__(
        self,
        ledger: "Ledger",
        scheduler: "Scheduler",
        engine: Callable[[EngineId], "Engine"],
        known_engines: Callable[[], Sequence[EngineId]],
        interval_s: float,
        clock: Clock = SYSTEM_CLOCK,
        timing: Timing = Timing(),
        on_superseded: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._scheduler = scheduler
        self._engine = engine
        self._known_engines = known_engines
        self._clock = clock
        self._timing = timing
        self._on_superseded = on_superseded
        self._before = Before()
        self._entries: dict[JobId, Entry] = {}
        self._engines = EngineStreams(
            engine, self._shut_out_ended, self._ingest, self._engine_lost, self._engine_unreached, timing
        )
        self._are_open = Batcher[JobId, bool](self._ask_which_are_open)
        self._readers = Readers(interval_s, timing.reader_silence_s, clock)
        self._forgetting = Forgetting(engine, timing)
        self.role = Role(JOURNAL_ROLE, ledger, self._superseded, clock, timing)
        self._finishing = Finishing(self._finish, scheduler, self._forgetting, interval_s, clock, timing)
        self.auditing = Every(timing.audit_s, self._audit, "comparing jobs with those that are open")
        self._loops = (
            self.auditing,
            Every(timing.acknowledge_s, self._engines.acknowledge, "acknowledging frames"),
            Every(timing.prune_readers_s, self._prune_readers, "dropping silent readers"),
        )

    async def start(self) -> None:
        """Learn which jobs are open, if the Ledger can tell it soon, and read from every engine that already runs."""
        self.role.start()
        await self._audit()
        self._engines.start(await asyncio.to_thread(self._known_engines))
        self._forgetting.start()
        for loop in self._loops:
            loop.start()

    async def stop(self) -> None:
        self.role.stop()
        self._leave()

    def _superseded(self) -> None:
        self._leave()
        self._on_superseded()

    def _leave(self) -> None:
        """Read and write nothing more."""
        for loop in (*self._loops, self._forgetting):
            loop.stop()
        self._engines.stop()
        self._finishing.stop()
        for entry in self._entries.values():
            if entry.settling is not None:
                entry.settling.cancel()

    # Engines ------------------------------------------------------------------------------------------------------

    async def attach(self, engine_ids: Sequence[EngineId]) -> None:
        """Read the frames of these engines. One that is read already is left alone."""
        self._engines.attach(engine_ids)

    async def fence(self, jobs: Sequence[JobAttempt]) -> list[Fenced]:
        """Shut out these attempts and all before them, and tell from where the next one goes on.

        A job whose end is not durable yet is left out of the answer, to be asked for again: should this process die,
        the job has to go on.
        """
        await self._hear_of(job_id for job_id, _ in jobs)
        fenced = (self._fence(job_id, attempt) for job_id, attempt in jobs)
        return [fence for fence in fenced if fence is not None]

    async def fail(self, failures: Sequence[Failure]) -> None:
        """End these jobs with an error; returns once that is durable. A job that is ending already ends as it does."""
        await self._hear_of(failure.job_id for failure in failures)
        for failure in failures:
            self._fail(failure)
        endings = (self._entry(failure.job_id).settling for failure in failures)
        await asyncio.gather(*(settling for settling in endings if settling is not None))

    # Readers ------------------------------------------------------------------------------------------------------

    async def frames(self, reader_id: str) -> AsyncGenerator[bytes, None]:
        """What is new in the jobs that this reader watches, as frames."""
        try:
            async for frame in self._readers.outbox(reader_id).frames():
                yield frame
        finally:
            self._forget_empty(self._readers.close(reader_id))

    async def watch(self, reader_id: str, jobs: Sequence[tuple[JobId, int, int]]) -> list[JobId]:
        """Tell this reader of these jobs, each from its offset in the text of its epoch on; 0 when it has no text.

        A job that has another text by now is told from the start. Returns the jobs of which nothing is known here: they
        have not begun, or have ended long ago.
        """
        outbox = self._readers.outbox(reader_id)
        for job_id, offset, epoch in jobs:
            entry = self._entry(job_id)
            outbox.watch(entry, offset if epoch == entry.log.epoch else 0)
        return [job_id for job_id, _, _ in jobs if self._entries[job_id].attempts.silent]

    async def unwatch(self, reader_id: str, job_ids: Sequence[JobId]) -> None:
        if outbox := self._readers.find(reader_id):
            for job_id in job_ids:
                outbox.unwatch(job_id)
        self._forget_empty(job_ids)

    async def watching(self, reader_id: str) -> list[JobId]:
        """The jobs that this reader is told of, as far as is known here: it may have left some of them since."""
        outbox = self._readers.find(reader_id)
        return [] if outbox is None else outbox.watching()

    async def watched(self, job_id: JobId, reader_id: str) -> bool:
        """Whether any reader but this one watches the job."""
        entry = self._entries.get(job_id)
        return entry is not None and bool(entry.watchers.keys() - {self._readers.find(reader_id)})

    async def acknowledge(self, reader_id: str, frames: int) -> None:
        """This reader lives, and has received `frames` frames of its stream in all."""
        self._readers.acknowledge(reader_id, frames)

    # What is held -------------------------------------------------------------------------------------------------

    async def output(self, job_id: JobId) -> Output:
        """The job's output, as far as it is known here."""
        entry = self._entries.get(job_id)
        return Output() if entry is None else entry.output

    async def heard(self, job_id: JobId) -> tuple[Heard, ...]:
        """When tokens of the job's attempts were heard, as far as it is known here."""
        entry = self._entries.get(job_id)
        return () if entry is None else self._heard(entry)

    async def held(self) -> tuple[set[JobId], set[str]]:
        """The jobs and the readers that something is kept of."""
        return set(self._entries), self._readers.ids()

    # Inside -------------------------------------------------------------------------------------------------------

    def _engine_lost(self, engine_id: EngineId) -> None:
        tell(self._scheduler.engine_lost(engine_id), "scheduler.engine_lost")

    def _engine_unreached(self, engine_id: EngineId) -> None:
        tell(self._scheduler.engine_unreached(engine_id), "scheduler.engine_unreached")

    async def _hear_of(self, job_ids: Iterable[JobId]) -> None:
        """What engines have to say of these jobs comes before what is decided about them here."""
        if any(job_id not in self._entries or self._entries[job_id].attempts.silent for job_id in job_ids):
            await self._engines.all_heard()

    async def _shut_out_ended(self, deltas: Sequence[Delta]) -> None:
        """Hear nothing of jobs that ended while their engine was not heard: what it has may not be what is kept.

        Jobs that are known here, or were open when this Journal began, are not asked for.
        """
        unknown = [delta for delta in deltas if self._may_have_ended(delta.job_id)]
        are_open = await asyncio.gather(*(self._are_open.add(delta.job_id) for delta in unknown))
        for delta, is_open in zip(unknown, are_open, strict=True):
            if not is_open:
                self._entry(delta.job_id).attempts.overtake(delta.attempt + 1)

    def _may_have_ended(self, job_id: JobId) -> bool:
        entry = self._entries.get(job_id)
        return self._before.is_new(job_id) and (entry is None or entry.attempts.silent)

    def _ingest(self, source: EngineReport, deltas: Sequence[Delta]) -> None:
        stale: list[JobAttempt] = []
        now_ms = self._clock.wall_ms()
        for delta in deltas:
            entry = self._entries.get(delta.job_id) or self._entry(delta.job_id)
            ruling = entry.attempts.heard(delta.attempt, source.id)
            if ruling is Ruling.STALE:
                stale.append((delta.job_id, delta.attempt))
            elif ruling is Ruling.IGNORE:
                entry.note_teller(source.id, delta.attempt)
            else:
                if ruling is Ruling.BEGIN:
                    entry.begin(delta, _placed(source, delta, now_ms))
                entry.take(delta, now_ms)
                if delta.end is not None:
                    self._end(entry, delta.end, engine_failed=_is_engine_failure(delta.end))
        if stale:
            self._discard(source.id, stale)

    def _discard(self, engine_id: EngineId, attempts: Sequence[JobAttempt]) -> None:
        """Nothing that these attempts may say is wanted: their engine stops, and forgets them."""
        tell(self._engine(engine_id).abort(attempts), "engine.abort")
        self._forgetting.add(engine_id, attempts)

    def _fence(self, job_id: JobId, attempt: int) -> Fenced | None:
        entry = self._entries.get(job_id) or self._new_entry(job_id)
        number = entry.attempts.fence(attempt)
        if number is None:
            return None
        if not entry.attempts.empty:
            self._entries[job_id] = entry
        return Fenced(job_id, number, self._output(entry), entry.attempts.ended)

    def _output(self, entry: Entry) -> Output:
        """What the next attempt goes on from."""
        output = entry.output
        if output.epoch == 0 and self._before.is_new(entry.job_id):
            return UNTOLD
        return output

    def _fail(self, failure: Failure) -> None:
        entry = self._entry(failure.job_id)
        if entry.attempts.ending is None:
            entry.origin = failure.origin
            entry.take_output(failure.output)
            usage = Usage(entry.prompt_tokens, len(entry.log.token_ids))
            self._end(entry, Failed(usage, failure.error, failure.error_message), engine_failed=False)

    def _end(self, entry: Entry, end: End, engine_failed: bool) -> None:
        end = entry.counted(end)
        if entry.attempts.finish(end):
            entry.settling = asyncio.create_task(self._settle(entry, end, engine_failed))

    def _heard(self, entry: Entry) -> tuple[Heard, ...]:
        """Not of attempts that a Journal before this one may have heard first."""
        if not self._before.is_known:
            return ()
        before = self._before.attempt(entry.job_id)
        return tuple(heard for heard in entry.heard if heard.attempt > before)

    async def _finish(self, ended: Sequence[Ended]) -> Mapping[JobId, EndedRecord]:
        return await self._ledger.finish(ended, self.role.holder)

    async def _settle(self, entry: Entry, end: End, engine_failed: bool) -> None:
        """Make the end durable, then visible, and after a while forget it."""
        entry.log.epoch = self._output(entry).epoch
        ran = None if entry.ran is None else replace(entry.ran, cached_tokens=entry.cached_tokens)
        log = entry.log
        now_ms, heard = self._clock.wall_ms(), self._heard(entry)
        # A Journal before this one may have heard of it first.
        first_text_ms = heard[0].first_ms if heard and self._before.is_new(entry.job_id) else None
        marks = tuple(log.marks)
        ended = Ended(entry.job_id, log.text, end, now_ms, ran, log.epoch, marks, heard, first_text_ms, entry.origin)
        began_ns = wall_ns()
        before = await self._finishing.make_durable(Finish(ended, engine_failed, entry.told_by))
        self._tell_end(entry, end, began_ns)
        entry.attempts.settle()
        if before is not None:
            entry.turn_to(before)
        entry.log.close(end)
        entry.touch()
        asyncio.get_running_loop().call_later(self._timing.linger_s, self._entries.pop, entry.job_id, None)

    def _tell_end(self, entry: Entry, end: End, began_ns: int) -> None:
        """How the job ended, and how long it took until that was durable."""
        if trace := entry.origin.trace:
            place = traceparent.of_job(trace, entry.job_id, spans.END)
            told = inference.answered(end) | {"infernet.job.id": entry.job_id}
            job = traceparent.of_job(trace, entry.job_id)
            spans.tell(spans.END, place, job, began_ns, wall_ns(), told, inference.error(end))
        how, tokens = end.finish_reason if isinstance(end, Finished) else end.error, end.usage.completion_tokens
        logger.debug("has ended: %s, %d tokens", how, tokens, extra=about(entry.job_id, entry.origin))

    async def _audit(self) -> None:
        """Hear nothing of jobs that have ended, nor of attempts that were overtaken before this Journal began.

        An engine that could not be reached for long may tell of them, or one that the Journal before this one had shut
        out. That Journal may also end a job after this one has begun.
        """
        unsure = [entry for entry in self._entries.values() if entry.is_unsure]
        if self._before.is_known and not unsure:
            return
        if (attempts := await self._open_attempts()) is None:
            self.auditing.hasten()
            return
        self._before.learn(attempts)
        for entry in unsure:
            if entry.job_id in attempts:
                entry.attempts.overtake(attempts[entry.job_id])
            elif entry.attempts.ending is None:
                self._forget(entry)

    async def _ask_which_are_open(self, job_ids: Sequence[JobId]) -> list[bool]:
        """When the Ledger cannot tell it soon, all of them are taken to be."""
        attempts = await self._open_attempts()
        return [attempts is None or job_id in attempts for job_id in job_ids]

    async def _open_attempts(self) -> dict[JobId, int] | None:
        """The jobs that are open, and their last attempts; None when the Ledger cannot tell it soon."""
        try:
            async with asyncio.timeout(self._timing.learn_s):
                return {job_id: attempt for job_id, attempt, _ in await self._ledger.open_attempts()}
        except Exception as error:  # noqa: BLE001 - told, and repeated: readers do not wait for the database
            logger.warning("which jobs are open is not known now: %s: %s", type(error).__name__, error)
            await asyncio.sleep(self._timing.repeat_s)
            return None

    def _forget(self, entry: Entry) -> None:
        """The job has ended, however long ago. Its readers ask again, and the Ledger knows."""
        logger.warning("has ended before: what is told of it is not heard", extra=about(entry.job_id, entry.origin))
        del self._entries[entry.job_id]
        for outbox in list(entry.watchers):
            outbox.unwatch(entry.job_id)
        for engine_id, attempt in entry.told_by:
            self._discard(engine_id, [(entry.job_id, attempt)])

    def _entry(self, job_id: JobId) -> Entry:
        entry = self._entries.get(job_id)
        if entry is None:
            entry = self._entries[job_id] = self._new_entry(job_id)
        return entry

    def _new_entry(self, job_id: JobId) -> Entry:
        return Entry(job_id, self._before.attempt(job_id))

    def _forget_empty(self, job_ids: Iterable[JobId]) -> None:
        for job_id in job_ids:
            if (entry := self._entries.get(job_id)) is not None and entry.empty:
                del self._entries[job_id]

    async def _prune_readers(self) -> None:
        self._forget_empty(self._readers.prune())


def _placed(source: EngineReport, delta: Delta, now_ms: int) -> Placed:
    return Placed(delta.job_id, source.node_id, source.id, delta.attempt, now_ms)


def _is_engine_failure(end: End) -> bool:
    return isinstance(end, Failed) and end.error == EngineFailed.code
