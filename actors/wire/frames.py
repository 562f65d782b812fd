"""Frames: everything new of every job since the last one, as the bytes of one item of an actor stream.

Every hop of the token path is one long-lived stream between two processes, whatever the number of jobs, so its cost
follows the number of frames and not of tokens times streams.
"""

import asyncio
from array import array
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing

import msgspec

from cluster.ids import JobId
from cluster.messages.origin import UNKNOWN_ORIGIN, Origin
from cluster.messages.work import Delta
from cluster.text.token_log import TokenLog

VERSION = 6
"""Which frames these are: it changes with `Delta` and what it is made of. The first that had one was 2."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, list[Delta]])
_HEAD = bytes([0x92, VERSION])  # msgpack: an array of two, of which the first is the version

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


class OtherVersion(Exception):
    """A frame is of another version of this software: nothing that its sender says can be understood."""


def encode(deltas: list[Delta]) -> bytes:
    return _encoder.encode((VERSION, deltas))


def decode(frame: bytes) -> list[Delta]:
    """Raises OtherVersion."""
    if not frame.startswith(_HEAD):
        raise OtherVersion(f"its frames are of version {_version(frame)}, and this process reads version {VERSION}")
    return _decoder.decode(frame)[1]


def _version(frame: bytes) -> int:
    """Frames of version 1 were lists of deltas, and did not say so."""
    return frame[1] if frame[:1] == _HEAD[:1] else 1


async def follow(
    frames: AsyncGenerator[bytes, None],
    ingest: Callable[[list[Delta]], None],
    acknowledge: Callable[[int], object],
    beginning: Callable[[list[Delta]], Awaitable[object]] | None = None,
) -> None:
    """Read a stream of frames and close it; return when it has grown old or ended.

    `acknowledge` is told now and then how many frames have been ingested in all. `beginning` is waited for with what
    the first frame tells, before that is ingested. What any of them or the stream raises is raised.
    """
    received = 0
    async with aclosing(frames):
        async for frame in frames:
            deltas = decode(frame)
            if received == 0 and beginning is not None:
                await beginning(deltas)
            ingest(deltas)
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

    `prompt_ids` are the prompt's tokens, where it could not be rendered again; `cached_tokens` is how many of the
    prompt's its engine had in its cache, None before it has told.
    `watchers` are the outboxes that tell of it, and where each stands.
    """

    __slots__ = ("attempt", "cached_tokens", "job_id", "log", "origin", "prompt_ids", "prompt_tokens", "watchers")

    def __init__(
        self, job_id: JobId, attempt: int = 0, log: TokenLog | None = None, prompt_ids: Sequence[int] = ()
    ) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.log = log or TokenLog()
        self.prompt_tokens = 0
        self.cached_tokens: int | None = None
        self.origin = UNKNOWN_ORIGIN
        self.prompt_ids: Sequence[int] = ()
        self.keep_prompt(prompt_ids)
        self.watchers: dict[Outbox, _Cursor] = {}

    def keep_prompt(self, prompt_ids: Sequence[int]) -> None:
        """The prompt has these tokens."""
        if prompt_ids:
            self.prompt_ids = array("I", prompt_ids)

    def touch(self) -> None:
        """The log has changed."""
        for outbox, cursor in self.watchers.items():
            outbox.mark(cursor)

    def begin_anew(self, log: TokenLog) -> None:
        """Another text takes the place of this one: all that watch are told it from its start."""
        self.log = log
        for outbox in list(self.watchers):
            outbox.watch(self)

    def cut(self, tokens: int) -> None:
        """What was told after so many tokens was not the job's: all that watch are told what is, from there on."""
        self.log.cut(tokens)
        for cursor in self.watchers.values():
            cursor.offset = min(cursor.offset, self.log.length)
            cursor.tokens = min(cursor.tokens, tokens)
            cursor.marks = min(cursor.marks, len(self.log.marks))


class _Cursor:
    """The position of one reader in one job's output."""

    __slots__ = ("has_sent", "is_marked", "log", "marks", "offset", "source", "tokens")

    def __init__(self, source: JobLog, offset: int, tokens: int) -> None:
        self.source = source
        self.log = source.log
        self.offset = offset
        self.tokens = tokens
        self.marks = 0  # whoever begins to read is told all of them
        self.has_sent = False
        self.is_marked = False

    @property
    def has_news(self) -> bool:
        log = self.log
        has_more = log.length > self.offset or len(log.token_ids) > self.tokens or len(log.marks) > self.marks
        return has_more or log.end is not None

    def advance(self, with_tokens: bool) -> Delta | None:
        """What is new since the last call, or None."""
        source, log = self.source, self.log
        # A reader may be further than this text is long, when it was told one that has been cut since.
        offset, first = min(self.offset, log.length), self.tokens
        text = log.since(offset)
        token_ids: tuple[int, ...] = ()
        ends: tuple[int, ...] = ()
        prompt_ids: tuple[int, ...] = ()
        cached_tokens: int | None = None
        origin: Origin | None = None
        if with_tokens:
            if not self.has_sent:
                prompt_ids, cached_tokens = tuple(source.prompt_ids), source.cached_tokens
                origin = None if source.origin == UNKNOWN_ORIGIN else source.origin
            token_ids, ends = tuple(log.token_ids[first:]), tuple(log.ends[first:])
        mark_offset, marks = self.marks, tuple(log.marks[self.marks :]) if log.marks else ()
        if not text and not token_ids and not marks and log.end is None:
            return None
        self.has_sent = True
        self.offset = offset + len(text)
        self.tokens += len(token_ids)
        self.marks += len(marks)
        return Delta(
            source.job_id,
            source.attempt,
            offset,
            text,
            first,
            token_ids,
            source.prompt_tokens,
            log.end,
            ends,
            log.epoch,
            prompt_ids,
            cached_tokens,
            mark_offset,
            marks,
            origin,
        )


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
        self._marked: list[_Cursor] = []
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
        source.watchers[self] = cursor
        if cursor.has_news:
            self.mark(cursor)

    def unwatch(self, job_id: JobId) -> None:
        cursor = self._cursors.pop(job_id, None)
        if cursor is not None:
            cursor.source.watchers.pop(self, None)

    def watching(self) -> list[JobId]:
        """The jobs that are watched, without those whose end has been told."""
        return list(self._cursors)

    def watches(self, job_id: JobId) -> bool:
        return job_id in self._cursors

    def touch(self, job_id: JobId) -> None:
        """The log of this job has changed."""
        if cursor := self._cursors.get(job_id):
            self.mark(cursor)

    def mark(self, cursor: _Cursor) -> None:
        """There may be news at this position."""
        if not cursor.is_marked:
            cursor.is_marked = True
            self._marked.append(cursor)
            self._news.set()
        # A reader waits for the first text or for the end, and not for more of a text that flows.
        if not cursor.has_sent or cursor.log.end is not None:
            self._urgent.set()

    def acknowledge(self, frames: int) -> None:
        """The reader has received `frames` frames in all."""
        if self._sent - frames < UNACKNOWLEDGED_FRAMES:
            self._room.set()

    def unwatch_all(self) -> list[JobId]:
        """Have nothing more to tell. Returns the jobs that were watched."""
        watched = list(self._cursors)
        for job_id in watched:
            self.unwatch(job_id)
        return watched

    def close(self) -> list[JobId]:
        """Watch nothing more and end the frames: who still reads begins anew. Returns the jobs that were watched."""
        watched = self.unwatch_all()
        self._closed = True
        self._news.set()
        self._room.set()
        return watched

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Encoded lists of `Delta`, until closed. The first tells what there is, be it nothing."""
        while True:
            if self._sent:
                await self._news.wait()
            await self._room.wait()
            if self._closed:
                return
            self._news.clear()
            self._urgent.clear()
            deltas = list(self._collect())
            if deltas or not self._sent:
                self._sent += 1
                if self._sent % UNACKNOWLEDGED_FRAMES == 0:
                    self._room.clear()
                yield encode(deltas)
            if deltas:
                await self._let_news_gather(len(deltas))

    async def _let_news_gather(self, jobs: int) -> None:
        """Wait for the next frame's time, when the last one told of so many jobs."""
        interval_s = self._interval_s * intervals_between_frames(jobs)
        at_least_s = self._interval_s * _URGENT_SHARE
        await asyncio.sleep(at_least_s)
        due = asyncio.get_running_loop().call_later(interval_s - at_least_s, self._urgent.set)
        await self._urgent.wait()
        due.cancel()

    def _collect(self) -> Iterable[Delta]:
        marked, self._marked = self._marked, []
        for cursor in marked:
            cursor.is_marked = False
            job_id = cursor.source.job_id
            if self._cursors.get(job_id) is not cursor:
                continue
            delta = cursor.advance(self._with_tokens)
            if delta is None:
                continue
            if delta.end is not None:
                self.unwatch(job_id)
            yield delta
