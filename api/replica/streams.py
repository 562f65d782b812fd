"""This replica's view of running jobs: one stream of frames from the Journal, any number of readers of any job."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence, Set
from typing import TYPE_CHECKING

from actors.wire.batcher import Batcher
from actors.wire.calls import tell
from actors.wire.every import Every
from actors.wire.frames import OtherVersion, follow
from actors.wire.outage import Outage
from api.replica.live import Live, Piece, Reader
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.errors import JobNotFound
from cluster.ids import AccountId, JobId, new_reader_id
from cluster.messages.money import Usage
from cluster.messages.records import EndedRecord
from cluster.messages.work import Delta, Failed, Position
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.journal import Journal
    from actors.ledger import Ledger

logger = logging.getLogger(__name__)


_REMOVED = Failed(Usage(), JobNotFound.code, "The job has been removed")


class StreamHub:
    """Reads the Journal once for all readers of this replica, and again from where it was when the Journal returns."""

    def __init__(
        self, journal: "Journal", ledger: "Ledger", clock: Clock = SYSTEM_CLOCK, timing: Timing = Timing()
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._clock = clock
        self._timing = timing
        self._looking_up = Outage("looking up jobs", clock)
        self._live: dict[JobId, Live] = {}
        self._reader_id = new_reader_id()
        self._received = 0
        # One call at a time: calls to an actor may overtake each other, and a watch must not be undone by the
        # unwatch before it.
        self._interests = Batcher[JobId, None](self._tell_interests)
        self._following: asyncio.Task[None] | None = None
        self._loops = (
            Every(timing.alive_s, self.keep_alive, "telling the journal that this replica lives"),
            Every(timing.ask_again_s, self.ask_again, "asking again for silent jobs"),
            Every(timing.ask_again_s, self.leave_again, "leaving again what nobody reads"),
            Every(timing.silence_s, self.remind, "giving signs of life"),
        )

    async def start(self) -> None:
        self._following = asyncio.create_task(self._follow_forever())
        for loop in self._loops:
            loop.start()

    async def stop(self) -> None:
        for loop in self._loops:
            loop.stop()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def read(
        self, job_id: JobId, account_id: AccountId, after: Position = Position(), is_new: bool = False
    ) -> AsyncGenerator[Piece, None]:
        """The job's text after this position as it comes, then its end; an empty piece when there is silence.

        One that is new, submitted a moment ago, is not looked for among those that ended long ago. The stream ends as
        lost (`is_lost`) when the job's text turns out to be another one than that of the position, or than was told.
        """
        reader = Reader(after)
        live = self._enter(job_id, account_id, reader, is_new)
        try:
            while True:
                if piece := reader.next(live.log):
                    yield piece
                    if piece.end is not None:
                        return
                elif not await live.news():
                    yield Piece(offset=reader.offset, epoch=reader.epoch)
        finally:
            self._leave(job_id, live, reader)

    async def until_end(self, job_id: JobId, account_id: AccountId) -> None:
        """Returns when the job has ended."""
        reader = Reader()
        live = self._enter(job_id, account_id, reader)
        try:
            while live.log.end is None:
                await live.news()
        finally:
            self._leave(job_id, live, reader)

    @property
    def reading(self) -> Set[JobId]:
        """The jobs that somebody reads here."""
        return self._live.keys()

    async def unread(self, job_id: JobId) -> bool:
        """Whether nobody reads this job, here or at another replica."""
        return job_id not in self._live and not await self._journal.watched(job_id, self._reader_id)

    async def awake(self) -> bool:
        """Whether the Journal answers, which tells every stream. Raises what keeps it from that."""
        await self._journal.watching(self._reader_id)
        return True

    def _enter(self, job_id: JobId, account_id: AccountId, reader: Reader, is_new: bool = False) -> Live:
        live = self._live.get(job_id)
        if live is None:
            live = self._live[job_id] = Live(account_id, is_new, self._clock.monotonic_s())
            tell(self._interests.add(job_id), "journal.watch")
        live.enter(reader)
        return live

    def _leave(self, job_id: JobId, live: Live, reader: Reader) -> None:
        live.readers.discard(reader)
        if not live.readers and self._live.get(job_id) is live:
            del self._live[job_id]
            if not live.journal_sent_end:
                tell(self._interests.add(job_id), "journal.unwatch")

    async def _tell_interests(self, job_ids: Sequence[JobId]) -> list[None]:
        """Have the Journal tell of those of these jobs that are read here now, and no longer of the others."""
        if gone := [job_id for job_id in job_ids if job_id not in self._live]:
            await self._journal.unwatch(self._reader_id, gone)
        await self._watch([job_id for job_id in job_ids if job_id in self._live])
        return [None] * len(job_ids)

    async def _watch(self, job_ids: Sequence[JobId]) -> None:
        """Ask for these jobs from where we are. What the Journal does not know may have ended long ago."""
        lives = {job_id: self._live[job_id] for job_id in job_ids if job_id in self._live}
        if not lives:
            return
        positions = [(job_id, live.log.length, live.log.epoch) for job_id, live in lives.items()]
        for job_id in await self._journal.watch(self._reader_id, positions):
            if not lives[job_id].is_new:
                tell(self._look_up(job_id), "looking up a job")
        for live in lives.values():
            live.is_new = False  # when it is asked for again, it may not be

    async def _look_up(self, job_id: JobId) -> None:
        """Tell the job's readers of its end, if it has one or is gone. Repeated for as long as it cannot be asked."""
        while (live := self._live.get(job_id)) is not None:
            try:
                record = await self._ledger.job(job_id, live.account_id)
            except Exception as error:  # noqa: BLE001 - told, and tried again while anybody waits for it
                self._looking_up.failed(error)
                await asyncio.sleep(self._timing.reconnect_s)
                continue
            self._looking_up.succeeded()
            if isinstance(record, EndedRecord):
                live.take(record.epoch, 0, record.content, 0, record.marks)
                live.close(record.end, record.epoch, len(record.content))
            elif record is None:
                live.close(_REMOVED, live.log.epoch, live.log.length)
            else:
                return
            live.notify(self._clock.monotonic_s())
            return

    async def _follow_forever(self) -> None:
        while True:
            try:
                await self._follow()
            except OtherVersion as error:
                await self._give_up(error)
            except Exception as error:  # noqa: BLE001 - told, and mended by reading on from where we are
                logger.warning("reading the journal again: %s: %s", type(error).__name__, error)
                await asyncio.sleep(self._timing.reconnect_s)
            # A new stream is a new reader: the old one may linger.
            self._reader_id = new_reader_id()

    async def _give_up(self, error: OtherVersion) -> None:
        """The Journal's process is of another version: no stream can go on here, before one of the two is replaced."""
        logger.error("no stream can be served: the journal is of no use, %s", error)
        for live in self._live.values():
            live.lose()
            live.notify(self._clock.monotonic_s())
        await asyncio.sleep(self._timing.ask_again_s)

    async def _follow(self) -> None:
        """Read one stream, until it has grown old."""
        self._received = 0
        for job_id in self._live:
            tell(self._interests.add(job_id), "journal.watch")
        await follow(self._journal.frames(self._reader_id), self._ingest, self._acknowledge)

    def _ingest(self, deltas: Sequence[Delta]) -> None:
        """Take in one frame."""
        self._received += 1
        now_s = self._clock.monotonic_s()
        for delta in deltas:
            live = self._live.get(delta.job_id)
            if live is None:
                continue
            live.take(delta.epoch, delta.offset, delta.text, delta.mark_offset, delta.marks)
            if delta.end is not None:
                live.close(delta.end, delta.epoch, delta.offset + len(delta.text))
                live.journal_sent_end = True
            live.notify(now_s)

    def _acknowledge(self, received: int) -> None:
        tell(self._journal.acknowledge(self._reader_id, received), "journal.acknowledge")

    async def keep_alive(self) -> None:
        """Tell the Journal that this replica lives."""
        self._acknowledge(self._received)

    async def ask_again(self) -> None:
        """Ask again for the jobs without news since the last call: a question or an end may be lost."""
        silent = [job_id for job_id, live in self._live.items() if not live.has_news_since_check]
        for live in self._live.values():
            live.has_news_since_check = False
        if silent:
            tell(self._watch(silent), "journal.watch")

    async def leave_again(self) -> None:
        """Leave again the jobs that nobody reads here: that they were left, or when, may have been lost."""
        for job_id in await self._journal.watching(self._reader_id):
            if job_id not in self._live:
                tell(self._interests.add(job_id), "journal.unwatch")

    async def remind(self) -> None:
        """Have the readers of jobs that are silent give a sign of life: one clock for all, not one for each."""
        silent_since_s = self._clock.monotonic_s() - self._timing.silence_s
        for live in self._live.values():
            if live.last_news_s <= silent_since_s:
                live.remind()
