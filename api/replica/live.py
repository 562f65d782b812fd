"""A job that has readers at this replica: what is known of it, and where each reader stands."""

import asyncio
import sys
from collections.abc import Sequence
from itertools import islice

from msgspec import Struct

from cluster.errors import StreamLost
from cluster.ids import AccountId
from cluster.messages.marks import PLAIN, Mark, Stopped, Tokens, Turn
from cluster.messages.money import Usage
from cluster.messages.work import End, Failed, Position
from cluster.text.token_log import TokenLog


class Piece(Struct, frozen=True):
    """What a reader is told next: `text` up to position `offset`, or how the job ended; neither is a sign of life.

    The position is one in the text of this `epoch`. The end can be the stream's alone (`is_lost`). `turn` says of what
    kind the text is; `notes` are the other marks that come with it, or with the end.
    """

    text: str = ""
    offset: int = 0
    end: End | None = None
    epoch: int = 1
    turn: Turn = PLAIN
    notes: tuple[Mark, ...] = ()

    @property
    def is_sign_of_life(self) -> bool:
        return not self.text and not self.notes and self.end is None


MOST_CHARACTERS = 2048
"""What a reader is told at once. With JSON's escapes an event has 16 KiB at most: many clients read no longer lines."""

_MOST_NOTE_CHARACTERS = 8192
"""What the notes may have that go with it, but for one that has more by itself."""

_WHOLE = sys.maxsize
_LOST = Failed(Usage(), StreamLost.code, StreamLost().message)


def is_lost(end: End) -> bool:
    """Whether this is not the job's end: the job has another text than the one that was told."""
    return end is _LOST


class Reader:
    """One reader of a job, and where it stands in which of its texts."""

    def __init__(self, position: Position = Position()) -> None:
        self.offset = position.offset
        self.epoch = position.epoch
        self.is_lost = False
        self._turn = PLAIN
        self._marks = 0  # so many have been told, or passed over

    def next(self, log: TokenLog) -> Piece | None:
        """What there is to tell it now."""
        if self.is_lost:
            return Piece(offset=self.offset, end=_LOST, epoch=self.epoch)
        if log.marks:
            return self._next_of_marked(log)
        if text := log.since(self.offset, MOST_CHARACTERS):
            self.offset += len(text)
            self.epoch = log.epoch or self.epoch
            return Piece(text, self.offset, epoch=self.epoch)
        if log.end is not None:
            return Piece(offset=self.offset, end=log.end, epoch=self.epoch)
        return None

    def begin_anew(self) -> None:
        """The log has been replaced by another: which of its marks have been told is found out again."""
        self._turn, self._marks = PLAIN, 0

    def _next_of_marked(self, log: TokenLog) -> Piece | None:
        """As `next`: no further than the text is of one kind, with the notes that are of it."""
        notes = self._take_notes(log.marks, self.offset)
        until = min(log.length, self.offset + MOST_CHARACTERS)
        if notes and isinstance(notes[-1], Stopped):
            until = self.offset
        elif self._marks < len(log.marks) and self.offset < log.length:
            until = self._end_of_turn(log.marks, until)
            notes += self._take_notes(log.marks, until - 1)
        text = log.since(self.offset, until - self.offset)
        self.offset += len(text)
        if text:
            self.epoch = log.epoch or self.epoch
        if text or notes:
            return Piece(text, self.offset, None, self.epoch, self._turn, tuple(notes))
        if log.end is not None:
            return Piece(offset=self.offset, end=log.end, epoch=self.epoch)
        return None

    def _take_notes(self, marks: Sequence[Mark], until: int) -> list[Mark]:
        """Pass over the marks up to this position, or the first choice that has stopped. Returns what is to be told."""
        notes: list[Mark] = []
        while self._marks < len(marks) and (mark := marks[self._marks]).at <= until:
            self._marks += 1
            if isinstance(mark, Turn):
                self._turn = mark
            elif mark.at >= self.offset:
                notes.append(mark)
                if isinstance(mark, Stopped):
                    break
        return notes

    def _end_of_turn(self, marks: Sequence[Mark], until: int) -> int:
        """Where the text at the reader's position stops being of its kind, or the notes on it become too many."""
        characters = 0
        for mark in islice(marks, self._marks, None):
            if mark.at >= until:
                break
            if isinstance(mark, (Turn, Stopped)):
                if mark.at > self.offset:
                    return mark.at
            elif isinstance(mark, Tokens):
                characters += len(mark.logprobs)
                if characters > _MOST_NOTE_CHARACTERS and mark.at > self.offset:
                    return mark.at
        return until

    def keep_to(self, epoch: int, length: int) -> None:
        """The job's text is of this epoch, and of what was told of it so much stands."""
        if self.offset > (length if self.epoch == epoch else 0):
            self.is_lost = True


class Live:
    """A job that has readers here: its log so far, and what the Journal has said of it."""

    def __init__(self, account_id: AccountId, is_new: bool, now_s: float) -> None:
        self.account_id = account_id
        self.is_new = is_new
        self.log = TokenLog()
        self.readers: set[Reader] = set()
        # The Journal sends each end once, and then forgets that this replica watches the job.
        self.journal_sent_end = False
        self.has_news_since_check = True
        self.last_news_s = now_s
        self._is_news = False
        self._woken = asyncio.Event()

    def enter(self, reader: Reader) -> None:
        self.readers.add(reader)
        if self.log.epoch or self.log.end is not None:
            reader.keep_to(self.log.epoch, _WHOLE)

    def take(self, epoch: int, offset: int, text: str, mark_offset: int = 0, marks: Sequence[Mark] = ()) -> None:
        """Add text of the job, and what it means. Readers who have been told what is not its text have lost it.

        Raises Gap.
        """
        log = self.log
        if epoch and epoch != log.epoch:
            self._turn_to(TokenLog(epoch=epoch), _WHOLE)
        elif (at := _parting(log.since(offset), text)) is not None:
            self._cut(offset + at, log.epoch)
        self.log.append_at(offset, text, mark_offset=mark_offset, marks=marks)

    def close(self, end: End, epoch: int, length: int) -> None:
        """The job has ended, with a text of this epoch and length: whoever was told more has lost it.

        Epoch 0 says that the job has no text, and that one may have been told.
        """
        if epoch == 0 or length < self.log.length:
            self._cut(length, epoch)
        self.log.close(end)

    def lose(self) -> None:
        """Nobody here can be told any more of it."""
        for reader in self.readers:
            reader.is_lost = True

    def _cut(self, length: int, epoch: int) -> None:
        """So much of the text stands, and is of this epoch."""
        kept = TokenLog(epoch=epoch)
        kept.append(self.log.text[:length], marks=self.log.marks_within(length, whole=self.log.length))
        self._turn_to(kept, length)

    def _turn_to(self, log: TokenLog, stands: int) -> None:
        self.log = log
        for reader in self.readers:
            reader.keep_to(log.epoch, stands)
            reader.begin_anew()

    def notify(self, now_s: float) -> None:
        """Wake the readers: there is news."""
        self.has_news_since_check = True
        self.last_news_s = now_s
        self._wake(is_news=True)

    def remind(self) -> None:
        """Wake the readers without news, so that they can give a sign of life."""
        self._wake(is_news=False)

    async def news(self) -> bool:
        """Returns when there is news; False when this was only a reminder that there is none."""
        await self._woken.wait()
        return self._is_news

    def _wake(self, is_news: bool) -> None:
        self._is_news = is_news
        self._woken.set()
        self._woken.clear()


def _parting(held: str, told: str) -> int | None:
    """Where two texts that begin at the same place part; None when one goes on where the other ends."""
    if held.startswith(told) or told.startswith(held):
        return None
    return next(at for at, (one, other) in enumerate(zip(held, told, strict=False)) if one != other)
