"""The text and tokens of running jobs, and the one place where a job ends.

Frames come in from every engine, one stream each, and go out to every ingress replica, one stream each. A job's end
becomes visible once the Ledger has it for good.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from actors.wire.batcher import Batcher
from actors.wire.calls import AWAY, Gone, Unreachable, tell
from actors.wire.frames import Outbox, follow
from actors.wire.notices import Notices
from actors.wire.outage import Outage
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.errors import EngineFailed
from cluster.ids import EngineId, JobId
from cluster.messages.machines import EngineReport
from cluster.messages.money import Usage
from cluster.messages.work import Delta, End, Ended, Failed, Failure, Fenced, JobAttempt, Output, Placed, Released
from cluster.text.attempts import Attempts, Ruling
from cluster.text.token_log import TokenLog
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.engine import Engine
    from actors.ledger import Ledger
    from actors.scheduler import Scheduler

logger = logging.getLogger(__name__)


class _Entry:
    """A job's output here, which attempt may add to it, and where the last attempt runs."""

    __slots__ = ("attempts", "job_id", "log", "prompt_tokens", "ran", "settling")

    def __init__(self, job_id: JobId) -> None:
        self.job_id = job_id
        self.log = TokenLog()
        self.prompt_tokens = 0
        self.attempts = Attempts()
        self.ran: Placed | None = None
        self.settling: asyncio.Task[None] | None = None

    @property
    def attempt(self) -> int:
        return self.attempts.current


class _Ending(NamedTuple):
    """An end on its way to the Ledger. `engine_failed` says that the job's engine gave up on it."""

    ended: Ended
    engine_failed: bool


class _Reader:
    """An ingress replica that reads, and when it last gave a sign of life."""

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
        clock: Clock = SYSTEM_CLOCK,
        timing: Timing = Timing(),
    ) -> None:
        self._ledger = ledger
        self._scheduler = scheduler
        self._engine = engine
        self._known_engines = known_engines
        self._interval_s = interval_s
        self._clock = clock
        self._timing = timing
        self._entries: dict[JobId, _Entry] = {}
        self._readers: dict[str, _Reader] = {}
        self._streams: dict[EngineId, asyncio.Task[None]] = {}
        self._outage = Outage("writing the ends of jobs", clock)
        self._finish = Batcher[_Ending, None](self._finish_batch)
        self._released = Notices(self._tell_released, "scheduler.released", interval_s)
        self._settled = Notices(self._tell_settled, "engine.settled", timing.settled_notice_s)

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
        fenced = (self._fence(job_id, attempt) for job_id, attempt in jobs)
        return [fence for fence in fenced if fence is not None]

    async def fail(self, failures: Sequence[Failure]) -> None:
        """End these jobs with an error; returns once that is durable. A job that is ending already ends as it does."""
        for failure in failures:
            entry = self._entry(failure.job_id)
            usage = Usage(entry.prompt_tokens, len(entry.log.token_ids))
            self._end(entry, Failed(usage, failure.error, failure.error_message), engine_failed=False)
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

    async def watch(self, reader_id: str, jobs: Sequence[tuple[JobId, int]]) -> list[JobId]:
        """Tell this reader of these jobs, each from its offset on.

        Returns the jobs of which nothing is known here: they have not begun, or have ended long ago.
        """
        outbox = self._reader(reader_id).outbox
        for job_id, offset in jobs:
            outbox.watch(self._entry(job_id), offset)
        return [job_id for job_id, _ in jobs if self._entries[job_id].attempts.silent]

    async def unwatch(self, reader_id: str, job_ids: Sequence[JobId]) -> None:
        if reader := self._readers.get(reader_id):
            for job_id in job_ids:
                reader.outbox.unwatch(job_id)
        for job_id in job_ids:
            self._forget_if_empty(job_id)

    async def watched(self, job_id: JobId, reader_id: str) -> bool:
        """Whether any reader but this one watches the job."""
        return any(reader.outbox.watches(job_id) for other, reader in self._readers.items() if other != reader_id)

    async def acknowledge(self, reader_id: str, frames: int) -> None:
        """This reader lives, and has received `frames` frames of its stream in all."""
        if reader := self._readers.get(reader_id):
            reader.heard_s = self._clock.monotonic_s()
            reader.outbox.acknowledge(frames)

    # What is held -------------------------------------------------------------------------------------------------

    async def output(self, job_id: JobId) -> Output:
        """The job's output, as far as it is known here."""
        entry = self._entries.get(job_id)
        return Output() if entry is None else entry.log.output()

    async def held(self) -> tuple[set[JobId], set[str]]:
        """The jobs and the readers that something is kept of."""
        return set(self._entries), set(self._readers)

    # Inside -------------------------------------------------------------------------------------------------------

    async def _read(self, engine_id: EngineId) -> None:
        """Read an engine for as long as it lives, and tell the Scheduler when it does not, or cannot be reached."""
        try:
            while True:
                try:
                    await self._read_frames(await self._engine(engine_id).describe())
                except Gone:
                    raise
                except Unreachable as error:
                    logger.warning("reading %s again: %s", engine_id, error)
                    tell(self._scheduler.engine_unreached(engine_id), "scheduler.engine_unreached")
                    await asyncio.sleep(self._timing.repeat_s)
        except Gone as error:
            logger.warning("%s", error)
        finally:
            del self._streams[engine_id]
        tell(self._scheduler.engine_lost(engine_id), "scheduler.engine_lost")

    async def _read_frames(self, source: EngineReport) -> None:
        """Read one stream. Returns when it has to be read again from the start: it has grown old, or has a gap."""
        engine = self._engine(source.id)
        try:
            await follow(
                engine.frames(),
                lambda deltas: self._ingest(source, deltas),
                lambda received: tell(engine.acknowledge(received), "engine.acknowledge"),
            )
        except Unreachable:
            raise
        except Exception as error:  # noqa: BLE001 - told, and mended by reading everything again
            logger.warning("reading %s again: %s: %s", source.id, type(error).__name__, error)
            await asyncio.sleep(self._timing.repeat_s)

    def _ingest(self, source: EngineReport, deltas: Sequence[Delta]) -> None:
        stale: list[JobAttempt] = []
        for delta in deltas:
            entry = self._entry(delta.job_id)
            ruling = entry.attempts.heard(delta.attempt, source.id, delta.end)
            if ruling is Ruling.STALE:
                stale.append((delta.job_id, delta.attempt))
            elif ruling is not Ruling.IGNORE:
                if ruling is Ruling.BEGIN:
                    entry.ran = self._placed(source, delta)
                self._append(entry, delta)
        if stale:
            tell(self._engine(source.id).forget(stale), "engine.forget")

    def _placed(self, source: EngineReport, delta: Delta) -> Placed:
        return Placed(delta.job_id, source.node_id, source.id, delta.attempt, self._clock.wall_ms())

    def _append(self, entry: _Entry, delta: Delta) -> None:
        entry.prompt_tokens = delta.prompt_tokens or entry.prompt_tokens
        entry.log.append_at(delta.offset, delta.text, delta.token_offset, delta.token_ids)
        self._touch(entry)
        if delta.end is not None:
            self._end(entry, delta.end, engine_failed=_is_engine_failure(delta.end))

    def _fence(self, job_id: JobId, attempt: int) -> Fenced | None:
        entry = self._entries.get(job_id) or _Entry(job_id)
        number = entry.attempts.fence(attempt)
        if number is None:
            return None
        if not entry.attempts.empty:
            self._entries[job_id] = entry
        return Fenced(job_id, number, entry.log.output(), entry.attempts.ended)

    def _end(self, entry: _Entry, end: End, engine_failed: bool) -> None:
        if entry.attempts.finish(end):
            entry.settling = asyncio.create_task(self._settle(entry, end, engine_failed))

    async def _settle(self, entry: _Entry, end: End, engine_failed: bool) -> None:
        """Make the end durable, then visible, and after a while forget it."""
        ended = Ended(entry.job_id, entry.log.text, end, self._clock.wall_ms(), entry.ran)
        await self._make_durable(_Ending(ended, engine_failed))
        entry.attempts.settle()
        entry.log.close(end)
        self._touch(entry)
        asyncio.get_running_loop().call_later(self._timing.linger_s, self._entries.pop, entry.job_id, None)

    async def _make_durable(self, ending: _Ending) -> None:
        # A job accepted is a job that ends: there is nobody to give this up to.
        while True:
            try:
                await self._finish.add(ending)
            except Exception as error:  # noqa: BLE001 - told, and repeated until it succeeds
                self._outage.failed(error)
                await asyncio.sleep(self._timing.repeat_s)
            else:
                return self._outage.succeeded()

    async def _finish_batch(self, batch: list[_Ending]) -> list[Exception | None]:
        """All in one call; if one of them fails it, each alone, so that one bad end holds up no other."""
        try:
            await self._ledger.finish([ending.ended for ending in batch])
        except AWAY:
            raise  # of all of them
        except Exception as error:  # noqa: BLE001 - answered to whom it concerns
            return [error] if len(batch) == 1 else [(await self._finish_batch([ending]))[0] for ending in batch]
        # Not before: until then the Scheduler's lease and the engine's log are what a job goes on from.
        ran = [(ending.ended.ran, ending.engine_failed) for ending in batch if ending.ended.ran is not None]
        self._released.add(Released(where.job_id, where.attempt, failed) for where, failed in ran)
        self._settled.add(where for where, _ in ran)
        return [None] * len(batch)

    async def _tell_released(self, released: Sequence[Released]) -> None:
        await self._scheduler.released(released)

    async def _tell_settled(self, ran: Sequence[Placed]) -> None:
        settled: dict[EngineId, list[JobAttempt]] = defaultdict(list)
        for where in ran:
            settled[where.engine_id].append((where.job_id, where.attempt))
        for engine_id, attempts in settled.items():
            tell(self._engine(engine_id).settled(attempts), "engine.settled")

    def _entry(self, job_id: JobId) -> _Entry:
        entry = self._entries.get(job_id)
        if entry is None:
            entry = self._entries[job_id] = _Entry(job_id)
        return entry

    def _reader(self, reader_id: str) -> _Reader:
        reader = self._readers.get(reader_id)
        if reader is None:
            reader = self._readers[reader_id] = _Reader(self._interval_s, self._clock.monotonic_s())
        return reader

    def _touch(self, entry: _Entry) -> None:
        for reader in self._readers.values():
            reader.outbox.touch(entry.job_id)

    def _forget_if_empty(self, job_id: JobId) -> None:
        """Drop an entry that only a reader's question made."""
        entry = self._entries.get(job_id)
        if entry is None or not entry.attempts.empty:
            return
        if not any(reader.outbox.watches(job_id) for reader in self._readers.values()):
            del self._entries[job_id]

    def _prune_readers(self) -> None:
        silent_since_s = self._clock.monotonic_s() - self._timing.reader_silence_s
        for reader_id in [r for r, reader in self._readers.items() if reader.heard_s < silent_since_s]:
            self._readers.pop(reader_id).outbox.close()


def _is_engine_failure(end: End) -> bool:
    return isinstance(end, Failed) and end.error == EngineFailed.code
