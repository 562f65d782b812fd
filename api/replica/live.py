"""A job that has readers at this replica: what is known of it, and where each reader stands."""

import asyncio
import sys

from msgspec import Struct

from cluster.errors import StreamLost
from cluster.ids import AccountId
from cluster.messages.money import Usage
from cluster.messages.work import End, Failed, Position
from cluster.text.token_log import TokenLog


class Piece(Struct, frozen=True):
    """What a reader is told next: `text` up to position `offset`, or how the job ended; neither is a sign of life.

    The position is one in the text of this `epoch`. The end can be the stream's alone (`is_lost`).
    """

    text: str = ""
    offset: int = 0
    end: End | None = None
    epoch: int = 1


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

    def next(self, log: TokenLog) -> Piece | None:
        """What there is to tell it now."""
        if self.is_lost:
            return Piece(offset=self.offset, end=_LOST, epoch=self.epoch)
        if text := log.since(self.offset):
            self.offset += len(text)
            self.epoch = log.epoch or self.epoch
            return Piece(text, self.offset, epoch=self.epoch)
        if log.end is not None:
            return Piece(offset=self.offset, end=log.end, epoch=self.epoch)
        return None

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

    def take(self, epoch: int, offset: int, text: str) -> None:
        """Add text of the job. Readers who have been told what is not its text have lost it.

        Raises Gap.
        """
        log = self.log
        if epoch and epoch != log.epoch:
            self._turn_to(TokenLog(epoch=epoch), _WHOLE)
        elif (at := _parting(log.since(offset), text)) is not None:
            self._cut(offset + at, log.epoch)
        self.log.append_at(offset, text)

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
        kept.append(self.log.text[:length])
        self._turn_to(kept, length)

    def _turn_to(self, log: TokenLog, stands: int) -> None:
        self.log = log
        for reader in self.readers:
            reader.keep_to(log.epoch, stands)

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
