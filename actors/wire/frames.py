"""Frames: everything new of every job since the last one, as the bytes of one item of an actor stream.

Every hop of the token path is one long-lived stream between two processes, whatever the number of jobs, so its cost
follows the number of frames and not of tokens times streams.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, suppress

import msgspec

from cluster.ids import JobId
from cluster.messages.work import Delta
from cluster.text.token_log import TokenLog

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Delta])

# A reader that acknowledges nothing gets no more than this. Then what is new gathers in the logs, and comes as one
# frame when there is room again: a reader that is too slow for every frame lags by this many at most, and catches up.
UNACKNOWLEDGED_FRAMES = 32
ACKNOWLEDGE_EVERY = 8

# Many jobs may begin and end within an interval, and a frame costs more than what is in it.
_URGENT_SHARE = 0.25

# Each job in a frame becomes an event for each of its readers, which costs more than all else on a text's way: from so
# many jobs on the interval grows with them, up to its double.
_MANY_JOBS = 32
_LONGEST = 2.0

# Ray keeps a few hundred bytes of every item of a stream for as long as the stream lasts, so readers begin anew.
RENEW_AFTER_FRAMES = 20_000


def decode(frame: bytes) -> list[Delta]:
    return _decoder.decode(frame)


async def follow(
    frames: AsyncGenerator[bytes, None],
    ingest: Callable[[list[Delta]], None],
    acknowledge: Callable[[int], object],
) -> None:
    """Read a stream of frames and close it; return when it has grown old or ended.

    `acknowledge` is told now and then how many frames have been ingested in all. What `ingest` or the stream raises
    is raised.
    """
    received = 0
    async with aclosing(frames):
        async for frame in frames:
            ingest(decode(frame))
            received += 1
            if received % ACKNOWLEDGE_EVERY == 0:
                acknowledge(received)
            if received == RENEW_AFTER_FRAMES:
                return


def intervals_between_frames(jobs: int) -> float:
    """How many intervals pass before the next frame, when the last one told of so many jobs."""
    return min(_LONGEST, max(1.0, jobs / _MANY_JOBS))


class JobLog:
    """A job's output in one process: its log, the attempt that it is of, how many tokens its prompt has.

    `watchers` are the outboxes that tell of it.
    """

    __slots__ = ("attempt", "job_id", "log", "prompt_tokens", "watchers")

    def __init__(self, job_id: JobId, attempt: int = 0, log: TokenLog | None = None) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.log = log or TokenLog()
        self.prompt_tokens = 0
        self.watchers: set[Outbox] = set()

    def touch(self) -> None:
        """The log has changed."""
        for outbox in self.watchers:
            outbox.touch(self.job_id)


class _Cursor:
    """The position of one reader in one job's output."""

    __slots__ = ("has_sent", "log", "offset", "source", "tokens")

    def __init__(self, source: JobLog, offset: int, tokens: int) -> None:
        self.source = source
        self.log = source.log
        self.offset = offset
        self.tokens = tokens
        self.has_sent = False

    @property
    def has_news(self) -> bool:
        log = self.log
        return log.length > self.offset or len(log.token_ids) > self.tokens or log.end is not None

    @property
    def is_urgent(self) -> bool:
        """Whether a reader waits for the first text or for the end, and not for more of a text that flows."""
        return not self.has_sent or self.log.end is not None

    def advance(self, with_tokens: bool) -> Delta | None:
        """What is new since the last call, or None."""
        source, log = self.source, self.log
        text, offset, first = log.since(self.offset), self.offset, self.tokens
        token_ids = tuple(log.token_ids[first:]) if with_tokens else ()
        if not text and not token_ids and log.end is None:
            return None
        self.has_sent = True
        self.offset += len(text)
        self.tokens += len(token_ids)
        return Delta(source.job_id, source.attempt, offset, text, first, token_ids, source.prompt_tokens, log.end)


class Outbox:
    """One reader of many logs.

    `frames()` tells what is new in the watched logs: the first news at once, later ones together, at most one frame
    per `interval_s`, or two of them while many jobs have news. A job's first word and its end wait for a part of that
    only. A log that has ended leaves the outbox with the frame that says so.
    """

    def __init__(self, interval_s: float, with_tokens: bool = False) -> None:
        self._interval_s = interval_s
        self._with_tokens = with_tokens
        self._cursors: dict[JobId, _Cursor] = {}
        self._dirty: set[JobId] = set()
        self._news = asyncio.Event()
        self._urgent = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._sent = 0
        self._closed = False

    def watch(self, source: JobLog, offset: int = 0, tokens: int = 0) -> None:
        """Tell of this log, from `offset` on. Watched again, it begins anew there."""
        self.unwatch(source.job_id)
        cursor = self._cursors[source.job_id] = _Cursor(source, offset, tokens)
        source.watchers.add(self)
        if cursor.has_news:
            self.touch(source.job_id)

    def unwatch(self, job_id: JobId) -> None:
        cursor = self._cursors.pop(job_id, None)
        if cursor is not None:
            cursor.source.watchers.discard(self)

    def watches(self, job_id: JobId) -> bool:
        return job_id in self._cursors

    def touch(self, job_id: JobId) -> None:
        """The log of this job has changed."""
        cursor = self._cursors.get(job_id)
        if cursor is None:
            return
        self._dirty.add(job_id)
        self._news.set()
        if cursor.is_urgent:
            self._urgent.set()

    def acknowledge(self, frames: int) -> None:
        """The reader has received `frames` frames in all."""
        if self._sent - frames < UNACKNOWLEDGED_FRAMES:
            self._room.set()

    def close(self) -> list[JobId]:
        """Watch nothing more and end the frames: who still reads begins anew. Returns the jobs that were watched."""
        watched = list(self._cursors)
        for job_id in watched:
            self.unwatch(job_id)
        self._closed = True
        self._news.set()
        self._room.set()
        return watched

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Encoded lists of `Delta`, until closed."""
        while True:
            await self._news.wait()
            await self._room.wait()
            if self._closed:
                return
            self._news.clear()
            self._urgent.clear()
            if deltas := list(self._collect()):
                self._sent += 1
                if self._sent % UNACKNOWLEDGED_FRAMES == 0:
                    self._room.clear()
                yield _encoder.encode(deltas)
                await self._let_news_gather(len(deltas))

    async def _let_news_gather(self, jobs: int) -> None:
        """Wait for the next frame's time, when the last one told of so many jobs."""
        interval_s = self._interval_s * intervals_between_frames(jobs)
        at_least_s = self._interval_s * _URGENT_SHARE
        await asyncio.sleep(at_least_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(interval_s - at_least_s):
                await self._urgent.wait()

    def _collect(self) -> Iterable[Delta]:
        dirty, self._dirty = self._dirty, set()
        for job_id in dirty:
            cursor = self._cursors.get(job_id)
            delta = cursor.advance(self._with_tokens) if cursor else None
            if delta is None:
                continue
            if delta.end is not None:
                self.unwatch(job_id)
            yield delta
