"""This replica's view of running jobs: one stream of frames from the Journal, any number of readers of any job."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from msgspec import Struct

from actors.wire.batcher import Batcher
from actors.wire.calls import tell
from actors.wire.frames import ACKNOWLEDGE_EVERY, RENEW_AFTER_FRAMES, decode
from cluster import clock
from cluster.ids import AccountId, JobId, new_reader_id
from cluster.messages.work import Delta, End, EndedRecord
from cluster.text.token_log import TokenLog

if TYPE_CHECKING:
    from actors.journal import Journal
    from actors.ledger import Ledger

logger = logging.getLogger(__name__)

RECONNECT_S = 0.2
ALIVE_S = 10.0
ASK_AGAIN_S = 30.0
# A reader is given a sign of life after this long without news, or twice that at most.
SILENCE_S = 5.0


class Piece(Struct, frozen=True):
    """What a reader is told next: `text` up to position `offset`, or how the job ended; neither is a sign of life."""

    text: str = ""
    offset: int = 0
    end: End | None = None


class _Live:
    """A job that somebody reads here."""

    def __init__(self, account_id: AccountId, is_new: bool) -> None:
        self.account_id = account_id
        self.is_new = is_new
        self.heard_out = False  # the Journal has told the end, and with it forgotten that we watch
        self.log = TokenLog()
        self.readers = 0
        self.told = True
        self.heard_s = clock.monotonic_s()
        self._is_news = False
        self._woken = asyncio.Event()

    def notify(self) -> None:
        """There is news."""
        self.told = True
        self.heard_s = clock.monotonic_s()
        self._wake(is_news=True)

    def remind(self) -> None:
        """There is none."""
        self._wake(is_news=False)

    async def news(self) -> bool:
        """Returns when there is news; False when this was only a reminder that there is none."""
        await self._woken.wait()
        return self._is_news

    def _wake(self, is_news: bool) -> None:
        self._is_news = is_news
        self._woken.set()
        self._woken.clear()


class StreamHub:
    """Reads the Journal once for all readers of this replica, and again from where it was when the Journal returns."""

    def __init__(self, journal: "Journal", ledger: "Ledger") -> None:
        self._journal = journal
        self._ledger = ledger
        self._live: dict[JobId, _Live] = {}
        self._reader_id = new_reader_id()
        self._received = 0
        # One call at a time: calls to an actor may overtake each other, and a watch must not be undone by the
        # unwatch before it.
        self._interests = Batcher[JobId, None](self._tell_interests)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        duties = (self._follow_forever(), self._keep_alive(), self._ask_again_forever(), self._remind_forever())
        self._tasks = [asyncio.create_task(duty) for duty in duties]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def read(
        self, job_id: JobId, account_id: AccountId, after: int, is_new: bool = False
    ) -> AsyncGenerator[Piece, None]:
        """The job's text from position `after` on as it comes, then its end; an empty piece when there is silence.

        One that is new, submitted a moment ago, is not looked for among those that ended long ago.
        """
        live = self._enter(job_id, account_id, is_new)
        try:
            offset = after
            while True:
                if text := live.log.since(offset):
                    offset += len(text)
                    yield Piece(text, offset)
                elif live.log.end is not None:
                    yield Piece(offset=offset, end=live.log.end)
                    return
                elif not await live.news():
                    yield Piece(offset=offset)
        finally:
            self._leave(job_id, live)

    async def until_end(self, job_id: JobId, account_id: AccountId) -> None:
        """Returns when the job has ended."""
        live = self._enter(job_id, account_id)
        try:
            while live.log.end is None:
                await live.news()
        finally:
            self._leave(job_id, live)

    async def unread(self, job_id: JobId) -> bool:
        """Whether nobody reads this job, here or at another replica."""
        return job_id not in self._live and not await self._journal.watched(job_id, self._reader_id)

    def _enter(self, job_id: JobId, account_id: AccountId, is_new: bool = False) -> _Live:
        live = self._live.get(job_id)
        if live is None:
            live = self._live[job_id] = _Live(account_id, is_new)
            tell(self._interests.add(job_id), "journal.watch")
        live.readers += 1
        return live

    def _leave(self, job_id: JobId, live: _Live) -> None:
        live.readers -= 1
        if live.readers == 0 and self._live.get(job_id) is live:
            del self._live[job_id]
            if not live.heard_out:
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
        positions = [(job_id, live.log.length) for job_id, live in lives.items()]
        for job_id in map(JobId, await self._journal.watch(self._reader_id, positions)):
            if not lives[job_id].is_new:
                tell(self._look_up(job_id), "looking up a job")
        for live in lives.values():
            live.is_new = False  # when it is asked for again, it may not be

    async def _look_up(self, job_id: JobId) -> None:
        """Tell the job's readers of its end, if it has ended. Repeated for as long as it cannot be asked."""
        while (live := self._live.get(job_id)) is not None:
            try:
                record = await self._ledger.job(job_id, live.account_id)
            except Exception as error:  # noqa: BLE001 - told, and tried again while anybody waits for it
                logger.warning("looking up %s: %s", job_id, type(error).__name__)
                await asyncio.sleep(RECONNECT_S)
                continue
            if isinstance(record, EndedRecord):
                live.log.append_at(0, record.content)
                live.log.close(record.end)
                live.notify()
            return

    async def _follow_forever(self) -> None:
        while True:
            try:
                await self._follow()
            except Exception as error:  # noqa: BLE001 - told, and mended by reading on from where we are
                logger.warning("reading the journal again: %s: %s", type(error).__name__, error)
                await asyncio.sleep(RECONNECT_S)
            # A new stream is a new reader: the old one may linger.
            self._reader_id = new_reader_id()

    async def _follow(self) -> None:
        """Read one stream, until it has grown old."""
        self._received = 0
        for job_id in self._live:
            tell(self._interests.add(job_id), "journal.watch")
        async with aclosing(self._journal.frames(self._reader_id)) as frames:
            async for frame in frames:
                self._ingest(decode(frame))
                self._received += 1
                if self._received % ACKNOWLEDGE_EVERY == 0:
                    self._acknowledge()
                if self._received == RENEW_AFTER_FRAMES:
                    return

    def _ingest(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            live = self._live.get(delta.job_id)
            if live is None:
                continue
            live.log.append_at(delta.offset, delta.text)
            if delta.end is not None:
                live.log.close(delta.end)
                live.heard_out = True
            live.notify()

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(ALIVE_S)
            self._acknowledge()

    async def _ask_again_forever(self) -> None:
        while True:
            await asyncio.sleep(ASK_AGAIN_S)
            self._ask_again()

    def _ask_again(self) -> None:
        """Ask again for the jobs that nothing was told of since the last time: a question or an end may be lost."""
        silent = [job_id for job_id, live in self._live.items() if not live.told]
        for live in self._live.values():
            live.told = False
        if silent:
            tell(self._watch(silent), "journal.watch")

    async def _remind_forever(self) -> None:
        while True:
            await asyncio.sleep(SILENCE_S)
            self._remind()

    def _remind(self) -> None:
        """Have the readers of jobs that are silent give a sign of life: one clock for all, not one for each."""
        silent_since_s = clock.monotonic_s() - SILENCE_S
        for live in self._live.values():
            if live.heard_s <= silent_since_s:
                live.remind()

    def _acknowledge(self) -> None:
        tell(self._journal.acknowledge(self._reader_id, self._received), "journal.acknowledge")
