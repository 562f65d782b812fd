"""Sessions of the dashboard."""

from functools import partial
from secrets import token_urlsafe

from actors.bookkeeping.book import Book
from cluster.store import own_secrets, sessions


class SessionBook(Book):
    """What all processes have to know of sessions."""

    async def session_secret(self) -> str:
        """The secret by which sessions are signed: made when it is asked for first, and kept."""
        return await self._write(partial(own_secrets.kept, name="sessions", new=token_urlsafe(32)))

    async def end_session(self, session_id: str, until_ms: int) -> None:
        """This session is over, which it would be at `until_ms`. May be repeated."""
        try:
            await self._write(partial(sessions.end, session_id=session_id, until_ms=until_ms, now_ms=self._now_ms()))
        finally:
            # Also when it failed: it may have been written.
            self._desk.holders.forget()
