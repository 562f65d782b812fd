"""Signing in and out of the dashboard, and who has a session."""

import math
from contextlib import suppress
from typing import TYPE_CHECKING

from actors.wire.calls import tell
from api.replica.principals import Principals
from api.replica.sessions import Session, Sessions
from cluster.clock import Clock
from cluster.errors import RateLimited, Unauthorized
from cluster.keys import secret_hash
from cluster.limits.attempts import MOST_FAILURES
from cluster.messages.people import Principal

if TYPE_CHECKING:
    from actors.ledger import Ledger
    from actors.rate_limiter import RateLimiter


class SigningIn:
    """Sessions, from the key that somebody signs in with to the end that every replica knows."""

    def __init__(self, ledger: "Ledger", rate_limiter: "RateLimiter", principals: Principals, clock: Clock) -> None:
        self._rate_limiter = rate_limiter
        self._principals = principals
        self._sessions = Sessions(ledger, clock)
        self._clock = clock

    async def begin(self, token: str, address: str) -> str:
        """The cookie of a new session of the holder of this key. Raises Unauthorized.

        Raises RateLimited when somebody at this address has failed too often, at whichever replica.
        """
        await self._count(address)
        has_failed = False
        try:
            await self._principals.find(token)
        except Unauthorized:
            has_failed = True
            raise
        finally:
            # Neither who is let in has failed, nor who cannot be told because something is away.
            if not has_failed:
                tell(self._rate_limiter.did_not_fail(address), "rate_limiter.did_not_fail")
        return await self._sessions.begin(secret_hash(token))

    async def read(self, cookie: str) -> Session:
        """The session of this cookie. Raises Unauthorized when its time is over, or it is none."""
        return await self._sessions.read(cookie)

    async def holder(self, session: Session) -> Principal:
        """Who has this session. Raises Unauthorized when it was ended, or its key is not valid any more."""
        return await self._principals.signed_in(session.signed_in)

    async def end(self, session: Session) -> None:
        """It is over: every replica refuses it within 5 s."""
        await self._sessions.end(session)
        self._principals.forget(session.signed_in)

    def leave(self, cookie: str) -> None:
        """Who signs in anew has left this session, and cannot sign out of it any more. Its end is not waited for."""
        tell(self._leave(cookie), "ending a session that another one follows")

    async def _leave(self, cookie: str) -> None:
        with suppress(Unauthorized):
            await self.end(await self.read(cookie))

    async def _count(self, address: str) -> None:
        wait_s = math.ceil(await self._rate_limiter.try_to_sign_in(address))
        if wait_s:
            message = f"Too many attempts; try again in {wait_s} s"
            raise RateLimited(message, wait_s, MOST_FAILURES, self._clock.wall_ms() // 1000 + wait_s)
