"""Sessions of the dashboard."""

from functools import partial
from secrets import token_urlsafe

from actors.bookkeeping.book import Book
from cluster.store import own_secrets


class SessionBook(Book):
    """What all processes have to know of sessions."""

    async def session_secret(self) -> str:
        """The secret by which sessions are signed: made when it is asked for first, and kept."""
        return await self._write(partial(own_secrets.kept, name="sessions", new=token_urlsafe(32)))
