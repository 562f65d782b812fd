"""What other actors mark, so that whoever comes after them goes on from there."""

from collections.abc import Sequence
from functools import partial

from actors.bookkeeping.book import Book
from cluster.errors import Superseded
from cluster.liveness.roles import SCHEDULER_ROLE
from cluster.messages.people import ShareMark, WindowMark
from cluster.store import shares, windows


class MarkBook(Book):
    """The RateLimiter's windows, and the Scheduler's shares."""

    async def window_marks(self) -> list[WindowMark]:
        """How far the windows of rate limits that are not over have been marked as used."""
        return await self._read(partial(windows.marks, now_ms=self._now_ms()))

    async def mark_windows(self, marks: Sequence[WindowMark]) -> None:
        """Records these marks. Of the marks of one window the one with the most used holds."""
        await self._write(partial(windows.mark, marks=marks, now_ms=self._now_ms()))

    async def settle_windows(self, marks: Sequence[WindowMark]) -> None:
        """Records how much of these windows was used in fact, however far ahead of it their marks were."""
        await self._write(partial(windows.settle, marks=marks, now_ms=self._now_ms()))

    async def share_marks(self) -> list[ShareMark]:
        """What accounts have had of models, as it was written down last."""
        # A read would not see what waits to be committed, and nobody would ever take it out.
        return await self._write(shares.marks)

    async def mark_shares(self, marks: Sequence[ShareMark], scheduler: str) -> None:
        """Records what accounts have had. Raises Superseded when `scheduler` is not the Scheduler any more."""
        if not self._desk.roles.hold(SCHEDULER_ROLE, scheduler, begins=False):
            raise Superseded("another Scheduler has begun")
        await self._write(partial(shares.mark, marks=marks))
