"""The text and tokens of running jobs, and the one place where a job ends.

Frames come in from every engine, one stream each, and go out to every ingress replica, one stream each. A job's end
becomes visible once the Ledger has it for good.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from actors.wire.batcher import Batcher
from actors.wire.calls import Unreachable, tell
from actors.wire.frames import ACKNOWLEDGE_EVERY, RENEW_AFTER_FRAMES, JobLog, Outbox, decode
from actors.wire.notices import Notices
from cluster import clock
from cluster.ids import EngineId, JobId
from cluster.messages.machines import EngineReport
from cluster.messages.money import Usage
from cluster.messages.work import Delta, End, Ended, Failure, Fenced, JobAttempt, Output, Placed, Released

if TYPE_CHECKING:
    from actors.engine import Engine
    from actors.ledger import Ledger
    from actors.scheduler import Scheduler

logger = logging.getLogger(__name__)

LINGER_S = 30.0
READER_SILENCE_S = 60.0
# An engine that keeps the output of ended jobs a moment longer costs nobody anything; a call for each does.
SETTLE_S = 0.25
_REPEAT_S = 0.5


class _Entry(JobLog):
    """A job's log here, with the end that the Ledger does not have yet, and where its last attempt runs."""

    __slots__ = ("ending", "ran", "settling")

    def __init__(self, job_id: JobId) -> None:
        super().__init__(job_id)
        self.ending: End | None = None
        self.settling: asyncio.Task[None] | None = None
        self.ran: Placed | None = None

    @property
    def unheard(self) -> bool:
        """No output and no end of this job is known here."""
        return self.ran is None and self.ending is None

    @property
    def empty(self) -> bool:
        """Nothing is known of this job: only a reader's question made this entry."""
        return self.unheard and self.attempt == 0

    def is_stale(self, delta: Delta, engine_id: EngineId) -> bool:
        """Whether the engine may forget what this is of: an attempt shut out, or one that the job ended without."""
        ran_by = self.ran.engine_id if self.ran is not None and self.ran.attempt == delta.attempt else None
        if self.ending is not None:
            # The end itself is kept until it is durable: this process may die.
            return self.ended or delta.end is None or ran_by != engine_id
        # A Scheduler that died unheard may have begun the same attempt elsewhere.
        return delta.attempt < self.attempt or ran_by not in (None, engine_id)


class _Reader:
    """An ingress replica that reads, and when it was last heard of."""

    def __init__(self, interval_s: float, now_s: float) -> None:
        self.outbox = Outbox(interval_s)
        self.heard_s = now_s


class Journal:
    """Sole owner of running jobs' output. What it loses with its process, the engines tell it again."""

    def __init__(
        self,
        ledger: "Ledger",
        scheduler: "Scheduler",
        engine: Callable[[EngineId], "Engine"],
        known_engines: Callable[[], Sequence[EngineId]],
        interval_s: float,
    ) -> None:
        self._ledger = ledger
        self._scheduler = scheduler
        self._engine = engine
        self._known_engines = known_engines
        self._interval_s = interval_s
        self._entries: dict[str, _Entry] = {}
        self._readers: dict[str, _Reader] = {}
        self._streams: dict[EngineId, asyncio.Task[None]] = {}
        self._finish = Batcher[Ended, None](self._finish_batch)
        self._released = Notices(self._tell_released, "scheduler.released", interval_s)
        self._settled = Notices(self._tell_settled, "engine.settled", SETTLE_S)

    async def start(self) -> None:
        """Read from every engine that already runs."""
        await self.attach(await asyncio.to_thread(self._known_engines))

    async def stop(self) -> None:
        endings = [entry.settling for entry in self._entries.values() if entry.settling is not None]
        for task in (*self._streams.values(), *endings):
            task.cancel()
        self._released.stop()
        self._settled.stop()

    # Engines ------------------------------------------------------------------------------------------------------

    async def attach(self, engine_ids: Sequence[EngineId]) -> None:
        """Read the frames of these engines. One that is read already is left alone."""
        for engine_id in engine_ids:
            if engine_id not in self._streams:
                self._streams[engine_id] = asyncio.create_task(self._read(engine_id))

    async def fence(self, jobs: Sequence[JobAttempt]) -> list[Fenced]:
        """Shut out these attempts and all before them, and tell from where the next one goes on.

        A job whose end is not durable yet is left out of the answer, to be asked for again: should this process die,
        the job has to go on.
        """
        return [self._fence(job_id, attempt) for job_id, attempt in jobs if not self._is_ending(job_id)]

    async def fail(self, failures: Sequence[Failure]) -> None:
        """End these jobs with an error; returns once that is durable. A job that is ending already ends as it does."""
        for failure in failures:
            entry = self._entry(failure.job_id)
            usage = Usage(entry.prompt_tokens, len(entry.log.token_ids))
            self._end(entry, End(usage, None, failure.error, failure.error_message))
        endings = (self._entry(failure.job_id).settling for failure in failures)
        await asyncio.gather(*(settling for settling in endings if settling is not None))

    # Readers ------------------------------------------------------------------------------------------------------

    async def frames(self, reader_id: str) -> AsyncGenerator[bytes, None]:
        """What is new in the jobs that this reader watches, as frames."""
        self._prune_readers()
        try:
            async for frame in self._reader(reader_id).outbox.frames():
                yield frame
        finally:
            self._readers.pop(reader_id, None)

    async def watch(self, reader_id: str, jobs: Sequence[tuple[str, int]]) -> list[str]:
        """Tell this reader of these jobs, each from its offset on.

        Returns the jobs of which nothing is known here: they have not begun, or have ended long ago.
        """
        outbox = self._reader(reader_id).outbox
        for job_id, offset in jobs:
            outbox.watch(self._entry(job_id), offset)
        return [job_id for job_id, _ in jobs if self._entries[job_id].unheard]

    async def unwatch(self, reader_id: str, job_ids: Sequence[str]) -> None:
        if reader := self._readers.get(reader_id):
            for job_id in job_ids:
                reader.outbox.unwatch(job_id)
        for job_id in job_ids:
            self._forget_if_empty(job_id)

    async def watched(self, job_id: str, reader_id: str) -> bool:
        """Whether any reader but this one watches the job."""
        return any(reader.outbox.watches(job_id) for other, reader in self._readers.items() if other != reader_id)

    async def acknowledge(self, reader_id: str, frames: int) -> None:
        """This reader lives, and has received `frames` frames of its stream in all."""
        if reader := self._readers.get(reader_id):
            reader.heard_s = clock.monotonic_s()
            reader.outbox.acknowledge(frames)

    # Inside -------------------------------------------------------------------------------------------------------

    async def _read(self, engine_id: EngineId) -> None:
        """Read an engine for as long as it lives, and tell the Scheduler when it does not."""
        try:
            while True:
                await self._read_frames(await self._engine(engine_id).describe())
        except Unreachable as error:
            logger.warning("%s", error)
        finally:
            del self._streams[engine_id]
        tell(self._scheduler.engine_lost(engine_id), "scheduler.engine_lost")

    async def _read_frames(self, source: EngineReport) -> None:
        """Read one stream. Returns when it has to be read again from the start: it has grown old, or has a gap."""
        engine, received = self._engine(source.id), 0
        try:
            async with aclosing(engine.frames()) as frames:
                async for frame in frames:
                    self._ingest(source, decode(frame))
                    received += 1
                    if received % ACKNOWLEDGE_EVERY == 0:
                        tell(engine.acknowledge(received), "engine.acknowledge")
                    if received == RENEW_AFTER_FRAMES:
                        return
        except Unreachable:
            raise
        except Exception as error:  # noqa: BLE001 - told, and mended by reading everything again
            logger.warning("reading %s again: %s: %s", source.id, type(error).__name__, error)
            await asyncio.sleep(_REPEAT_S)

    def _ingest(self, source: EngineReport, deltas: Sequence[Delta]) -> None:
        stale = []
        for delta in deltas:
            entry = self._entry(delta.job_id)
            if entry.is_stale(delta, source.id):
                stale.append((delta.job_id, delta.attempt))
            elif entry.ending is None:
                self._append(entry, source, delta)
        if stale:
            tell(self._engine(source.id).abort(stale), "engine.abort")

    def _append(self, entry: _Entry, source: EngineReport, delta: Delta) -> None:
        if entry.ran is None or entry.ran.attempt != delta.attempt:
            entry.ran = Placed(entry.job_id, source.node_id, source.id, delta.attempt, clock.wall_ms())
        entry.attempt = delta.attempt
        entry.prompt_tokens = delta.prompt_tokens or entry.prompt_tokens
        entry.log.append_at(delta.offset, delta.text, delta.token_offset, delta.token_ids)
        self._touch(entry)
        if delta.end is not None:
            self._end(entry, delta.end)

    def _fence(self, job_id: str, attempt: int) -> Fenced:
        entry = self._entries.get(job_id)
        if attempt == 0 and (entry is None or entry.empty):
            # No attempt was made: there is none to shut out, and none to count.
            return Fenced(JobId(job_id), 1, Output(), ended=False)
        entry = self._entry(job_id)
        entry.attempt = max(entry.attempt, attempt) + 1
        return Fenced(entry.job_id, entry.attempt, entry.log.output(), entry.ended)

    def _is_ending(self, job_id: str) -> bool:
        entry = self._entries.get(job_id)
        return entry is not None and entry.ending is not None and not entry.ended

    def _end(self, entry: _Entry, end: End) -> None:
        if entry.ending is None:
            entry.ending = end
            entry.settling = asyncio.create_task(self._settle(entry, end))

    async def _settle(self, entry: _Entry, end: End) -> None:
        """Make the end durable, then visible, and after a while forget it."""
        await self._make_durable(Ended(entry.job_id, entry.log.text, end, clock.wall_ms(), entry.ran))
        entry.log.close(end)
        self._touch(entry)
        asyncio.get_running_loop().call_later(LINGER_S, self._entries.pop, entry.job_id, None)

    async def _make_durable(self, ended: Ended) -> None:
        # A job accepted is a job that ends: there is nobody to give this up to.
        while True:
            try:
                return await self._finish.add(ended)
            except Exception as error:  # noqa: BLE001 - told, and repeated until it succeeds
                logger.error("ending %s: %s; trying again", ended.job_id, type(error).__name__)  # noqa: TRY400
                await asyncio.sleep(_REPEAT_S)

    async def _finish_batch(self, batch: list[Ended]) -> list[Exception | None]:
        """All in one call; if that fails, each alone, so that one bad end holds up no other."""
        try:
            await self._ledger.finish(batch)
        except Exception as error:  # noqa: BLE001 - answered to whom it concerns
            return [error] if len(batch) == 1 else [(await self._finish_batch([ended]))[0] for ended in batch]
        # Not before: until then the Scheduler's lease and the engine's log are what a job goes on from.
        ran = [ended.ran for ended in batch if ended.ran is not None]
        self._released.add(ran)
        self._settled.add(ran)
        return [None] * len(batch)

    async def _tell_released(self, ran: Sequence[Placed]) -> None:
        await self._scheduler.released([Released(where.job_id, where.attempt) for where in ran])

    async def _tell_settled(self, ran: Sequence[Placed]) -> None:
        settled: dict[EngineId, list[JobAttempt]] = defaultdict(list)
        for where in ran:
            settled[where.engine_id].append((where.job_id, where.attempt))
        for engine_id, attempts in settled.items():
            tell(self._engine(engine_id).settled(attempts), "engine.settled")

    def _entry(self, job_id: str) -> _Entry:
        entry = self._entries.get(job_id)
        if entry is None:
            entry = self._entries[job_id] = _Entry(JobId(job_id))
        return entry

    def _reader(self, reader_id: str) -> _Reader:
        reader = self._readers.get(reader_id)
        if reader is None:
            reader = self._readers[reader_id] = _Reader(self._interval_s, clock.monotonic_s())
        return reader

    def _touch(self, entry: _Entry) -> None:
        for reader in self._readers.values():
            reader.outbox.touch(entry.job_id)

    def _forget_if_empty(self, job_id: str) -> None:
        """Drop an entry that only a reader's question made."""
        entry = self._entries.get(job_id)
        if entry is None or not entry.empty:
            return
        if not any(reader.outbox.watches(job_id) for reader in self._readers.values()):
            del self._entries[job_id]

    def _prune_readers(self) -> None:
        silent_since_s = clock.monotonic_s() - READER_SILENCE_S
        for reader_id in [r for r, reader in self._readers.items() if reader.heard_s < silent_since_s]:
            self._readers.pop(reader_id).outbox.close()
