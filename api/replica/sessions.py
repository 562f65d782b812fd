"""Sessions of people who signed in with a key: cookies that are signed. Only those that were ended are kept."""

import asyncio
from secrets import token_urlsafe
from typing import TYPE_CHECKING, NamedTuple

from itsdangerous import BadSignature, Signer, URLSafeSerializer

from cluster.clock import Clock
from cluster.errors import Unauthorized
from cluster.messages.people import SignedIn

if TYPE_CHECKING:
    from actors.ledger import Ledger

LASTS_S = 12 * 3600
"""How long a session lasts, if its key is valid for so long, and nobody signs out."""

_ID_BYTES = 16


class Session(NamedTuple):
    """Who signed in, and until when. What a page asks to be done must bring `csrf_token`."""

    signed_in: SignedIn
    until_ms: int
    csrf_token: str


class Sessions:
    """Makes, reads and ends them. All replicas sign with one secret, which outlives them in the Ledger.

    A cookie that is read here may be of a session that was ended: whoever knows its key's holder knows that.
    """

    def __init__(self, ledger: "Ledger", clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._asking = asyncio.Lock()
        self._secret: str | None = None

    async def begin(self, key_hash: str) -> str:
        """The cookie of a new session of the holder of this key."""
        until_ms = self._clock.wall_ms() + LASTS_S * 1000
        return str(_cookies(await self._known_secret()).dumps([key_hash, token_urlsafe(_ID_BYTES), until_ms]))

    async def read(self, cookie: str) -> Session:
        """Raises Unauthorized for a cookie whose time is over, or that was not made here."""
        secret = await self._known_secret()
        try:
            key_hash, session_id, until_ms = _cookies(secret).loads(cookie)
        except (BadSignature, ValueError):  # one that an older version made has no id
            raise Unauthorized() from None
        if until_ms <= self._clock.wall_ms():
            raise Unauthorized()
        csrf_token = Signer(secret, salt="csrf").get_signature(cookie).decode()
        return Session(SignedIn(key_hash, session_id), until_ms, csrf_token)

    async def end(self, session: Session) -> None:
        """It is over for good, whoever has its cookie."""
        await self._ledger.end_session(session.signed_in.id, session.until_ms)

    async def _known_secret(self) -> str:
        async with self._asking:
            if self._secret is None:
                self._secret = await self._ledger.session_secret()
        return self._secret


def _cookies(secret: str) -> URLSafeSerializer:
    return URLSafeSerializer(secret, salt="session")
